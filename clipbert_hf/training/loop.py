"""The training loop. It knows steps, not tasks: a task turns a batch into a loss or into records.

A run that resumes from a checkpoint ends with the same weights, to the last bit, as one that was never stopped. This
asks of the training loader that what it yields depends only on its sampler's epoch (``sampler.set_epoch``) and the
position, and that it has a random generator of its own; ``data.loaders.create_loader`` makes such loaders.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ClipBertError
from .checkpoints import (
    CheckpointError,
    check_conditions,
    checkpoint_path,
    complete_steps,
    find_checkpoint,
    load_checkpoint,
    read_state,
    resume_conditions,
    save_checkpoint,
)
from .evaluation import Task, begin_step, evaluate
from .faults import PreemptedError, UnreadableVideos, never_stop
from .optimization import create_optimizer, create_schedule
from .recipe import LoopSettings, RecipeError
from .tracking import TrainingLog


class TrainingError(ClipBertError):
    """Training cannot go on."""


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
        waiting: Time of ``seconds`` in which the steps waited for their batches.
        working: Time of ``seconds`` in which the steps were taken; the rest went to evaluations and checkpoints.
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
    waiting: float = 0.0
    working: float = 0.0
    evaluates: bool = False

    @property
    def stall_share(self) -> float | None:
        """The part of the time of training that was spent waiting for batches, 0 to 1; None before the first step."""
        spent = self.waiting + self.working
        return self.waiting / spent if spent else None

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
        stall_share: The part of the time of training, evaluations and checkpoints aside, that was spent waiting for
            batches, 0 to 1; None where nothing was trained. Of several processes that of the one that waited most,
            since the others wait for it in every step. Where a GPU computes on while its next batch is fetched, the
            true share is lower.
    """

    steps: int
    seconds: float
    best_step: int
    metrics: dict[str, float] = field(default_factory=dict)
    stall_share: float | None = None


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
    begin: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[nn.Module, Summary]:
    """Train a model, and leave it with its best weights.

    Whatever is refused is refused before anything is written.

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
        begin: Called when all is checked, and before anything is written.
        clock: Tells the time in seconds.

    Returns:
        The model as accelerate has prepared it, and what was done.

    Raises:
        TrainingError: If a loss is not finite.
        PreemptedError: If the run was left, saved.
        UnreadableVideoError: If a video cannot be read, and such are not to be skipped.
        CheckpointError: If a checkpoint cannot be written, or the one to resume from is damaged, does not fit, or was
            saved under settings with which the run would not end as it would have.
        RecipeError: If ``settings.best_metric`` is none of the task's.
    """
    unreadable = unreadable or UnreadableVideos(accelerator, skip=False)
    if eval_loader is not None:
        check_best_metric(settings, task)
    run = _Run(accelerator, model, task, train_loader, eval_loader, settings, is_cnn, unreadable, should_stop, clock)
    run.begin(begin)
    return run.model, run.train()


def total_steps_of(settings: LoopSettings, batches: int) -> int:
    """How many optimizer steps a run takes whose epochs have so many micro-batches in each process."""
    if settings.max_steps is not None:
        return settings.max_steps
    return settings.epochs * math.ceil(batches / settings.gradient_accumulation_steps)


def check_best_metric(settings: LoopSettings, task: Task) -> None:
    """Check that the metric that chooses the best checkpoint is one of the task's.

    Raises:
        RecipeError: If not.
    """
    name = settings.best_metric
    if name is not None and not any(fnmatchcase(name, pattern) for pattern in task.metric_names):
        raise RecipeError(f"best_metric must be one of {', '.join(sorted(task.metric_names))}; got {name!r}")


