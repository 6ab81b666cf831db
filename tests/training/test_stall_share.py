"""What part of the time of training is spent waiting for batches, by a clock that only loading and computing move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from script_runs import RECIPES, SHORT
from torch import nn
from toy_task import KilledError, ToyTask, run
from toy_task import collate as collate_toys

from clipbert_hf.training.tracking import TrainingLog
from examples import run_video_qa


class Clock:
    """Tells the time; a batch takes a second to load."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def collate(self, samples: list[torch.Tensor]) -> dict[str, Any]:
        self.now += 1
        return collate_toys(samples)


class SlowTask(ToyTask):
    """A step takes three seconds, an evaluated batch a hundred."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        super().__init__(**options)
        self.clock = clock

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        self.clock.now += 3
        return super().loss(model, batch)

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[float]:
        self.clock.now += 100
        return super().predict(model, batch)


def options(clock: Clock) -> dict[str, Any]:
    # Two epochs of 6 batches.
    more = {"epochs": 2, "max_steps": None, "evaluate_every": 4, "checkpoint_every": 1}
    return {"clock": clock, "collate": clock.collate, **more}


def test_loading_beside_computing_without_evaluations(tmp_path: Path) -> None:
    clock = Clock()
    _, summary = run(tmp_path, SlowTask(clock), **options(clock))
    assert summary.stall_share == pytest.approx(12 / (12 + 36))
    # Three evaluations of 6 batches, each loaded too.
    assert summary.seconds == 12 + 36 + 3 * 6 * (100 + 1)


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    first, second = Clock(), Clock()
    with pytest.raises(KilledError):
        run(tmp_path, SlowTask(first, kill_at=9), **options(first))
    _, summary = run(tmp_path, SlowTask(second), resume_from_checkpoint="last", **options(second))
    # accelerate loads a batch ahead, so the tenth was loaded twice.
    assert summary.stall_share == pytest.approx(13 / (13 + 36))


def test_the_progress_bar_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = []
    opened = TrainingLog.open_bar
    monkeypatch.setattr(TrainingLog, "open_bar", lambda *given: bars.append(opened(*given)) or bars[-1])
    clock = Clock()
    run(tmp_path, SlowTask(clock), **options(clock))
    assert "stall=25%" in bars[0].postfix


def test_nothing_trained_nothing_waited_for(tmp_path: Path) -> None:
    _, summary = run(tmp_path, ToyTask(), epochs=0, max_steps=None)
    assert summary.stall_share is None


def test_the_results_hold_it(small_data: Path, pretrained: Path, tmp_path: Path) -> None:
    recipe = str(RECIPES / "video_qa_moving_shapes.yaml")
    common = [recipe, "--data_dir", str(small_data), *SHORT, "--tracker", "none", "--num_workers", "0"]
    trained = [*common, "--start_from", str(pretrained), "--output_dir", str(tmp_path / "trained"), "--max_steps", "2"]
    share = run_video_qa.main(trained)["stall_share"]
    assert 0 < share < 1
    assert json.loads((tmp_path / "trained" / "results.json").read_text())["stall_share"] == share == round(share, 3)
    evaluated = ["--start_from", str(tmp_path / "trained"), "--output_dir", str(tmp_path / "evaluated")]
    assert run_video_qa.main([*common, *evaluated, "--max_steps", "0"])["stall_share"] is None
