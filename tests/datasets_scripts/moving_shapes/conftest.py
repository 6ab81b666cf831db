"""A folder of videos that the tests of MovingShapes share, and plans without files."""

from __future__ import annotations

from pathlib import Path

import pytest
from shapes import COUNTS

from datasets_scripts.moving_shapes import VideoPlan, generate
from datasets_scripts.moving_shapes.scenes import plan_split


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("moving_shapes")
    generate(path, seed=3, **COUNTS, workers=2, progress=False)
    return path


@pytest.fixture(scope="session")
def plans() -> list[VideoPlan]:
    """Enough videos for statistics of the texts; no files."""
    return plan_split(split="train", count=1500, seed=11, scenes=(2, 3))


@pytest.fixture(scope="session")
def held_out() -> list[VideoPlan]:
    return plan_split(split="test", count=300, seed=11, scenes=(2, 3))
