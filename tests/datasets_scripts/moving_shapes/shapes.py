"""What the tests of MovingShapes know of colours and shapes, written down apart from the code under test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets_scripts.moving_shapes import CONFIGS, VideoPlan

CONFIGS_WITHOUT_MOTION = [config for config in CONFIGS if config != "motion_qa"]
COUNTS = {"train": 80, "validation": 6, "test": 30}
NAMED_RGB = {
    "red": (215, 35, 35),
    "green": (35, 165, 55),
    "blue": (40, 70, 220),
    "yellow": (235, 225, 40),
    "purple": (140, 45, 175),
    "orange": (240, 135, 25),
    "white": (240, 240, 240),
    "black": (15, 15, 15),
}
SHAPES = {"circle", "square", "triangle", "star", "cross", "ring"}
SINGULAR = {**{shape + "s": shape for shape in SHAPES}, "crosses": "cross", **{s: s for s in SHAPES}}


def videos(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("videos/*/*"))}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def words_of(text: str) -> tuple[str, str]:
    """The colour and the shape that a description names."""
    words = text.split()
    (color,) = [word for word in words if word in NAMED_RGB]
    (shape,) = [SINGULAR[word] for word in words if word in SINGULAR]
    return color, shape


def shown(plan: VideoPlan) -> set[tuple[str, str]]:
    return {(scene.color, scene.shape) for scene in plan.scenes}
