"""What people see of a training run: the progress bar, log.jsonl and the tracker's curves."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from recipe import LoopSettings
from tqdm.auto import tqdm


class TrainingLog:
    """Collects the losses of a run and shows them.

    Args:
        accelerator: Whose tracker gets the curves.
        settings: The output folder, and how often points are drawn.
        step_size: Samples in a step, those of all processes.
    """

    def __init__(self, accelerator: Accelerator, settings: LoopSettings, *, step_size: int) -> None:
        self.accelerator, self.settings, self.step_size = accelerator, settings, step_size
        self.path = Path(settings.output_dir) / "log.jsonl"
        self.bar: tqdm | None = None
        # Of this process: the sum and number of losses since the latest line, and as many as the bar averages over.
        self.loss_sum, self.loss_count = 0.0, 0
        self.latest: list[float] = []

    def open_bar(self, step: int, total_steps: int) -> tqdm:
        """The progress bar of the run, a context manager."""
        self.bar = progress_bar(self.accelerator, total=total_steps, initial=step, desc="training", unit="step")
        return self.bar

    def begin(self, step: int, state: Mapping[str, Any] | None = None) -> None:
        """Begin a run, or continue one: forget what it wrote beyond the point it resumes from.

        Args:
            step: Steps done.
            state: What :meth:`state_dict` gave at that step.
        """
        for name, value in (state or {}).items():
            setattr(self, name, value)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.accelerator.is_main_process and self.path.exists():
            kept = [line for line in read_log(self.path) if line["step"] <= step and step > 0]
            shorter = self.path.with_suffix(".shorter")
            shorter.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
            os.replace(shorter, self.path)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {name: getattr(self, name) for name in ("loss_sum", "loss_count", "latest")}

    def add_loss(self, value: float) -> None:
        """Note the loss of a micro-batch."""
        self.loss_sum, self.loss_count = self.loss_sum + value, self.loss_count + 1
        window = self.settings.log_every * self.settings.gradient_accumulation_steps
        self.latest = [*self.latest[-window + 1 :], value] if window > 1 else [value]

    def advance(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        """Show that a step is done."""
        loss = sum(self.latest) / max(len(self.latest), 1)
        if step % self.settings.log_every == 0:
            self.draw({"loss": loss, **learning_rates(optimizer)}, "train", step)
        if self.bar is None or self.bar.disable:
            return
        self.bar.update()
        rate = (self.bar.n - self.bar.initial) / max(self.bar.format_dict["elapsed"], 1e-9)
        self.bar.set_postfix({"loss": f"{loss:.3f}", "samples/s": f"{rate * self.step_size:.0f}"}, refresh=False)

    def draw(self, values: Mapping[str, float], group: str, step: int) -> None:
        """Draw points of the tracker's curves."""
        self.accelerator.log({f"{group}/{name}": value for name, value in values.items()}, step=step)

    def write_line(
        self,
        *,
        step: int,
        epoch: float,
        seconds: float,
        optimizer: torch.optim.Optimizer,
        metrics: Mapping[str, float],
    ) -> None:
        """Write a line about the time since the line before: mean loss, and the metrics if there was an evaluation."""
        line = {
            "step": step,
            "epoch": round(epoch, 3),
            "seconds": round(seconds, 1),
            "loss": self.loss_sum / max(self.loss_count, 1),
            "samples_per_second": round(step * self.step_size / max(seconds, 1e-9), 1),
            **learning_rates(optimizer),
            **metrics,
        }
        self.loss_sum, self.loss_count = 0.0, 0
        if self.accelerator.is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def progress_bar(accelerator: Accelerator, *arguments: Any, **options: Any) -> tqdm:
    """A progress bar of one process; where it is written to a file, a line now and then."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    hidden = not accelerator.is_local_main_process
    return tqdm(*arguments, mininterval=interval, maxinterval=max(interval, 10.0), disable=hidden, **options)


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The current learning rate of each part of the model."""
    return {f"learning_rate/{group['name'].split('/')[0]}": group["lr"] for group in optimizer.param_groups}


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log; there may be none, and a killed run may have left half a line."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
