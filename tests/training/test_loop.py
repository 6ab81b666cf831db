from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from toy_task import GROUPS, KilledError, ToyTask, collate, equal, make_model, read_sample, run

from clipbert_hf.training.checkpoints import CheckpointError, checkpoint_path, complete_steps, find_checkpoint
from clipbert_hf.training.data.loaders import create_loader
from clipbert_hf.training.evaluation import evaluate
from clipbert_hf.training.loop import TrainingError
from clipbert_hf.training.recipe import RecipeError, ScriptSettings
from clipbert_hf.training.tracking import read_log

# 22 samples in batches of 4 are 6 batches an epoch; 14 steps are two epochs and two steps.


@pytest.mark.parametrize(
    ("kill_at", "accumulation", "workers"),
    [(1, 1, 0), (5, 1, 0), (6, 1, 0), (7, 1, 0), (9, 1, 0), (9, 1, 2), (13, 1, 0), (11, 2, 0), (17, 2, 1)],
)
def test_resume_is_exact(tmp_path: Path, kill_at: int, accumulation: int, workers: int) -> None:
    options: dict[str, Any] = {
        "gradient_accumulation_steps": accumulation,
        "checkpoint_every": 1,
        "evaluate_every": 4,
        "keep_checkpoints": 2,
        "workers": workers,
    }
    whole = ToyTask()
    expected, summary = run(tmp_path / "whole", whole, **options)
    first = ToyTask(kill_at=kill_at)
    with pytest.raises(KilledError):
        run(tmp_path / "parts", first, **options)
    second = ToyTask()
    weights, resumed = run(tmp_path / "parts", second, resume_from_checkpoint="last", **options)
    assert equal(weights, expected)
    # Nothing is left out; what was done since the last checkpoint is done again.
    assert whole.seen[-len(second.seen) :] == second.seen
    assert len(second.seen) < len(whole.seen)
    assert (resumed.steps, resumed.best_step) == (summary.steps, summary.best_step) == (14, 14)
    lines = [
        [{**line, "seconds": 0, "samples_per_second": 0} for line in read_log(tmp_path / name / "log.jsonl")]
        for name in ("whole", "parts")
    ]
    for one, other in zip(*lines, strict=True):
        assert one == other


def test_resume_of_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    weights, _ = run(tmp_path, ToyTask())
    task = ToyTask()
    again, summary = run(tmp_path, task, resume_from_checkpoint="last")
    assert equal(weights, again)
    assert (task.calls, summary.steps) == (0, 14)


def test_resume_last_starts_a_run_that_has_no_checkpoint(tmp_path: Path) -> None:
    weights, _ = run(tmp_path / "a", ToyTask())
    again, _ = run(tmp_path / "b", ToyTask(), resume_from_checkpoint="last")
    assert equal(weights, again)


def test_resume_from_a_named_checkpoint(tmp_path: Path) -> None:
    weights, _ = run(tmp_path, ToyTask(), checkpoint_every=5, keep_checkpoints=9)
    again, _ = run(tmp_path, ToyTask(), resume_from_checkpoint=str(checkpoint_path(tmp_path, 5)))
    assert equal(weights, again)


def test_checkpoints_that_cannot_be_resumed(tmp_path: Path) -> None:
    run(tmp_path, ToyTask(), max_steps=3)
    with pytest.raises(CheckpointError, match="earlier run: continue it with resume_from_checkpoint=last"):
        run(tmp_path, ToyTask())
    with pytest.raises(CheckpointError, match=r"must be last or a folder named step_.*step_00000003"):
        run(tmp_path, ToyTask(), resume_from_checkpoint=str(tmp_path / "step_7"))
    with pytest.raises(CheckpointError, match="max_steps: 3 then, 2 now"):
        run(tmp_path, ToyTask(), max_steps=2, resume_from_checkpoint="last")
    with pytest.raises(CheckpointError, match=r"cannot resume from .*step_00000003"):
        run(tmp_path, ToyTask(), model=nn.Linear(4, 1), max_steps=3, resume_from_checkpoint="last")
    # As if two processes had saved it.
    path = checkpoint_path(tmp_path, 3)
    (path / "random_states_0.pkl").rename(path / "random_states_7.pkl")
    (path / "files.json").write_text((path / "files.json").read_text().replace("states_0", "states_7"))
    with pytest.raises(CheckpointError, match="no random state of process 0"):
        run(tmp_path, ToyTask(), max_steps=3, resume_from_checkpoint="last")


