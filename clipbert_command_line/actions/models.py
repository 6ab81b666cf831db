"""Loading what ``--model`` names: a folder or a repository, for one command; code in it is never run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from clipbert_hf import (
    ClipBertConfig,
    ClipBertForMultipleChoice,
    ClipBertForPreTraining,
    ClipBertForVideoQuestionAnswering,
    ClipBertForVideoRegression,
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
KINDS: dict[str, Any] = {
    each.__name__: each for each in (*CLASSES.values(), ClipBertForPreTraining, ClipBertForVideoRegression)
}


def read_config(model: str) -> ClipBertConfig:
    """The configuration of a model.

    Raises:
        InvalidInputError: If there is none, or not of a ClipBERT.
    """
    _check_name(model)
    with _Loading(model):
        config, _ = ClipBertConfig.get_config_dict(model)
    found = config.get("model_type")
    if found != ClipBertConfig.model_type:
        raise InvalidInputError(
            f"--model {model}: expected a ClipBERT; its config.json names {found or 'no model_type'}"
        )
    with _Loading(model):
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
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    check_kind(command, model, read_config(model))
    with _Loading(model):
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


class _Loading:
    """Turns what loading raises into an error that names the model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: Any, error: BaseException | None, trace: Any) -> None:
        # OSError of a repository that cannot be had too; KeyError and TypeError of files with other content.
        kinds = (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, json.JSONDecodeError)
        if isinstance(error, kinds) and not isinstance(error, torch.OutOfMemoryError):
            reason = " ".join(str(error).split())
            raise InvalidInputError(f"--model {self._model}: cannot be loaded: {reason}") from error
