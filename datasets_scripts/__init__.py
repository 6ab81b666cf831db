"""Data sets of clipbert_hf: one importable builder a file, none of which imports the model.

::

    import datasets_scripts

    splits = datasets_scripts.load("msrvtt", "retrieval", annotation_dir="data/msrvtt", video_dir="data/msrvtt/videos")

:mod:`datasets_scripts.schemas` documents the rows. Importing this package is cheap: what it offers is imported
when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets_scripts.annotations.vocabulary import AnswerVocabulary, build_answer_vocabulary
    from datasets_scripts.errors import DatasetError
    from datasets_scripts.loading import create_builder, load

_HOMES = {
    "AnswerVocabulary": "annotations.vocabulary",
    "DatasetError": "errors",
    "build_answer_vocabulary": "annotations.vocabulary",
    "create_builder": "loading",
    "load": "loading",
}

__all__ = ["AnswerVocabulary", "DatasetError", "build_answer_vocabulary", "create_builder", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
