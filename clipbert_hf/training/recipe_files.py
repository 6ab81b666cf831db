"""The recipes that come with the package, found by their names."""

from __future__ import annotations

import difflib
from pathlib import Path

from .recipe import RecipeError

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe_names() -> list[str]:
    """The recipes of the package, in alphabetical order."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def find_recipe(name: str) -> Path:
    """The YAML file of a recipe.

    Args:
        name: A file, or else the name of a recipe of the package, such as ``"retrieval_msrvtt_4x1"``.

    Raises:
        RecipeError: If there is neither; the message lists similar names.
    """
    path = Path(name)
    if path.is_file():
        return path
    ours = RECIPES / f"{name.removesuffix('.yaml')}.yaml"
    if path.name == name and ours.is_file():
        return ours
    names = recipe_names()
    similar = difflib.get_close_matches(path.stem, names, n=3)
    shown = f"did you mean {' or '.join(similar)}?" if similar else f"there are {', '.join(names)}"
    raise RecipeError(f"cannot read recipe {name}: there is no such file, nor a recipe of that name; {shown}")
