"""Videos that several modules of tests read; each is written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from video_files import RECIPES


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, list[int]]]:
    """Write the file of a recipe, once."""
    folder = tmp_path_factory.mktemp("numbered")
    recipes = {recipe.name: recipe for recipe in RECIPES}
    written: dict[str, tuple[Path, list[int]]] = {}

    def get(name: str) -> tuple[Path, list[int]]:
        if name not in written:
            written[name] = recipes[name].write(folder)
        return written[name]

    return get


@pytest.fixture(scope="session")
def plain(numbered: Callable[[str], tuple[Path, list[int]]]) -> Path:
    return numbered("b-frames.mp4")[0]
