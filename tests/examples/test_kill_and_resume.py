"""A run that is killed at random moments, and resumed, ends with the bits of one that was not."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import killed_run
import pytest
from checkpointing import checkpoint_path, complete_steps
from script_runs import EXAMPLES, SHORT

TIMES = 20


@pytest.fixture(scope="module")
def start() -> Callable[..., BaseProcess]:
    """Starts a run in a process of its own, forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run"])
    with pytest.MonkeyPatch.context() as patch:  # older Pythons' fork servers do not take sys.path over
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()

    def start(arguments: list[str], output: Path) -> BaseProcess:
        output.mkdir(exist_ok=True)
        options = [*arguments, "--output_dir", str(output), "--resume_from_checkpoint", "last"]
        process = context.Process(target=killed_run.start, args=(options, str(output / "output.txt")))
        process.start()
        return process

    return start


@pytest.fixture(scope="module")
def arguments(small_data: Path, pretrained: Path) -> list[str]:
    recipe = str(EXAMPLES / "recipes" / "video_qa_moving_shapes.yaml")
    options = ["--data_dir", str(small_data), "--start_from", str(pretrained), *SHORT, "--tracker", "tensorboard"]
    return [recipe, *options, "--num_workers", "1", "--inference_clips", "1,4"]


def finish(process: BaseProcess, output: Path) -> None:
    process.join(timeout=200)
    assert process.exitcode == 0, (output / "output.txt").read_text()


def outcome(output: Path) -> dict[str, Any]:
    """Everything that must not depend on interruptions, the bytes of weights, optimizer and generators among it."""
    last = checkpoint_path(output, 8)
    files = json.loads((last / "files.json").read_text())
    state = json.loads((last / "state.json").read_text())
    state["progress"].pop("seconds")
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    results = json.loads((output / "results.json").read_text())
    return {
        "model": (output / "model.safetensors").read_bytes(),
        "checkpoint": {name: entry for name, entry in files.items() if name != "state.json"},
        "state": state,
        "log": [{**line, "seconds": 0, "samples_per_second": 0} for line in lines],
        "results": {**results, "seconds": 0},
    }


@pytest.mark.slow
def test_killed_at_random_moments(
    arguments: list[str], start: Callable[..., BaseProcess], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "whole"):  # the first one waits for the fork server's imports
        began = time.monotonic()
        finish(start(arguments, tmp_path / name), tmp_path / name)
        duration = time.monotonic() - began
    expected = outcome(tmp_path / "whole")
    moments = random.Random(0)
    interrupted = {"before the first checkpoint": 0, "while one was written": 0, "between": 0, "after the end": 0}
    for number in range(TIMES):
        output = tmp_path / f"killed_{number}"
        process = start(arguments, output)
        process.join(timeout=moments.uniform(0, duration))
        ended = process.exitcode is not None
        process.kill()
        process.join()
        unfinished = list(output.glob("checkpoints/.unfinished_*"))
        steps = complete_steps(output)
        kind = "after the end" if ended else "while one was written" if unfinished else "between"
        interrupted[kind if steps or unfinished else "before the first checkpoint"] += 1
        finish(start(arguments, output), output)
        assert outcome(output) == expected, f"differs after a kill at a moment with checkpoints {steps}"
    with capsys.disabled():
        sys.stdout.write(f"\nkilled and resumed {TIMES} times, bit-identical each time: {interrupted}\n")


def test_killed_while_a_checkpoint_is_written(
    arguments: list[str], start: Callable[..., BaseProcess], tmp_path: Path
) -> None:
    finish(start(arguments, tmp_path / "whole"), tmp_path / "whole")
    output = tmp_path / "killed"
    process = start(arguments, output)
    unfinished = output / "checkpoints" / ".unfinished_step_00000003"
    deadline = time.monotonic() + 100
    while not (unfinished / "pytorch_model.bin").exists():
        assert time.monotonic() < deadline
        assert process.is_alive(), (output / "output.txt").read_text()
    os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    assert unfinished.is_dir()
    assert complete_steps(output)[-1] == 2
    finish(start(arguments, output), output)
    assert outcome(output) == outcome(tmp_path / "whole")


def test_sigterm_to_the_whole_group(arguments: list[str], start: Callable[..., BaseProcess], tmp_path: Path) -> None:
    """Loaders' workers get it too, and must not take the run down before it has saved."""
    finish(start(arguments, tmp_path / "whole"), tmp_path / "whole")
    output = tmp_path / "stopped"
    process = start(arguments, output)
    deadline = time.monotonic() + 100
    while not complete_steps(output):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid or 0, signal.SIGTERM)
    finish(process, output)  # with status 0
    text = (output / "output.txt").read_text()
    step = complete_steps(output)[-1]
    assert f"stopped by SIGTERM and saved after step {step} of 8" in text
    assert "Traceback" not in text
    assert not (output / "results.json").exists()
    finish(start(arguments, output), output)
    assert outcome(output) == outcome(tmp_path / "whole")