def losses_by_name(value: Any) -> dict[str, Any]:
    """One loss, or count, or several by name, as several by name."""
    return dict(value) if isinstance(value, Mapping) else {"loss": value}


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
        clock: Callable[[], float],
    ) -> None:
        self.accelerator, self.task, self.settings = accelerator, task, settings
        self.unreadable, self.should_stop, self.clock = unreadable, should_stop, clock
        self.sampler = train_loader.sampler
        optimizer = create_optimizer(model, settings, is_cnn)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.train_loader = accelerator.prepare(train_loader)
        self.eval_loader = None if eval_loader is None else accelerator.prepare(eval_loader)
        self.total_steps = total_steps_of(settings, len(self.train_loader))
        if self.total_steps == 1:
            raise RecipeError("one step trains nothing, since the rate of the last step is 0, as released; give more")
        self.schedule = create_schedule(self.optimizer, settings, self.total_steps)
        self.progress, self.saved_step = Progress(), -1
        step_size = self.train_loader.total_batch_size * settings.gradient_accumulation_steps
        self.log = TrainingLog(accelerator, settings, step_size=step_size)
        processes = accelerator.num_processes
        self.conditions = resume_conditions(settings, processes, train_loader) if self.total_steps else {}

    # --- The loop ---

    def train(self) -> Summary:
        started = self.clock() - self.progress.seconds
        self.model.train()
        with self.log.open_bar(self.progress.step, self.total_steps):
            if self.progress.evaluates:
                self._finish_step()
            while self.progress.step < self.total_steps:
                for _ in self._epoch_steps():
                    self.progress.seconds = self.clock() - started
                    self._after_step()
                    if self.progress.step >= self.total_steps:
                        break
                    if self.should_stop():
                        self._leave()
        if self.total_steps:
            self._restore_best()
        progress = self.progress
        progress.seconds = self.clock() - started
        best_step = progress.step if progress.best_step is None else progress.best_step
        metrics = progress.best_metrics or progress.metrics
        return Summary(progress.step, progress.seconds, best_step, metrics, self._stall_share())

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
        window: list[Any] = []  # the micro-batches of a step; the last step of an epoch may have fewer
        for batch in self._awaited(loader):
            self.unreadable.note(batch, "train")
            window.append(batch)
            done = progress.batch + len(window)
            if len(window) < self.settings.gradient_accumulation_steps and done < batches:
                continue
            began = self.clock()
            self._step(window)
            progress.working += self.clock() - began
            window.clear()
            progress.step, progress.batch = progress.step + 1, done
            if done == batches:
                progress.epoch, progress.batch = progress.epoch + 1, 0
            yield

    def _awaited(self, loader: DataLoader) -> Iterator[Any]:
        """The batches of a loader; the time that each is waited for counts."""
        batches, ended = iter(loader), object()
        while True:
            began = self.clock()
            batch = next(batches, ended)
            self.progress.waiting += self.clock() - began
            if batch is ended:
                return
            yield batch

    def _stall_share(self) -> float | None:
        """See :class:`Summary`. A resumed run goes on from the times of the main process."""
        share = self.progress.stall_share
        if share is None:
            return None
        return float(self.accelerator.gather(torch.tensor([share], device=self.accelerator.device)).max())

    def _step(self, window: list[Any]) -> None:
        """Take a step whose gradient is that of one batch with all samples of the window, in all processes."""
        begin_step(self.task, self.accelerator, self.model, window)
        counts = [losses_by_name(self.task.label_counts(batch)) for batch in window]
        own = {name: sum(count[name] for count in counts) for name in counts[0]}
        counted = self.accelerator.reduce(torch.tensor([*own.values()], device=self.accelerator.device), "sum")
        everywhere = dict(zip(own, counted.tolist(), strict=True))
        value = 0.0
        for place, (batch, count) in enumerate(zip(window, counts, strict=True)):
            is_last = place == len(window) - 1
            # accelerate would count micro-batches as the loader yields them; here all of a step were fetched before.
            self.accelerator.gradient_state._set_sync_gradients(is_last)
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                losses = self._losses(batch)
                self.accelerator.backward(self._share(losses, count, everywhere))
            value += sum(float(loss.detach()) * count[name] / max(own[name], 1) for name, loss in losses.items())
        self.log.add_loss(value)
        if self.settings.max_grad_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        if not self.optimizer.step_was_skipped:
            self.schedule.step()
        self.optimizer.zero_grad()

    def _losses(self, batch: Any) -> dict[str, torch.Tensor]:
        with self.accelerator.autocast():
            losses = losses_by_name(self.task.loss(self.model, batch))
        for loss in losses.values():
            value = float(loss.detach())
            if not math.isfinite(value):
                self._stop_at(value, batch.get("ids", "not given") if isinstance(batch, dict) else "not given")
        return losses

    def _share(
        self, losses: Mapping[str, torch.Tensor], count: Mapping[str, int], everywhere: Mapping[str, int]
    ) -> torch.Tensor:
        """A micro-batch's share of the step's loss, as ``backward`` takes it.

        accelerate divides by the micro-batches of a whole window, and the processes' gradients are averaged; both are
        undone here, since each loss is divided by the number of its labels in the whole step.
        """
        undone = self.accelerator.gradient_accumulation_steps * self.accelerator.num_processes
        shares = [loss * (undone * count[name] / max(everywhere[name], 1)) for name, loss in losses.items()]
        return torch.stack(shares).sum()

    def _stop_at(self, loss: float, ids: Any) -> NoReturn:
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
        self.log.advance(progress.step, self.optimizer, progress.stall_share or 0.0)
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
                announces=not self.progress.metrics,
            )
        except PreemptedError:
            self._leave()
        self.progress.metrics = metrics
        self.log.draw(metrics, "validation", self.progress.step)
        name = self.settings.best_metric
        if name is None:
            return
        if name not in metrics:  # its name has a part that only the data tell
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
            "conditions": self.conditions,
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

    def begin(self, begin: Callable[[], None]) -> None:
        """Begin the run, or continue where a checkpoint left it; what is refused is refused before ``begin``."""
        path = self._checkpoint_to_resume()
        state: dict[str, Any] = {}
        if path is not None:
            check_conditions(path, read_state(path).get("conditions"), self.conditions)
            state = load_checkpoint(self.accelerator, path)
            self.progress.load_state_dict(state["progress"])
            self.schedule.load_state_dict(state["schedule"])
            self.unreadable.load_state_dict(state["unreadable_videos"])
            self.saved_step = self.progress.step
        begin()
        if self.total_steps:  # an evaluation leaves the log of a run as it is
            self.log.begin(self.progress.step, state.get("log"))

    def _checkpoint_to_resume(self) -> Path | None:
        wanted, output = self.settings.resume_from_checkpoint, self.settings.output_dir
        if wanted is not None:
            return find_checkpoint(output, wanted)
        if self.total_steps and complete_steps(output):
            raise CheckpointError(
                f"{output} holds the checkpoints of an earlier run: continue it with resume_from_checkpoint=last, or "
                "choose another output_dir"
            )
        return None

    def _restore_best(self) -> None:
        best = self.progress.best_step
        if best is None or best == self.progress.step:
            return
        path = find_checkpoint(self.settings.output_dir, str(checkpoint_path(self.settings.output_dir, best)))
        if path is not None:
            load_checkpoint(self.accelerator, path)
