"""Loading what ``--model`` names: a folder or a repository, for one command; code in it is never run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils.logging import set_verbosity_error as set_hub_verbosity_error
from safetensors import SafetensorError
from transformers.utils import logging

from clipbert_hf import (
    ClipBertConfig,
    ClipBertError,
    ClipBertForMultipleChoice,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoTextRetrieval,
    ClipBertProcessor,
    InvalidInputError,
)

# The class that a command needs, and the command to which a model of another class is sent.
CLASSES: dict[str, Any] = {
    "ask": ClipBertForVideoQuestionAnswering,
    "choose": ClipBertForMultipleChoice,
    "match": ClipBertForVideoTextRetrieval,
}


def read_config(model: str) -> ClipBertConfig:
    """The configuration of a model.

    Raises:
        InvalidInputError: If there is none, or not of a ClipBERT.
    """
    quiet()
    _check_name(model)
    with loading(model):
        config, _ = ClipBertConfig.get_config_dict(model)
    found = config.get("model_type")
    if found != ClipBertConfig.model_type:
        raise InvalidInputError(
            f"--model {model}: expected a ClipBERT; its config.json names {found or 'no model_type'}"
        )
    with loading(model):
        return ClipBertConfig.from_pretrained(model)


def check_kind(command: str, model: str, config: ClipBertConfig) -> None:
    """Check that a model is of the class that a command needs.

    Raises:
        InvalidInputError: If not; the message names the command that takes it.
    """
    needed = CLASSES[command].__name__
    found = (config.architectures or ["no class"])[0]
    if found != needed:
        others = [name for name, each in CLASSES.items() if each.__name__ == found]
        hint = f"; try clipbert {others[0]}" if others else ""
        raise InvalidInputError(f"--model {model}: clipbert {command} needs a {needed}; this is a {found}{hint}")


def load(command: str, model: str, *, device: str | None, dtype: str | None) -> tuple[Any, ClipBertProcessor]:
    """Model and processor for a command.

    Args:
        command: One of :data:`CLASSES`.
        model: A folder or a repository.
        device: By default the GPU if there is one.
        dtype: By default as saved.

    Raises:
        InvalidInputError: If they cannot be loaded, are of another kind, or lack weights.
    """
    check_kind(command, model, read_config(model))
    with loading(model):
        loaded, report = CLASSES[command].from_pretrained(model, dtype=dtype, output_loading_info=True)
        processor = ClipBertProcessor.from_pretrained(model)
    if report["missing_keys"]:
        raise InvalidInputError(f"--model {model}: the weights lack {', '.join(sorted(report['missing_keys'])[:3])} …")
    return loaded.eval().to(device_for(device)), processor


def device_for(name: str | None) -> torch.device:
    """A device by its name; by default the GPU if there is one.

    Raises:
        InvalidInputError: If there is none of that name.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InvalidInputError(f"--device {name}: {str(error).splitlines()[0]}") from error


def _check_name(model: str) -> None:
    """A folder that is not there is more often misspelt than a repository."""
    path = Path(model)
    if path.exists() and not path.is_dir():
        raise InvalidInputError(f"--model {model}: expected a folder or a repository of the Hub; this is a file")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InvalidInputError(f"--model {model}: expected a saved model; the folder holds no config.json")
    elif model.count("/") != 1 or model.startswith((".", "~", os.sep)) or model.endswith("/"):
        raise InvalidInputError(f"--model {model}: there is no such folder, and a repository is named OWNER/NAME")


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Turn what loading raises into an error that names the model."""
    try:
        yield
    except (ClipBertError, torch.OutOfMemoryError):
        raise
    # OSError of a repository that cannot be had too; KeyError and TypeError of files with other content.
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise InvalidInputError(f"--model {model}: cannot be loaded: {' '.join(str(error).split())}") from error


def quiet() -> None:
    """Keep transformers and the Hub from telling of what is no error; downloads show their progress."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    set_hub_verbosity_error()
