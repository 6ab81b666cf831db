"""What ``--model`` names: which task it is for, and the pipeline of that task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from transformers import pipeline

from clipbert_hf import (
    ClipBertConfig,
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
    InvalidInputError,
)


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Args:
        name: Its endpoint.
        task: Its pipeline.
        model_class: Its class.
        example: What is asked of a black picture once the model is loaded, to see that it works.
    """

    name: str
    task: str
    model_class: Any
    example: dict[str, Any]


KINDS = (
    Kind("ask", "video-question-answering", ClipBertForVideoQuestionAnswering, {"question": "what is it ?"}),
    Kind(
        "choose",
        "video-multiple-choice",
        ClipBertForMultipleChoice,
        {"question": "what is it ?", "choices": ["a", "b"]},
    ),
    Kind("match", "video-text-matching", ClipBertForVideoTextRetrieval, {"text": ["a video"]}),
)
# What is raised for files that are missing, torn, or those of something else.
LOADING_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, HFValidationError, SafetensorError)


def kind_of(model: str) -> Kind:
    """Which kind a model is, by its configuration.

    Args:
        model: A folder, or a repository of the Hub.

    Raises:
        InvalidInputError: If there is no such model, or a server has no use for it.
    """
    try:
        found, _ = ClipBertConfig.get_config_dict(model)
    except LOADING_ERRORS as error:
        raise InvalidInputError(f"--model {model}: {' '.join(str(error).split())}") from error
    name = (found.get("architectures") or ["no class"])[0]
    for kind in KINDS:
        if kind.model_class.__name__ == name:
            return kind
    known = ", ".join(kind.model_class.__name__ for kind in KINDS)
    raise InvalidInputError(f"--model {model}: expected one of {known}; its config.json names {name}")


def load_pipeline(kind: Kind, model: str, *, device: str | None, dtype: str | None) -> Any:
    """A pipeline by the classes of the installed package; code in the model's folder is not run.

    Args:
        kind: What :func:`kind_of` found.
        model: A folder, or a repository of the Hub.
        device: By default the GPU if there is one.
        dtype: By default as saved.

    Raises:
        InvalidInputError: If it cannot be loaded.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        loaded = kind.model_class.from_pretrained(model, dtype=dtype).eval().to(place)
        processor = ClipBertProcessor.from_pretrained(model)
    except LOADING_ERRORS as error:
        raise InvalidInputError(f"--model {model}: cannot be loaded: {' '.join(str(error).split())}") from error
    return pipeline(kind.task, model=loaded, processor=processor, device=place)
