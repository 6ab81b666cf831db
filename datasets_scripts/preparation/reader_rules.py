"""The rules by which the reader in ``clipbert_hf.video`` counts and times frames, taken from its own files.

What a prepared video must keep is what that reader makes of the original. Importing ``clipbert_hf`` would load torch,
so the files that need nothing but NumPy are loaded from beside this package, each by itself.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_FOLDER = Path(__file__).parents[2] / "clipbert_hf" / "video"


def _load(name: str) -> ModuleType:
    alias = f"{__name__}.{name}"
    spec = importlib.util.spec_from_file_location(alias, _FOLDER / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{_FOLDER} has no {name}.py: datasets_scripts and clipbert_hf are installed together")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


completeness = _load("completeness")
orientation = _load("orientation")
packet_table = _load("packet_table")
picture = _load("picture")  # after orientation, which it imports
image_pixels = _load("image_pixels")
