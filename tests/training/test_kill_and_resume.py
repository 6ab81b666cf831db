"""A run that is killed at random moments, and resumed, ends with the bits of one that was not."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked_runs import ForkedRun
from script_runs import SHORT

from clipbert_hf.training.checkpoints import checkpoint_path, complete_steps


@pytest.fixture(scope="module")
def start(small_data: Path, pretrained: Path) -> Callable[[Path], ForkedRun]:
    """Starts a run, or continues it."""
    options: list[str | Path] = ["--data_dir", small_data, "--start_from", pretrained, *SHORT]
    options += ["--tracker", "tensorboard", "--num_workers", "1", "--inference_clips", "1,4"]

    def start(output: Path) -> ForkedRun:
        more = ["--output_dir", output, "--resume_from_checkpoint", "last"]
        return ForkedRun("run_video_qa.py", "video_qa_moving_shapes.yaml", *options, *more)

    return start


def outcome(output: Path) -> dict[str, Any]:
    """Everything that must not depend on interruptions, the bytes of weights, optimizer and generators among it."""
    last = checkpoint_path(output, 8)
    files = json.loads((last / "files.json").read_text())
    state = json.loads((last / "state.json").read_text())
    for name in ("seconds", "waiting", "working"):
        state["progress"].pop(name)
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    results = json.loads((output / "results.json").read_text())
    return {
        "model": (output / "model.safetensors").read_bytes(),
        "checkpoint": {name: entry for name, entry in files.items() if name != "state.json"},
        "state": state,
        "log": [{**line, "seconds": 0, "samples_per_second": 0} for line in lines],
        "results": {**results, "seconds": 0, "stall_share": 0},
    }


@pytest.mark.slow
@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.long)])
def test_killed_at_random_moments(
    times: int, start: Callable[[Path], ForkedRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "whole"):  # the first one may wait for the imports of the process that it is forked from
        began = time.monotonic()
        start(tmp_path / name).finish()
        duration = time.monotonic() - began
    expected = outcome(tmp_path / "whole")
    moments = random.Random(0)
    interrupted = {"before the first checkpoint": 0, "while one was written": 0, "between": 0, "after the end": 0}
    for number in range(times):
        output = tmp_path / f"killed_{number}"
        run = start(output)
        (process,) = run.processes
        process.join(timeout=moments.uniform(0, duration))
        ended = process.exitcode is not None
        process.kill()
        process.join()
        unfinished = list(output.glob("checkpoints/.unfinished_*"))
        steps = complete_steps(output)
        kind = "after the end" if ended else "while one was written" if unfinished else "between"
        interrupted[kind if steps or unfinished else "before the first checkpoint"] += 1
        start(output).finish()
        assert outcome(output) == expected, f"differs after a kill at a moment with checkpoints {steps}"
    with capsys.disabled():
        sys.stdout.write(f"\nkilled and resumed {times} times, bit-identical each time: {interrupted}\n")


def test_killed_while_a_checkpoint_is_written(start: Callable[[Path], ForkedRun], tmp_path: Path) -> None:
    start(tmp_path / "whole").finish()
    output = tmp_path / "killed"
    run = start(output)
    unfinished = output / "checkpoints" / ".unfinished_step_00000003"
    run.wait_for(unfinished / "pytorch_model.bin")
    run.kill()
    assert unfinished.is_dir()
    assert complete_steps(output)[-1] == 2
    start(output).finish()
    assert outcome(output) == outcome(tmp_path / "whole")


def test_sigterm_to_the_whole_group(start: Callable[[Path], ForkedRun], tmp_path: Path) -> None:
    """Loaders' workers get it too, and must not take the run down before it has saved."""
    start(tmp_path / "whole").finish()
    output = tmp_path / "stopped"
    run = start(output)
    run.wait_for(checkpoint_path(output, 1))
    run.signal(run.processes[0], signal.SIGTERM)
    text = run.finish()  # with status 0
    step = complete_steps(output)[-1]
    assert f"stopped by SIGTERM and saved after step {step} of 8" in text
    assert "Traceback" not in text
    assert not (output / "results.json").exists()
    start(output).finish()
    assert outcome(output) == outcome(tmp_path / "whole")
