"""Reading files of weights: tensors only, never code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import InvalidInputError


def read_state_dict(path: str | os.PathLike, *, wrapped: bool = False) -> dict[str, torch.Tensor]:
    """Read names and tensors from a safetensors file or a PyTorch pickle.

    Args:
        path: The file; anything not named ``.safetensors`` is read as a pickle of tensors only.
        wrapped: The names and tensors may stand under ``state_dict`` or ``model``, as training programs write them.

    Raises:
        InvalidInputError: If there is no such file, or it holds something else than names and tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInputError(f"{path} must be a file of weights; there is no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidInputError(f"{path} must hold names and tensors only, safely readable: {first_line}") from error
    if wrapped and isinstance(state, Mapping):
        inner = [state[name] for name in ("state_dict", "model") if isinstance(state.get(name), Mapping)]
        state = inner[0] if inner else state
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise InvalidInputError(f"{path} must hold one flat mapping of names to tensors; got {type(state).__name__}")
    return dict(state)
