"""The settings of a run: groups of fields that a task's own settings are put together from.

A file of such settings is a recipe; :mod:`clipbert_hf.training.recipe_parsing` reads it and the command line.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, Literal

from ..errors import ClipBertError


class RecipeError(ClipBertError, ValueError):
    """A recipe has an unknown key, or a value that is not what the key takes."""


_AT_LEAST = {
    "seed": 0,
    "epochs": 0,
    "max_steps": 0,
    "batch_size": 1,
    "eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0,
    "cnn_learning_rate": 0,
    "weight_decay": 0,
    "adam_eps": 0,
    "evaluate_every": 1,
    "checkpoint_every": 1,
    "keep_checkpoints": 1,
    "log_every": 1,
    "threads": 1,
}
# NumPy's, which Accelerate seeds beside the others.
_LARGEST_SEED = 2**32 - 1
_DATA_AT_LEAST = {"num_workers": 0, "prefetch": 1, "max_text_length": 3, "validation_rows": 1, "shuffle_buffer": 1}


def setting(default: Any = MISSING, help: str = "", *, may_change: bool = False) -> Any:
    """A field of a recipe with its explanation.

    Args:
        default: Its value where none is given; without a default one must be. A list or mapping is copied.
        help: What it means.
        may_change: Whether a run that resumes may have another value than before: not where that would change the
            weights with which it ends.
    """
    metadata = {"help": help, "may_change": may_change}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def fixed_settings(settings: Any) -> dict[str, Any]:
    """The settings that must stay as they are when a run is resumed, by name."""
    values = dataclasses.asdict(settings)
    return {entry.name: values[entry.name] for entry in dataclasses.fields(settings) if not _may_change(entry)}


def _may_change(entry: dataclasses.Field[Any]) -> bool:
    return bool(entry.metadata.get("may_change"))


def check_at_least(settings: object, lowest: Mapping[str, float]) -> None:
    """Check that numbers are not too small; None is always allowed.

    Args:
        settings: Whose attributes to look at.
        lowest: The smallest value of each.

    Raises:
        RecipeError: If one is smaller.
    """
    for name, least in lowest.items():
        value = getattr(settings, name)
        if value is not None and value < least:
            raise RecipeError(f"{name} must be at least {least}; got {value}")


def check_shares(**shares: float) -> None:
    """Check that numbers are from 0 to 1, ends included.

    Args:
        **shares: By their names.

    Raises:
        RecipeError: If one is not.
    """
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise RecipeError(f"{name} must be from 0 to 1; got {value}")


@dataclass(kw_only=True)
class Settings:
    """The base of all groups of settings; each may check its values when it is made."""

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Check that numbers are finite; a group with more to check does so after ``super().check()``.

        Raises:
            RecipeError: If a value is not allowed.
        """
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise RecipeError(f"{entry.name} must be a finite number; got {value}")


@dataclass(kw_only=True)
class LoopSettings(Settings):
    """What the training loop needs to know."""

    output_dir: str = setting(help="folder for the model, results.json, log.jsonl and the checkpoints", may_change=True)
    seed: int = setting(42, "seed of everything that is drawn")
    epochs: int = setting(1, "passes over the training split; 0 only evaluates")
    max_steps: int | None = setting(None, "optimizer steps, instead of epochs")
    batch_size: int = setting(16, "samples a process and micro-batch")
    eval_batch_size: int | None = setting(None, "samples a process in evaluation; null: batch_size", may_change=True)
    gradient_accumulation_steps: int = setting(1, "micro-batches a step")
    mixed_precision: Literal["fp32", "bf16", "fp16"] = setting("fp32", "arithmetic of forward and backward")
    learning_rate: float = setting(5e-5, "peak learning rate")
    cnn_learning_rate: float | None = setting(None, "peak learning rate of the CNN; null: learning_rate")
    weight_decay: float = setting(1e-3, "of weights; biases and normalisation layers have none")
    adam_betas: list[float] = setting([0.9, 0.98], "decay rates of AdamW")
    adam_eps: float = setting(1e-6, "epsilon of AdamW")
    warmup_ratio: float = setting(0.1, "share of the steps with a rising learning rate; it falls to 0 afterwards")
    max_grad_norm: float | None = setting(5.0, "longest gradient; null: any")
    evaluate_every: int | None = setting(None, "steps between evaluations; null: once an epoch")
    checkpoint_every: int | None = setting(
        None, "steps between checkpoints beyond those after evaluations", may_change=True
    )
    keep_checkpoints: int = setting(2, "how many of the latest checkpoints are kept, beside the best", may_change=True)
    best_metric: str | None = setting(None, "metric that chooses the best checkpoint; null: the latest is best")
    best_is: Literal["highest", "lowest"] = setting("highest", "which value of best_metric is best")
    resume_from_checkpoint: str | None = setting(
        None, "a checkpoint folder, or last: that of output_dir if any", may_change=True
    )
    log_every: int = setting(10, "steps between points of the curves", may_change=True)
    tracker: Literal["tensorboard", "trackio", "wandb", "none"] = setting(
        "tensorboard", "where curves go", may_change=True
    )
    threads: int | None = setting(None, "CPU threads of the model; null: what PyTorch takes", may_change=True)

    def check(self) -> None:
        """See the base."""
        super().check()
        check_at_least(self, _AT_LEAST)
        check_shares(warmup_ratio=self.warmup_ratio)
        if self.seed > _LARGEST_SEED:
            raise RecipeError(f"seed must be at most {_LARGEST_SEED}; got {self.seed}")
        if len(self.adam_betas) != 2 or not all(0 <= beta < 1 for beta in self.adam_betas):
            raise RecipeError(f"adam_betas must be two numbers from 0 to below 1; got {self.adam_betas}")
        if self.max_grad_norm is not None and self.max_grad_norm <= 0:
            raise RecipeError(f"max_grad_norm must be above 0, or null for any; got {self.max_grad_norm}")
        if self.resume_from_checkpoint is not None and not self.trains:
            raise RecipeError(
                "resume_from_checkpoint continues training, and there is none; the model to evaluate is start_from"
            )

    @property
    def trains(self) -> bool:
        """Whether there are steps to do, and not only evaluations."""
        return (self.epochs if self.max_steps is None else self.max_steps) > 0


