"""What happens in each MovingShapes video: scenes of one coloured shape, drawn from a seed; no pixels, no text.

The *plan* of a video lists its scenes: which shape in which colour, how many copies, from which frame to which.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

# Appending keeps what earlier purposes draw.
Purpose = Literal["scenes", "pixels", "qa", "retrieval", "multiple_choice", "pretraining", "motion", "motion_qa"]
_PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
DIRECTIONS = ("left", "right", "up", "down")

FRAMES = 32
FPS = 4
MIN_SCENE_FRAMES = 5
MAX_COPIES = 3

# Evaluation videos of one split must be told apart by their captions, so a set of scenes that an earlier
# video already shows is drawn again; a split that outgrows the possible sets accepts repetitions.
_ATTEMPTS = 50


@dataclass(frozen=True)
class Scene:
    """One to three copies of a coloured shape, shown from frame ``start`` to just before frame ``stop``.

    ``direction``, one of :data:`DIRECTIONS`: in a data set made with motion, where they all move; None: they drift.
    """

    color: str
    shape: str
    copies: int
    start: int
    stop: int
    direction: str | None = None


@dataclass(frozen=True)
class VideoPlan:
    """One video of a split.

    Args:
        split: The split that the video belongs to.
        number: Its number within the split, from 0.
        scenes: Its scenes in order of time; they cover all frames, and no colour or shape comes twice.
    """

    split: SplitName
    number: int
    scenes: tuple[Scene, ...]

    @property
    def id(self) -> str:
        """The stem of the file, unique over all splits."""
        return f"{self.split}_{self.number:05d}"

    @property
    def file(self) -> str:
        """The path of the file relative to the data folder."""
        return f"videos/{self.split}/{self.id}.mp4"

    def shows(self, color: str, shape: str) -> bool:
        """Whether a scene shows this colour and this shape together."""
        return any(scene.color == color and scene.shape == shape for scene in self.scenes)

    def to_json(self) -> dict[str, Any]:
        """The plan as one annotation line; scenes without a direction do not mention one."""
        line = {"id": self.id, "video": self.file, **asdict(self)}
        line["scenes"] = tuple(
            {name: value for name, value in scene.items() if value is not None} for scene in line["scenes"]
        )
        return line

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> VideoPlan:
        """The plan that :meth:`to_json` wrote."""
        scenes = tuple(Scene(**scene) for scene in line["scenes"])
        return cls(split=line["split"], number=line["number"], scenes=scenes)


def video_generator(*, seed: int, split: SplitName, number: int, purpose: Purpose) -> np.random.Generator:
    """A random generator of its own for each video and purpose.

    A split can therefore grow without changing the videos it has, and questions can be changed without
    changing a pixel.
    """
    return np.random.default_rng([seed, SPLITS.index(split), number, _PURPOSES.index(purpose)])


def plan_split(
    *, split: SplitName, count: int, seed: int, scenes: tuple[int, int], motion: bool = False
) -> list[VideoPlan]:
    """Draw the videos of a split.

    Args:
        split: Which split.
        count: How many videos; the first ones are the same whatever the count.
        seed: The seed of the data set.
        scenes: The smallest and the largest number of scenes a video.
        motion: Whether the shapes of each scene move in a direction; the scenes are otherwise the same.

    Returns:
        The plans, numbered from 0. In ``validation`` and ``test`` no two show the same set of coloured
        shapes, as long as there are enough sets.
    """
    plans: list[VideoPlan] = []
    seen: set[frozenset[tuple[str, str]]] = set()
    for number in range(count):
        generator = video_generator(seed=seed, split=split, number=number, purpose="scenes")
        scene_count = int(generator.integers(scenes[0], scenes[1], endpoint=True))
        for _ in range(_ATTEMPTS):
            drawn = _draw_scenes(scene_count, generator)
            shown = frozenset((scene.color, scene.shape) for scene in drawn)
            if split == "train" or shown not in seen:
                break
        seen.add(shown)
        if motion:
            drawn = _with_directions(drawn, video_generator(seed=seed, split=split, number=number, purpose="motion"))
        plans.append(VideoPlan(split=split, number=number, scenes=drawn))
    return plans


def _with_directions(scenes: tuple[Scene, ...], generator: np.random.Generator) -> tuple[Scene, ...]:
    """Any direction is as likely as another, whatever moves and whatever the other scenes do."""
    drawn = generator.integers(len(DIRECTIONS), size=len(scenes))
    return tuple(replace(scene, direction=DIRECTIONS[index]) for scene, index in zip(scenes, drawn, strict=True))


def _draw_scenes(count: int, generator: np.random.Generator) -> tuple[Scene, ...]:
    colors = generator.choice(len(COLORS), size=count, replace=False)
    shapes = generator.choice(len(SHAPES), size=count, replace=False)
    copies = generator.integers(1, MAX_COPIES, size=count, endpoint=True)
    # Cuts at random: the frames beyond the minimum are shared out by sorted uniform cut points.
    spare = FRAMES - count * MIN_SCENE_FRAMES
    cuts = np.sort(generator.integers(0, spare, size=count - 1, endpoint=True))
    bounds = [0, *(int(cut) + MIN_SCENE_FRAMES * (i + 1) for i, cut in enumerate(cuts)), FRAMES]
    return tuple(
        Scene(
            color=COLORS[colors[i]],
            shape=SHAPES[shapes[i]],
            copies=int(copies[i]),
            start=bounds[i],
            stop=bounds[i + 1],
        )
        for i in range(count)
    )
