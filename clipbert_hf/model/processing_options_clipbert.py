"""The options of a processor's call, as transformers spells them: flat, by modality, or common to all.

``processor(text, videos, padding="max_length", num_clips=4)``,
``processor(text, videos, text_kwargs={"padding": "max_length"}, videos_kwargs={"num_clips": 4})`` and
``common_kwargs={"return_tensors": "np"}`` may be mixed. Unlike transformers' own merging, which warns about an unknown
name and goes on without it, an unknown name is an error here.
"""

# Without "from __future__ import annotations", since transformers reads the types of ClipBertProcessorKwargs.
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers.processing_utils import ImagesKwargs, ProcessingKwargs, TextKwargs

from ..errors import InvalidInputError
from .video_options_clipbert import ClipBertVideoProcessorKwargs, tensor_kind


class ClipBertProcessorKwargs(ProcessingKwargs, total=False):  # type: ignore[call-arg]
    """Options of :class:`ClipBertProcessor`, by modality."""

    text_kwargs: TextKwargs
    images_kwargs: ImagesKwargs
    videos_kwargs: ClipBertVideoProcessorKwargs
    _defaults = {}  # type: ignore[var-annotated]  # noqa: RUF012 (older versions of transformers look for it)


_NAMES: dict[str, frozenset[str]] = {
    "text_kwargs": frozenset(TextKwargs.__annotations__),
    "images_kwargs": frozenset(ImagesKwargs.__annotations__),
    "videos_kwargs": frozenset(ClipBertVideoProcessorKwargs.__annotations__),
}

# What a BERT tokenizer cannot be asked for here, each with the value that asks for nothing.
_NOT_FOR_TEXT: dict[str, str] = {
    "text_pair": "texts are single; the choices of a question go into choices=",
    "text_target": "the models take texts, they write none",
    "text_pair_target": "the models take texts, they write none",
    "is_split_into_words": "texts are strings, not lists of words",
    "return_overflowing_tokens": "a text is cut to one piece",
    "stride": "a text is cut to one piece",
    "return_mm_token_type_ids": "no token stands for a video in the text",
    "return_text_replacement_offsets": "no token stands for a video in the text",
    "sanitize_control_tokens": "no token stands for a video in the text",
}

# What an image, a clip of one frame, can be asked for among the options of videos.
_FOR_IMAGES = frozenset(ClipBertVideoProcessorKwargs.__annotations__) & frozenset(ImagesKwargs.__annotations__)


def split_options(given: Mapping[str, Any], *, present: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Sort the options of a call by what they are about.

    Args:
        given: The options as they came; None stands for the default.
        present: Which of "text", "images", "videos" the call has; options of the others are errors if given flat.

    Returns:
        ``{"text_kwargs": {…}, "images_kwargs": {…}, "videos_kwargs": {…}}``.

    Raises:
        TypeError: If no modality that is present has an option of that name.
        InvalidInputError: If an option is given twice, or the tokenizer cannot do it here.
    """
    flat = {name: value for name, value in given.items() if value is not None}
    common = dict(flat.pop("common_kwargs", {}))
    nested = {kind: dict(flat.pop(kind, {})) for kind in _NAMES}
    if flat.pop("audio_kwargs", {}):
        raise TypeError("audio_kwargs: the models do not listen")
    for kind, options in nested.items():
        unknown = sorted(set(options) - _NAMES[kind])
        if unknown:
            raise TypeError(f"{kind} has no option {unknown[0]!r}; it has {', '.join(sorted(_NAMES[kind]))}")
    kinds = [f"{modality}_kwargs" for modality in present]
    for name, value in flat.items():
        owners = [kind for kind in kinds if name in _NAMES[kind]]
        if not owners:
            _refuse_name(name, kinds)
        for kind in owners:
            if name in nested[kind]:
                raise InvalidInputError(f"{name} is given twice, in {kind} and beside it")
            nested[kind][name] = value
    for name, value in common.items():
        if not any(name in names for names in _NAMES.values()):
            raise TypeError(f"common_kwargs: no modality has an option {name!r}")
        for kind in kinds:
            if name in _NAMES[kind]:
                nested[kind].setdefault(name, value)
    _check_text_options(nested["text_kwargs"])
    return nested


def options_of_images(options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn options of images into those of the video processor.

    Raises:
        TypeError: If it has no such option.
    """
    unknown = sorted(name for name, value in options.items() if name not in _FOR_IMAGES and value is not None)
    if unknown:
        raise TypeError(f"images_kwargs: {unknown[0]} is not supported; there are {', '.join(sorted(_FOR_IMAGES))}")
    return dict(options)


def tensors(columns: Mapping[str, Sequence[Any]], kind: Any) -> dict[str, Any]:
    """Turn columns of tokens into tensors.

    Args:
        columns: Lists of equal lists of integers, by name.
        kind: ``"pt"`` or ``"np"``, as ``return_tensors`` says.

    Raises:
        InvalidInputError: If rows have different lengths, since they were not padded.
    """
    for rows in columns.values():
        lengths = sorted({len(row) for row in rows if isinstance(row, (list, tuple))})
        if len(lengths) > 1:
            raise InvalidInputError(
                f"padding must be True or 'max_length' where texts differ in length; got texts of {lengths} tokens"
            )
    to_tensor = np.asarray if tensor_kind(kind) == "np" else torch.tensor
    return {name: to_tensor(rows) for name, rows in columns.items()}


def _refuse_name(name: str, kinds: Sequence[str]) -> None:
    elsewhere = [kind.removesuffix("_kwargs") for kind, names in _NAMES.items() if name in names]
    if elsewhere:
        raise TypeError(f"{name} is an option of {' and '.join(elsewhere)}, of which this call has none")
    known = sorted(set().union(*(_NAMES[kind] for kind in kinds)))
    raise TypeError(f"the processor has no option {name!r}; it has {', '.join(known)}")


def _check_text_options(options: Mapping[str, Any]) -> None:
    for name, reason in _NOT_FOR_TEXT.items():
        if options.get(name) not in (None, False, 0):
            raise InvalidInputError(f"{name} is not for this processor: {reason}")


__all__ = ["ClipBertProcessorKwargs"]
