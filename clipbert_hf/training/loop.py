"""The training loop. It knows steps, not tasks: a task turns a batch into a loss or into records.

A run that resumes from a checkpoint ends with the same weights, to the last bit, as one that was never stopped. This
asks of the training loader that what it yields depends only on its sampler's epoch (``sampler.set_epoch``) and the
position, and that it has a random generator of its own; ``data.loaders.create_loader`` makes such loaders.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ClipBertError
from .checkpoints import (
    CheckpointError,
    checkpoint_path,
    complete_steps,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from .faults import PreemptedError, UnreadableVideos, never_stop
from .optimization import create_optimizer, create_schedule
from .recipe import LoopSettings, RecipeError
from .tracking import TrainingLog, progress_bar


class TrainingError(ClipBertError):
    """Training cannot go on."""


class Task(Protocol):
    """What a task teaches the loop. A batch is whatever the loaders yield."""

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """The loss of a training batch, a scalar with a graph."""

    def predict(self, model: nn.Module, batch: Any) -> list[Any]:
        """One record for each sample of an evaluation batch; anything that pickles."""

    def metrics(self, records: list[Any]) -> dict[str, float]:
        """Metrics of a whole split from the records of all its samples, each of them once."""


@dataclass
class Progress:
    """Where a run is; part of every checkpoint.

    Args:
        step: Optimizer steps done.
        epoch: Epochs done.
        batch: Micro-batches done in the current epoch.
        best_step: The step with the best metric so far.
        best_value: Its value.
        best_metrics: All metrics at that step.
        metrics: Those of the latest evaluation.
        seconds: Time spent in this loop, earlier parts of a resumed run included.
        evaluates: The evaluation after this step is still to come.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_step: int | None = None
    best_value: float | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    evaluates: bool = False

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)


@dataclass
class Summary:
    """What :func:`train` did.

    Args:
        steps: Optimizer steps, those before a resumption included.
        seconds: How long these and the evaluations among them took.
        best_step: The step whose weights the model has now.
        metrics: The evaluation at that step; empty without an evaluation split.
    """

    steps: int
    seconds: float
    best_step: int
    metrics: dict[str, float] = field(default_factory=dict)


