"""Evaluation, and what a task has to teach the loop for it and for training."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from .faults import PreemptedError, UnreadableVideos, never_stop
from .tracking import progress_bar

_WORTH_SAYING = 60.0  # seconds


class Task(Protocol):
    """What a task teaches the loop. A batch is whatever the loaders yield."""

    @property
    def metric_names(self) -> Collection[str]:
        """The names that :meth:`metrics` gives; ``*`` in one stands for what only the data tell."""

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor | Mapping[str, torch.Tensor]:
        """The loss of a training batch, a scalar with a graph: a mean over labels. Several, by name, are added up."""

    def label_counts(self, batch: Any) -> int | Mapping[str, int]:
        """Over how many labels each loss of a batch is the mean.

        With that the loop makes of the micro-batches of a step, in all processes, the loss of one large batch.
        """

    def predict(self, model: nn.Module, batch: Any) -> list[Any]:
        """One record for each sample of an evaluation batch; anything that pickles."""

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """Metrics of a whole split from the records of all its samples, each of them once."""

    # A task may also have a text ``evaluation_size``: how much there is to do in an evaluation, such as its pairs. And
    # ``begin_step(accelerator, model, batches)``, told the micro-batches of a step before their losses are taken: for a
    # loss that is no sum over samples. And ``adopt(model, metrics)``, told before the test what the validation found
    # for the weights that are kept. And ``predictions(records)``: what the test predicted, a mapping for each sample or
    # question, which becomes predictions.jsonl.


def begin_step(task: Task, accelerator: Accelerator, model: nn.Module, batches: list[Any]) -> None:
    """Tell a task, if it asks for it, of the micro-batches that this process has in a step."""
    begin = getattr(task, "begin_step", None)
    if begin is not None:
        begin(accelerator, model, batches)


def adopt(task: Task, model: nn.Module, metrics: Mapping[str, float]) -> None:
    """Tell a task, if it asks for it, what the validation found, before the test."""
    method = getattr(task, "adopt", None)
    if method is not None:
        method(model, metrics)


def predictions_of(task: Task, records: list[Any]) -> list[dict[str, Any]]:
    """What a task predicted, if it tells."""
    method = getattr(task, "predictions", None)
    return [] if method is None else method(records)


def evaluate(
    accelerator: Accelerator,
    model: nn.Module,
    loader: DataLoader,
    task: Task,
    *,
    name: str = "evaluation",
    unreadable: UnreadableVideos | None = None,
    should_stop: Callable[[], bool] = never_stop,
    announces: bool = True,
    on_records: Callable[[list[Any]], None] | None = None,
) -> dict[str, float]:
    """Evaluate a model.

    Args:
        accelerator: With which model and loader were prepared.
        model: The model; it is put back into the mode it was in.
        loader: The split.
        task: What to do with a batch.
        name: The split; the progress bar shows it.
        unreadable: Counts videos that cannot be read; None: such a video is an error.
        should_stop: Whether the evaluation is to be given up, asked after each batch.
        announces: Whether to say what it will cost: how much there is to do, and about how long it will take.
        on_records: Told the records of all samples, in every process.

    Returns:
        ``task.metrics`` over all samples of all processes, without the duplicates that fill up the last batch.

    Raises:
        PreemptedError: If it was given up.
        UnreadableVideoError: If a video cannot be read, and such are not to be skipped.
    """
    unreadable = unreadable or UnreadableVideos(accelerator, skip=False)
    was_training = model.training
    model.eval()
    records: list[Any] = []
    try:
        # In the precision of training, also where a task calls other methods of the model than forward.
        with torch.inference_mode(), accelerator.autocast():
            cost = EvaluationCost(accelerator, name, loader, task) if announces else None
            for batch in progress_bar(accelerator, loader, desc=name, leave=False):
                unreadable.note(batch, name)
                records += accelerator.gather_for_metrics(task.predict(model, batch), use_gather_object=True)
                if cost is not None:
                    cost.batch_done()
                if should_stop():
                    raise PreemptedError(f"stopped by SIGTERM in the evaluation of the split {name}")
    finally:
        model.train(was_training)
    unreadable.gather()
    if on_records is not None:
        on_records(records)
    return task.metrics(records)


class EvaluationCost:
    """Says what an evaluation will cost: how much there is to do, and soon about how long it will take.

    Args:
        accelerator: Its main process says it.
        name: The split.
        loader: Of the split.
        task: May have a text ``evaluation_size``.
    """

    def __init__(self, accelerator: Accelerator, name: str, loader: Any, task: Any) -> None:
        self.says, self.name, self.batches, self.done = accelerator.is_main_process, name, len(loader), 0
        size = getattr(task, "evaluation_size", "")
        self._say(f"{len(loader.dataset)} samples in {self.batches} batches{size and f'; {size}'}")
        self.latest = 0.0

    def batch_done(self) -> None:
        """Note a batch; the second tells how long one takes, since the first has waited for the workers to start."""
        self.done += 1
        now = time.monotonic()
        if self.done == 2:
            rest = (self.batches - self.done) * (now - self.latest)
            if rest >= _WORTH_SAYING:
                self._say(f"about {rest / 60:.0f} min more")
        self.latest = now

    def _say(self, text: str) -> None:
        if self.says:
            tqdm.write(f"{self.name}: {text}", file=sys.stderr)
