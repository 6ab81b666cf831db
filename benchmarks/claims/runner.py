"""Runs of a plan, side by side, each once; what is done is not done again."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmarks.claims.data import make
from benchmarks.claims.one_run import ROW, Run, work
from benchmarks.claims.settings import ClaimsError, Scale, Setting


def runs_of(settings: Mapping[str, Setting], scale: Scale, root: Path) -> list[Run]:
    """All runs, seed by seed: those of a point are complete with one seed long before all are with three."""
    return [Run(setting, seed, root) for seed in scale.seeds for setting in settings.values()]


def run_all(runs: Sequence[Run], scale: Scale, *, processes: int) -> None:
    """Do what is not done.

    Args:
        runs: Those that others need first.
        scale: How much.
        processes: How many runs at a time, each in one thread.

    Raises:
        ClaimsError: If one failed; what does not need it is done all the same.
    """
    for root, data in dict.fromkeys((run.root, run.setting.data) for run in runs):
        make(data, root / "data", scale)
    for run in runs:
        claim(run, scale)
    waiting = [run for run in runs if not run.is_done]
    _say(f"{len(runs)} runs, {len(runs) - len(waiting)} of them done")
    failed = _work_off(waiting, scale, processes)
    if failed:
        raise ClaimsError(f"{len(failed)} runs failed, or what they need did; see first {failed[0].folder / 'log.txt'}")


def claim(run: Run, scale: Scale) -> None:
    """Note in the folder of a run what it is, so that figures of another plan are not taken for its own.

    Raises:
        ClaimsError: If the folder is that of a run with other settings.
    """
    this = json.dumps(
        {"setting": asdict(run.setting), "scale": _parts_that_matter(run, scale)}, indent=2, sort_keys=True
    )
    place = run.folder / "setting.json"
    # As values, since one point may say 1 where another says 1.0.
    if place.exists() and json.loads(place.read_text("utf-8")) != json.loads(this):
        raise ClaimsError(f"{run.folder} holds a run with other settings, see setting.json: delete it, or give --work")
    run.folder.mkdir(parents=True, exist_ok=True)
    place.write_text(this, "utf-8")


def _parts_that_matter(run: Run, scale: Scale) -> dict[str, Any]:
    task = run.setting.task
    of_test = {"test": scale.test.get(task), "gallery": scale.gallery, "inference_clips": scale.inference_clips}
    return {"train": scale.train, "steps": scale.steps_of(run.setting), "batch": scale.batch[task], **of_test}


def _work_off(waiting: list[Run], scale: Scale, processes: int) -> list[Run]:
    """Returns the runs that failed."""
    # A process that is forked has everything imported; elsewhere it takes seconds to start.
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    going: dict[BaseProcess, Run] = {}
    started, total = time.monotonic(), len(waiting)
    failed: list[Run] = []
    while waiting or going:
        ready = [run for run in waiting if all((run.of(name) / ROW).exists() for name in run.setting.needs)]
        for run in ready[: processes - len(going)]:
            waiting.remove(run)
            process = context.Process(target=work, args=(run, scale), daemon=True)
            process.start()
            going[process] = run
        if not going:  # what is left needs what has failed
            return failed + waiting
        wait([process.sentinel for process in going])
        for process in [process for process in going if process.exitcode is not None]:
            run = going.pop(process)
            process.join()
            if process.exitcode:
                failed.append(run)
            minutes = (time.monotonic() - started) / 60
            done = total - len(waiting) - len(going)
            word = "failed" if process.exitcode else "done"
            _say(f"{minutes:6.1f} min  {done:>3}/{total}  {run.setting.name}, seed {run.seed}: {word}")
    return failed


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def read_row(run: Run) -> dict[str, Any]:
    """What a finished run tells."""
    return json.loads((run.folder / ROW).read_text("utf-8"))
