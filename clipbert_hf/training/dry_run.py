"""A dry run: one batch of training and one of each evaluation, nothing written, and what would be trained on what."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from .evaluation import Task, begin_step
from .loop import losses_by_name, total_steps_of
from .recipe import ScriptSettings


def try_out(
    accelerator: Accelerator,
    model: nn.Module,
    recipe: ScriptSettings,
    training: tuple[Task, DataLoader[Any]],
    evaluations: Sequence[tuple[str, Task, DataLoader[Any] | None]],
) -> dict[str, Any]:
    """Go once through all that a run does with a batch.

    Args:
        accelerator: Of the run.
        model: The model, not prepared yet.
        recipe: The settings.
        training: The task and the loader of the training split.
        evaluations: Of each evaluation the name of the split, the task and the loader, if there is one.

    Returns:
        What was found, which is also printed.
    """
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    found: dict[str, Any] = {
        "parameters": sum(number for number, _ in counts),
        "parameters that train": sum(number for number, trains in counts if trains),
        "starts from": recipe.start_from or recipe.vision or recipe.text or "random weights",
    }
    task, loader = training
    model = accelerator.prepare(model)
    if recipe.trains:
        loader = accelerator.prepare(loader)
        began = time.monotonic()
        losses = _train_one(accelerator, model, task, next(iter(loader)))
        found["train"] = {
            "samples": len(loader.dataset),
            "samples a step": loader.total_batch_size * recipe.gradient_accumulation_steps,
            "steps": total_steps_of(recipe, len(loader)),
            "seconds of the first batch": round(time.monotonic() - began, 2),
            "loss of the first batch": losses,
        }
    for split, of_split, unprepared in evaluations:
        if unprepared is not None:
            found[split] = _evaluate_one(accelerator, model, of_split, accelerator.prepare(unprepared))
    if accelerator.is_main_process:
        sys.stdout.write("".join(f"{name}: {value}\n" for name, value in found.items()) + "dry run: nothing written\n")
    return found


def _train_one(accelerator: Accelerator, model: nn.Module, task: Task, batch: Any) -> dict[str, float]:
    model.train()
    begin_step(task, accelerator, model, [batch])
    with accelerator.autocast():
        losses = losses_by_name(task.loss(model, batch))
    accelerator.backward(torch.stack([*losses.values()]).sum())
    model.zero_grad()
    return {name: round(float(loss.detach()), 4) for name, loss in losses.items()}


def _evaluate_one(accelerator: Accelerator, model: nn.Module, task: Task, loader: Any) -> dict[str, Any]:
    began = time.monotonic()
    model.eval()
    with torch.inference_mode(), accelerator.autocast():
        task.predict(model, next(iter(loader)))
    seconds = time.monotonic() - began
    return {
        "samples": len(loader.dataset),
        "batches": len(loader),
        "seconds of the first batch": round(seconds, 2),
        "about seconds in all": round(seconds * len(loader)),
    }