@dataclass(kw_only=True)
class DataSource(Settings):
    """A data set, and where it is."""

    dataset: str = setting(help="name of a data set")
    dataset_config: str | None = setting(None, "configuration of the data set; null: the one named after the task")
    # Data may be moved: what they hold is compared.
    data_dir: str = setting(help="folder of the data set", may_change=True)
    dataset_options: dict[str, Any] = setting({}, "further arguments of the loader", may_change=True)


@dataclass(kw_only=True)
class DataSettings(DataSource):
    """Which data, and how it is read."""

    dataset: str = setting("moving_shapes", "name of a data set")
    more_data: list[DataSource] = setting(
        [], "further data sets, whose splits are joined to those of the first", may_change=True
    )
    streaming: bool = setting(
        False, "dataset=hub: videos are read from its shards when they are needed, front to back; nothing is downloaded"
    )
    shuffle_buffer: int = setting(
        100, "of a stream: among how many samples of a worker the next one is drawn; their videos are in its memory"
    )
    validation_rows: int | None = setting(
        None, "evaluate during training on some videos of the validation split, with so many rows; null: on all"
    )
    num_workers: int | None = setting(
        None,
        "processes that decode videos for each that trains, 0: itself; null: by the cores, 8 at most",
        may_change=True,
    )
    prefetch: int | None = setting(
        None, "batches that each worker reads ahead; null: 4, or 2 of many workers", may_change=True
    )
    processor: dict[str, Any] = setting(
        {}, "options of the video processor, such as size or target_fps, in place of the start point's"
    )
    max_text_length: int | None = setting(
        None, "tokens of a text, the rest is cut; null: as many as the start point has, 100 for a new processor"
    )
    on_unreadable_video: Literal["error", "skip"] = setting(
        "error",
        "a video that cannot be read: the run ends; or another takes its place in training, in an evaluation its "
        "questions are asked of a blank one, and unreadable_videos.json and the results tell",
    )

    def check(self) -> None:
        """See the base."""
        super().check()
        check_at_least(self, _DATA_AT_LEAST)


@dataclass(kw_only=True)
class StartSettings(Settings):
    """Where the model starts: a model folder or Hub id, or parts, or random weights."""

    start_from: str | None = setting(None, "model folder or Hub id with its processor; a head that differs is new")
    vision: str | None = setting(None, "weights of the CNN: timm name, Hub id, folder, or file with model.backbone")
    text: str | None = setting(None, "BERT-family encoder and its tokenizer: Hub id or folder")
    model: dict[str, Any] = setting({}, "fields of ClipBertConfig, in place of the start point's")
    frozen: list[Literal["cnn", "grid_features", "word_embeddings"]] = setting(
        [], "parts that do not train (paper, table 6); grid_features: the CNN and the grid encoder after it"
    )
    vocabulary_size: int = setting(1000, "most word pieces of a new tokenizer, which is made where text is null")
    vocabulary_configs: list[str] = setting([], "configurations of the data set whose training texts it also covers")

    def check(self) -> None:
        """See the base."""
        super().check()
        check_at_least(self, {"vocabulary_size": 1})


@dataclass(kw_only=True)
class ScriptSettings(LoopSettings, DataSettings, StartSettings):
    """What the recipe of every task holds; a task of one's own adds its fields in a subclass."""

    dry_run: bool = setting(
        False, "one batch of training and of each evaluation, nothing written: what would be trained on what"
    )
