"""A small task with all that makes resuming hard: dropout, and losses that draw from every global generator."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import nn

from clipbert_hf.training.data.loaders import create_loader
from clipbert_hf.training.faults import never_stop
from clipbert_hf.training.loop import Summary, train
from clipbert_hf.training.recipe import ScriptSettings

SAMPLES = 22
GROUPS = [[{"x": float(i)}] for i in range(SAMPLES)]


class KilledError(Exception):
    pass


def read_sample(rows: list[dict[str, Any]], generator: np.random.Generator) -> torch.Tensor:
    noise = torch.from_numpy(generator.standard_normal(3).astype(np.float32))
    return torch.tensor([rows[0]["x"], *noise.tolist()])


def collate(samples: list[torch.Tensor]) -> dict[str, Any]:
    inputs = torch.stack(samples)
    return {"inputs": inputs, "ids": [f"sample {value:.0f}" for value in inputs[:, 0].tolist()]}


class ToyTask:
    """Regression; the loss also draws from the three global generators, as augmentation might."""

    metric_names = ("count", "distinct", "score")

    def __init__(
        self, *, random_loss: bool = True, kill_at: int | None = None, scores: list[float] | None = None
    ) -> None:
        self.random_loss, self.kill_at, self.scores = random_loss, kill_at, scores
        self.calls = 0
        self.seen: list[list[float]] = []

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        if self.calls == self.kill_at:
            raise KilledError
        self.calls += 1
        self.seen.append(batch["inputs"].flatten().tolist())
        target = batch["inputs"].sum(1, keepdim=True)
        loss = (model(batch["inputs"] / SAMPLES) - target / SAMPLES).square().mean()
        if self.random_loss:
            loss = loss * (1 + random.random()) * (1 + np.random.rand())
        return loss

    def label_counts(self, batch: dict[str, Any]) -> int:
        return len(batch["inputs"])

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> list[float]:
        return batch["inputs"][:, 0].tolist()

    def metrics(self, records: list[float]) -> dict[str, float]:
        score = self.scores.pop(0) if self.scores is not None else 0.0
        return {"count": float(len(records)), "distinct": float(len(set(records))), "score": score}


def make_model(*, dropout: float = 0.3) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1))


def run(
    output: Path,
    task: ToyTask,
    *,
    model: nn.Module | None = None,
    evaluated: bool = True,
    workers: int = 0,
    should_stop: Callable[[], bool] = never_stop,
    clock: Callable[[], float] = time.monotonic,
    collate: Callable[[list[torch.Tensor]], dict[str, Any]] = collate,
    **options: Any,
) -> tuple[dict[str, torch.Tensor], Summary]:
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    options = {"batch_size": 4, "max_steps": 14, "learning_rate": 0.01, "log_every": 1, **options}
    settings = ScriptSettings(output_dir=str(output), data_dir="x", num_workers=workers, **options)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=settings.gradient_accumulation_steps)
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    model = make_model() if model is None else model
    torch.manual_seed(3)
    trained, summary = train(
        accelerator=accelerator,
        model=model,
        task=task,
        train_loader=create_loader(GROUPS, read_sample, collate, settings, training=True),
        eval_loader=create_loader(GROUPS, read_sample, collate, settings, training=False) if evaluated else None,
        settings=settings,
        should_stop=should_stop,
        clock=clock,
    )
    return {name: tensor.clone() for name, tensor in trained.state_dict().items()}, summary


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
