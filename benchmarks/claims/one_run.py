"""One run, in a process of its own: trains by the script that everybody runs, tests once, and writes what it cost.

The process is forked from one that has imported everything, so that it does not spend ten seconds on imports as one
that ``accelerate launch`` starts; beside that, what the script does is what it does from the command line. There are
over a hundred runs.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.claims.data import test_folder, train_folder
from benchmarks.claims.language import train_language
from benchmarks.claims.outcomes import Outcomes
from benchmarks.claims.scoring import score
from benchmarks.claims.settings import Scale, Setting, arguments
from clipbert_hf.training.scripts import pretraining, retrieval, video_qa
from datasets_scripts.execution.orphans import end_with_parent

# What `clipbert train` and `examples/run_*.py` run.
_SCRIPTS = {"pretraining": pretraining.main, "qa": video_qa.main, "retrieval": retrieval.main}
OUTCOMES, ROW, COST = "outcomes.npz", "row.json", "cost.json"


@dataclass(frozen=True)
class Run:
    """A setting with a seed.

    Args:
        setting: How to train.
        seed: Of the recipe.
        root: Folder of all runs and data.
    """

    setting: Setting
    seed: int
    root: Path

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.of(self.setting.name)

    def of(self, name: str) -> Path:
        """The folder of another setting with this seed."""
        return self.root / "runs" / name / str(self.seed)

    @property
    def is_done(self) -> bool:
        """Whether it was trained and tested."""
        return (self.folder / ROW).exists()


def work(run: Run, scale: Scale) -> None:
    """Do what is left of a run; the target of a process, which writes into ``log.txt`` and ends with its parent."""
    # Two processes must never write into a folder: that of a killed parent would go on beside the next.
    end_with_parent()
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / "log.txt").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        do(run, scale)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        raise


def do(run: Run, scale: Scale) -> None:
    """Train as far as that is not done, test as far as that is not done, and write the row."""
    os.environ["ACCELERATE_USE_CPU"] = "true"
    torch.set_num_threads(1)
    setting, data = run.setting, run.root / "data"
    if not (run.folder / COST).exists():
        start, cpu_start = time.perf_counter(), time.process_time()
        seconds = _train(run, scale, train_folder(setting.data, data))
        # What else the machine does changes seconds, not these. A run that went on from a checkpoint: as if it had
        # been worked on as steadily before.
        busy = (time.process_time() - cpu_start) / (time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)
        cost = {"clips": scale.clips_of(setting), "seconds": round(seconds, 1), "cpu_seconds": round(seconds * busy, 1)}
        cost["peak_mib"] = round(peak)
        _write(run.folder / COST, cost)
    cost = json.loads((run.folder / COST).read_text("utf-8"))
    metrics: dict[str, float] = {}
    if setting.task in ("qa", "retrieval"):
        # A test that was done is not done again, also if a process is killed right after it.
        if not (run.folder / OUTCOMES).exists():
            start = time.perf_counter()
            score(setting, run.folder, test_folder(setting.data, data), scale).save(run.folder / OUTCOMES)
            cost["test_seconds"] = round(time.perf_counter() - start, 1)
            _write(run.folder / COST, cost)
        metrics = Outcomes.load(run.folder / OUTCOMES).metrics()
    _write(run.folder / ROW, {"setting": setting.name, "seed": run.seed, "metrics": metrics, "cost": cost})
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)


def _train(run: Run, scale: Scale, data: Path) -> float:
    """Seconds of training, those of a process that was killed included."""
    setting = run.setting
    if setting.task == "language":
        steps, batch = scale.steps_of(setting), scale.batch["language"]
        configs = ("pretraining", "qa", "multiple_choice", "retrieval")
        return train_language(data, run.folder, seed=run.seed, steps=steps, batch=batch, configs=configs)
    starts = {name: run.of(name) for name in setting.needs}
    line = arguments(setting, run.seed, scale, output=run.folder, data=data, starts=starts)
    results: dict[str, Any] = _SCRIPTS[setting.task](line)
    return float(results["seconds"])


def _write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    part.replace(path)
