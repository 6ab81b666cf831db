"""What people see of a training run: the progress bar, log.jsonl and the tracker's curves."""

from __future__ import annotations

import json
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
        self.losses: list[float] = []  # of this process, since the latest line
        self.latest: list[float] = []  # of this process, as many as the bar averages over

    def open_bar(self, step: int, total_steps: int) -> tqdm:
        """The progress bar of the run, a context manager."""
        self.bar = progress_bar(self.accelerator, total=total_steps, initial=step, desc="training", unit="step")
        return self.bar

    def add_loss(self, value: float) -> None:
        """Note the loss of a micro-batch."""
        self.losses.append(value)
        window = self.settings.log_every * self.settings.gradient_accumulation_steps
        self.latest = [*self.latest[-window + 1 :], value] if window > 1 else [value]

    def advance(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        """Show that a step is done."""
        loss = sum(self.latest) / len(self.latest)
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
            "loss": sum(self.losses) / max(len(self.losses), 1),
            "samples_per_second": round(step * self.step_size / max(seconds, 1e-9), 1),
            **learning_rates(optimizer),
            **metrics,
        }
        self.losses.clear()
        if self.accelerator.is_main_process:
            append_line(self.path, line)


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


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append to a log, after dropping what an interrupted run wrote beyond the point it resumed from."""
    kept = [old for old in read_log(path) if old["step"] < line["step"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in [*kept, line]), "utf-8")
