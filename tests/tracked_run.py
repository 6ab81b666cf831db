"""A run of the loop with a tracker and a tiny model, for a process of its own."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from clipbert_hf.training.loop import train
from clipbert_hf.training.recipe import LoopSettings
from clipbert_hf.training.recipe_parsing import parse_recipe
from clipbert_hf.training.run import begin_run, open_run


class EndedError(Exception):
    pass


class LineTask:
    """Fits a line and writes down the loss of each step, after which it may end the process."""

    def __init__(self, losses: Path, end_after: int, how: str) -> None:
        self.losses, self.end_after, self.how = losses, end_after, how
        self.step = 0

    def loss(self, model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        if self.step == self.end_after and self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.step == self.end_after and self.how == "stop":
            raise EndedError
        loss = (model(batch) - 2 * batch).square().mean()
        self.step += 1
        with self.losses.open("a") as file:
            file.write(json.dumps(float(loss.detach())) + "\n")
        return loss

    metric_names = ("count",)

    def label_counts(self, batch: torch.Tensor) -> int:
        return len(batch)

    def predict(self, model: nn.Module, batch: torch.Tensor) -> list[float]:
        return model(batch).flatten().tolist()

    def metrics(self, records: list[float]) -> dict[str, float]:
        return {"count": float(len(records))}


def main(losses: Path, end_after: int, how: str, arguments: list[str], environment: dict[str, str]) -> None:
    """Train with these settings; ``losses`` gets a line a step, and after so many the run is stopped or killed."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "TRACKIO_", "HF_TOKEN")):
            del os.environ[name]
    os.environ.update(environment)
    recipe = parse_recipe(LoopSettings, arguments)
    accelerator = open_run(recipe)
    torch.manual_seed(0)
    samples = torch.arange(1.0, 9.0).reshape(8, 1)

    def loader() -> Any:
        return DataLoader(samples, batch_size=2, generator=torch.Generator())

    with suppress(EndedError):
        train(
            accelerator=accelerator,
            model=nn.Linear(1, 1),
            task=LineTask(losses, end_after, how),
            train_loader=loader(),
            eval_loader=loader(),
            settings=recipe,
            begin=lambda: begin_run(accelerator, recipe),
        )
    accelerator.end_training()