def evaluate(
    accelerator: Accelerator,
    model: nn.Module,
    loader: DataLoader,
    task: Task,
    *,
    name: str = "evaluation",
    unreadable: UnreadableVideos | None = None,
    should_stop: Callable[[], bool] = never_stop,
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
        with torch.inference_mode():
            for batch in progress_bar(accelerator, loader, desc=name, leave=False):
                unreadable.note(batch, name)
                records += accelerator.gather_for_metrics(task.predict(model, batch), use_gather_object=True)
                if should_stop():
                    raise PreemptedError(f"stopped by SIGTERM in the evaluation of the split {name}")
    finally:
        model.train(was_training)
    unreadable.gather()
    return task.metrics(records)


def train(
    *,
    accelerator: Accelerator,
    model: nn.Module,
    task: Task,
    train_loader: DataLoader,
    eval_loader: DataLoader | None,
    settings: LoopSettings,
    is_cnn: Callable[[str], bool] = lambda name: False,
    unreadable: UnreadableVideos | None = None,
    should_stop: Callable[[], bool] = never_stop,
) -> tuple[nn.Module, Summary]:
    """Train a model, and leave it with its best weights.

    Args:
        accelerator: Made with ``settings.gradient_accumulation_steps`` and the mixed precision wanted.
        model: The model, not prepared yet.
        task: What to do with a batch.
        train_loader: Not prepared yet; see the module.
        eval_loader: Not prepared yet; None: no evaluation, so the latest weights are the best.
        settings: How long, how fast, how often.
        is_cnn: Names of the parameters with the learning rate of the CNN.
        unreadable: Counts videos that cannot be read; None: such a video is an error.
        should_stop: Whether the run is to be saved and left, asked after each step and evaluated batch.

    Returns:
        The model as accelerate has prepared it, and what was done.

    Raises:
        TrainingError: If a loss is not finite.
        PreemptedError: If the run was left, saved.
        UnreadableVideoError: If a video cannot be read, and such are not to be skipped.
        CheckpointError: If a checkpoint cannot be written, or the one to resume from is damaged or does not fit.
        RecipeError: If ``settings.best_metric`` is none of the task's.
    """
    unreadable = unreadable or UnreadableVideos(accelerator, skip=False)
    run = _Run(accelerator, model, task, train_loader, eval_loader, settings, is_cnn, unreadable, should_stop)
    return run.model, run.train()


class _Run:
    """The state of one call of :func:`train`."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        task: Task,
        train_loader: DataLoader,
        eval_loader: DataLoader | None,
        settings: LoopSettings,
        is_cnn: Callable[[str], bool],
        unreadable: UnreadableVideos,
        should_stop: Callable[[], bool],
    ) -> None:
        self.accelerator, self.task, self.settings = accelerator, task, settings
        self.unreadable, self.should_stop = unreadable, should_stop
        self.sampler = train_loader.sampler
        optimizer = create_optimizer(model, settings, is_cnn)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.train_loader = accelerator.prepare(train_loader)
        self.eval_loader = None if eval_loader is None else accelerator.prepare(eval_loader)
        steps_per_epoch = math.ceil(len(self.train_loader) / settings.gradient_accumulation_steps)
        self.total_steps = settings.epochs * steps_per_epoch if settings.max_steps is None else settings.max_steps
        self.schedule = create_schedule(self.optimizer, settings, self.total_steps)
        self.progress, self.saved_step = Progress(), -1
        step_size = self.train_loader.total_batch_size * settings.gradient_accumulation_steps
        self.log = TrainingLog(accelerator, settings, step_size=step_size)
        self._resume()

    # --- The loop ---

    def train(self) -> Summary:
        started = time.monotonic() - self.progress.seconds
        self.model.train()
        with self.log.open_bar(self.progress.step, self.total_steps):
            if self.progress.evaluates:
                self._finish_step()
            while self.progress.step < self.total_steps:
                for _ in self._epoch_steps():
                    self.progress.seconds = time.monotonic() - started
                    self._after_step()
                    if self.progress.step >= self.total_steps:
                        break
                    if self.should_stop():
                        self._leave()
        if self.total_steps:
            self._restore_best()
        progress = self.progress
        progress.seconds = time.monotonic() - started
        best_step = progress.step if progress.best_step is None else progress.best_step
        return Summary(progress.step, progress.seconds, best_step, progress.best_metrics or progress.metrics)

    def _epoch_steps(self) -> Iterator[None]:
        """Train for the rest of the current epoch, coming up for air after each step."""
        progress = self.progress
        loader = self.train_loader
        if progress.batch:
            loader = self.accelerator.skip_first_batches(loader, progress.batch)
        batches = len(self.train_loader)
        # accelerate counts the epochs of this process, which a resumed run starts anew.
        loader.set_epoch(progress.epoch)
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(progress.epoch)
        for batch in loader:
            self.unreadable.note(batch, "train")
            with self.accelerator.accumulate(self.model):
                self._micro_step(batch)
                stepped = self.accelerator.sync_gradients
            progress.batch += 1
            if progress.batch == batches:
                progress.epoch, progress.batch = progress.epoch + 1, 0
            if stepped:
                progress.step += 1
                yield

    def _micro_step(self, batch: Any) -> None:
        with self.accelerator.autocast():
            loss = self.task.loss(self.model, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            self._stop_at(value, batch.get("ids", "not given") if isinstance(batch, dict) else "not given")
        self.log.add_loss(value)
        self.accelerator.backward(loss)
        if self.accelerator.sync_gradients and self.settings.max_grad_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        if self.accelerator.sync_gradients and not self.optimizer.step_was_skipped:
            self.schedule.step()
        self.optimizer.zero_grad()

    def _stop_at(self, loss: float, ids: Any) -> None:
        """Name the samples of a loss that is not finite, in the error and in a file of this process."""
        progress, process = self.progress, self.accelerator.process_index
        path = Path(self.settings.output_dir) / f"non_finite_loss_{process}.json"
        place = {"step": progress.step + 1, "epoch": progress.epoch + 1, "batch": progress.batch + 1}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**place, "loss": str(loss), "ids": ids}, indent=2, default=str) + "\n", "utf-8")
        raise TrainingError(
            f"the loss is {loss} in step {place['step']} (epoch {place['epoch']}, batch {place['batch']}); ids of the "
            f"samples: {ids} (also in {path}). Lower learning_rate, or use fp32"
        )

    def _after_step(self) -> None:
        settings, progress = self.settings, self.progress
        self.log.advance(progress.step, self.optimizer)
        due = progress.batch == 0 if settings.evaluate_every is None else progress.step % settings.evaluate_every == 0
        progress.evaluates = due or progress.step == self.total_steps
        self._finish_step()

    def _finish_step(self) -> None:
        """Evaluate, log and save as the current step asks for. A run that was stopped in an evaluation resumes here."""
        settings, progress = self.settings, self.progress
        evaluates, epoch_done = progress.evaluates, progress.batch == 0
        if evaluates:
            self._evaluate()
            progress.evaluates = False
        if evaluates or epoch_done:
            self.unreadable.gather()
            self.log.write_line(
                step=progress.step,
                epoch=progress.epoch + progress.batch / len(self.train_loader),
                seconds=progress.seconds,
                optimizer=self.optimizer,
                metrics={**(progress.metrics if evaluates else {}), **self.unreadable.counts()},
            )
        if evaluates or (settings.checkpoint_every and progress.step % settings.checkpoint_every == 0):
            self._save()

    # --- Evaluation and checkpoints ---

    def _evaluate(self) -> None:
        if self.eval_loader is None:
            return
        try:
            metrics = evaluate(
                self.accelerator,
                self.model,
                self.eval_loader,
                self.task,
                name="validation",
                unreadable=self.unreadable,
                should_stop=self.should_stop,
            )
        except PreemptedError:
            self._leave()
        self.progress.metrics = metrics
        self.log.draw(metrics, "validation", self.progress.step)
        name = self.settings.best_metric
        if name is None:
            return
        if name not in metrics:
            raise RecipeError(f"best_metric must be one of {', '.join(sorted(metrics))}; got {name!r}")
        value, best = metrics[name], self.progress.best_value
        if best is None or (value > best if self.settings.best_is == "highest" else value < best):
            self.progress.best_value, self.progress.best_step = value, self.progress.step
            self.progress.best_metrics = metrics

    def _save(self) -> None:
        progress, settings = self.progress, self.settings
        keep = [] if progress.best_step is None else [progress.best_step]
        self.unreadable.gather()
        state = {
            "progress": asdict(progress),
            "schedule": self.schedule.state_dict(),
            "log": self.log.state_dict(),
            "unreadable_videos": self.unreadable.state_dict(),
        }
        save_checkpoint(
            self.accelerator, settings.output_dir, progress.step, state, keep_last=settings.keep_checkpoints, keep=keep
        )
        self.saved_step = progress.step

    def _leave(self) -> NoReturn:
        """Save, unless that is done, and end the run."""
        if self.saved_step != self.progress.step:
            self._save()
        raise PreemptedError(
            f"stopped by SIGTERM and saved after step {self.progress.step} of {self.total_steps}; "
            f"resume_from_checkpoint=last continues exactly there"
        )

    def _resume(self) -> None:
        wanted = self.settings.resume_from_checkpoint
        path = None if wanted is None else find_checkpoint(self.settings.output_dir, wanted)
        if path is None:
            if wanted is None and self.total_steps and complete_steps(self.settings.output_dir):
                raise CheckpointError(
                    f"{self.settings.output_dir} holds the checkpoints of an earlier run: continue it with "
                    f"resume_from_checkpoint=last, or choose another output_dir"
                )
            self.log.begin(0)
            return
        state = load_checkpoint(self.accelerator, path)
        self.progress.load_state_dict(state["progress"])
        self.schedule.load_state_dict(state["schedule"])
        self.unreadable.load_state_dict(state["unreadable_videos"])
        self.log.begin(self.progress.step, state["log"])
        self.saved_step = self.progress.step
        if self.progress.step > self.total_steps:
            raise CheckpointError(f"{path} is beyond the last step of this run, {self.total_steps}")

    def _restore_best(self) -> None:
        best = self.progress.best_step
        if best is None or best == self.progress.step:
            return
        path = find_checkpoint(self.settings.output_dir, str(checkpoint_path(self.settings.output_dir, best)))
        if path is not None:
            load_checkpoint(self.accelerator, path)
