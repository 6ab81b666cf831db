"""What people see of a training run: the progress bar, log.jsonl, and the curves of a tracker.

``log.jsonl`` is the complete record, also of a run that was killed and resumed: each line once. The trackers are those
of accelerate, as they are. A resumed run goes on under the same name; what was drawn beyond the checkpoint it resumes
from stays, and is drawn again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from tqdm.auto import tqdm

from .checkpoints import complete_steps
from .recipe import LoopSettings, RecipeError

_PROJECT = "clipbert_hf"


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

    def advance(self, step: int, optimizer: torch.optim.Optimizer, stall_share: float) -> None:
        """Show that a step is done, and what part of the time this process has waited for batches so far."""
        loss = sum(self.latest) / max(len(self.latest), 1)
        if step % self.settings.log_every == 0:
            self.draw({"loss": loss, **learning_rates(optimizer)}, "train", step)
        if self.bar is None or self.bar.disable:
            return
        self.bar.update()
        rate = (self.bar.n - self.bar.initial) / max(self.bar.format_dict["elapsed"], 1e-9)
        shown = {"loss": f"{loss:.3f}", "samples/s": f"{rate * self.step_size:.0f}", "stall": f"{stall_share:.0%}"}
        self.bar.set_postfix(shown, refresh=False)

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


# --- Trackers ---


def installed_tracker(name: str) -> str | None:
    """What accelerate takes as ``log_with``: the tracker, or None for ``"none"``.

    Raises:
        RecipeError: If the tracker's package is missing, which accelerate only warns of.
    """
    if name == "none":
        return None
    if name not in [str(tracker) for tracker in get_available_trackers()]:
        raise RecipeError(f"tracker={name} needs a package that is not installed: pip install {name}")
    return name


def start_tracker(accelerator: Accelerator, recipe: LoopSettings) -> None:
    """Start the tracker of a run in the main process, with all settings as its configuration.

    Each works without network and account, in the output folder: ``curves/`` (TensorBoard), ``trackio/``, ``wandb/``.

    Args:
        accelerator: Made with ``log_with=installed_tracker(recipe.tracker)``.
        recipe: The settings; the output folder exists.
    """
    if recipe.tracker == "none" or not accelerator.is_main_process:
        return
    output, settings = Path(recipe.output_dir).resolve(), flatten(dataclasses.asdict(recipe))
    if recipe.tracker == "tensorboard":
        accelerator.init_trackers("curves", config=settings)
        return
    run_id = read_run_id(output, anew=recipe.resume_from_checkpoint is None and not complete_steps(output))
    if recipe.tracker == "trackio":
        os.environ.setdefault("TRACKIO_DIR", str(output / "trackio"))  # read when trackio is first imported
        # Given afterwards, as accelerate would, the settings get a further one, allow_val_change.
        options = {"name": f"{output.name}-{run_id}", "resume": "allow", "config": settings}
        accelerator.init_trackers(_PROJECT, init_kwargs={"trackio": options})
        return
    os.environ.setdefault("WANDB_MODE", "offline")
    options = {"id": run_id, "name": output.name, "dir": str(output), "resume": "allow"}
    project = os.environ.get("WANDB_PROJECT", _PROJECT)
    accelerator.init_trackers(project, config=settings, init_kwargs={"wandb": options})


def flatten(settings: Mapping[str, Any]) -> dict[str, bool | int | float | str | None]:
    """Settings as trackers take them: mappings become names with dots, as on the command line, and lists text.

    Example:
        >>> flatten({"seed": 1, "model": {"hidden_size": 32}, "frozen": ["cnn"], "processor": {}})
        {'seed': 1, 'model.hidden_size': 32, 'frozen': '["cnn"]', 'processor': '{}'}
    """
    flat: dict[str, bool | int | float | str | None] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{name}.{key}": inner for key, inner in flatten(value).items()}
        elif value is None or isinstance(value, bool | int | float | str):
            flat[name] = value
        else:
            flat[name] = json.dumps(value, default=str)
    return flat


def read_run_id(output: Path, *, anew: bool) -> str:
    """The name under which a service knows this run, kept in its folder.

    Args:
        output: The run's folder.
        anew: Whether a new run begins there.
    """
    path = output / "tracker_id"
    known = path.read_text("utf-8").strip() if path.is_file() and not anew else ""
    if known:
        return known
    made = uuid.uuid4().hex[:8]
    path.write_text(f"{made}\n", "utf-8")
    return made
