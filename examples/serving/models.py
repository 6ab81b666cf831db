"""What ``--model`` names: which task it is for, and the pipeline of that task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import pipeline

from clipbert_command_line.actions.models import CLASSES, load, loading
from clipbert_hf import ClipBertConfig, InvalidInputError


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Args:
        name: Its endpoint, as the command that takes it is called.
        task: Its pipeline.
        example: What is asked of a black picture once the model is loaded, to see that it works.
    """

    name: str
    task: str
    example: dict[str, Any]


KINDS = (
    Kind("ask", "video-question-answering", {"question": "what is it ?"}),
    Kind("choose", "video-multiple-choice", {"question": "what is it ?", "choices": ["a", "b"]}),
    Kind("match", "video-text-matching", {"text": ["a video"]}),
)


def kind_of(model: str) -> Kind:
    """Which kind a model is, by its configuration.

    Args:
        model: A folder, or a repository of the Hub.

    Raises:
        InvalidInputError: If there is no such model, or a server has no use for it.
    """
    with loading(model):
        found, _ = ClipBertConfig.get_config_dict(model)
    name = (found.get("architectures") or ["no class"])[0]
    for kind in KINDS:
        if CLASSES[kind.name].__name__ == name:
            return kind
    known = ", ".join(CLASSES[kind.name].__name__ for kind in KINDS)
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
    loaded, processor = load(kind.name, model, device=device, dtype=dtype)
    return pipeline(kind.task, model=loaded, processor=processor, device=loaded.device)