def test_an_interrupted_save_leaves_the_earlier_checkpoints(tmp_path: Path) -> None:
    class FullDisk(nn.Linear):
        def _save_to_state_dict(self, *arguments: Any) -> None:
            if len(complete_steps(tmp_path)) == 2:
                raise OSError("no space left on device")
            super()._save_to_state_dict(*arguments)

    with pytest.raises(CheckpointError, match=r"cannot write .*no space left .*last good one is .*step_00000002"):
        run(tmp_path, ToyTask(), model=FullDisk(4, 1), checkpoint_every=1, keep_checkpoints=9)
    # What a kill in the middle of writing leaves.
    (tmp_path / "checkpoints" / ".unfinished_step_00000003").mkdir(exist_ok=True)
    assert complete_steps(tmp_path) == [1, 2]
    assert find_checkpoint(tmp_path, "last") == checkpoint_path(tmp_path, 2)
    torch.manual_seed(1)
    _, summary = run(tmp_path, ToyTask(), model=nn.Linear(4, 1), resume_from_checkpoint="last")
    assert summary.steps == 14


def test_best_and_last_checkpoints(tmp_path: Path) -> None:
    # Evaluations after steps 4, 8, 12 and 14.
    task = ToyTask(scores=[0.1, 0.9, 0.3, 0.2])
    weights, summary = run(tmp_path, task, evaluate_every=4, best_metric="score", keep_checkpoints=1)
    assert complete_steps(tmp_path) == [8, 14]
    assert summary.best_step == 8
    assert summary.metrics == {"count": 22.0, "distinct": 22.0, "score": 0.9}
    best = torch.load(checkpoint_path(tmp_path, 8) / "pytorch_model.bin", weights_only=True)
    last = torch.load(checkpoint_path(tmp_path, 14) / "pytorch_model.bin", weights_only=True)
    assert equal(weights, best)
    assert not equal(best, last)


def test_lowest_is_best_and_the_best_is_remembered_over_a_resumption(tmp_path: Path) -> None:
    options: dict[str, Any] = {"evaluate_every": 4, "best_metric": "score", "best_is": "lowest"}
    with pytest.raises(KilledError):
        run(tmp_path, ToyTask(scores=[0.5, 0.2], kill_at=10), **options)
    _, summary = run(tmp_path, ToyTask(scores=[0.4, 0.3]), resume_from_checkpoint="last", **options)
    assert (summary.best_step, summary.metrics["score"]) == (8, 0.2)


def test_unknown_best_metric(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="best_metric must be one of count, distinct, score; got 'accuracy'"):
        run(tmp_path, ToyTask(), best_metric="accuracy")


def test_accumulation_equals_a_larger_batch(tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_steps": 2, "evaluated": False}

    def model() -> nn.Module:
        return make_model(dropout=0.0)

    large, _ = run(tmp_path / "a", ToyTask(random_loss=False), model=model(), batch_size=8, **options)
    small, _ = run(
        tmp_path / "b",
        ToyTask(random_loss=False),
        model=model(),
        batch_size=2,
        gradient_accumulation_steps=4,
        **options,
    )
    for name in large:
        torch.testing.assert_close(large[name], small[name], atol=1e-6, rtol=1e-5)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    norms: list[float] = []

    def record(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients if g is not None]))))

    def norms_of(name: str, limit: float | None) -> list[float]:
        norms.clear()
        run(tmp_path / name, ToyTask(), model=make_model(dropout=0.0), max_grad_norm=limit, max_steps=3)
        return list(norms)

    hook = register_optimizer_step_pre_hook(record)
    try:
        free, clipped = norms_of("free", None), norms_of("clipped", 0.01)
    finally:
        hook.remove()
    assert min(free) > 0.01
    assert clipped == pytest.approx([0.01] * 3, rel=1e-3)


def test_each_sample_is_evaluated_once(tmp_path: Path) -> None:
    settings = ScriptSettings(output_dir=str(tmp_path), data_dir="x", num_workers=0, batch_size=4)
    loader = create_loader(GROUPS, read_sample, collate, settings, training=False)
    accelerator = Accelerator(cpu=True)
    model, loader = accelerator.prepare(make_model(), loader)
    model.train()
    metrics = evaluate(accelerator, model, loader, ToyTask())
    assert (metrics["count"], metrics["distinct"]) == (22, 22)
    assert model.training


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(tmp_path: Path, value: float) -> None:
    class Broken(ToyTask):
        def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
            loss = super().loss(model, batch)
            return loss * value if self.calls == 8 else loss

    with pytest.raises(TrainingError, match=rf"loss is {value} in step 8 \(epoch 2, batch 2\); ids.*'sample \d+'"):
        run(tmp_path, Broken())
    written = json.loads(next(tmp_path.rglob("non_finite_loss_0.json")).read_text())
    assert (written["step"], written["epoch"], written["batch"], written["loss"]) == (8, 2, 2, str(value))
    assert all(name.startswith("sample ") for name in written["ids"])


def test_log_and_tracker(tmp_path: Path) -> None:
    run(tmp_path, ToyTask(), epochs=2, max_steps=None)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(6, 1.0), (12, 2.0)]
    assert lines[-1]["learning_rate/other"] == 0
    assert {"loss", "samples_per_second", "seconds", "score"} <= set(lines[0])


def test_no_epochs_trains_nothing(tmp_path: Path) -> None:
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights, summary = run(tmp_path, ToyTask(), model=model, epochs=0, max_steps=None)
    assert equal(before, weights)
    assert summary.steps == 0
