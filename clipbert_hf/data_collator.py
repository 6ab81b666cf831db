"""From rows of a data set, or samples that the processor has made of them, to the batches of transformers' ``Trainer``.

Pixels travel as bytes, with the mean and the standard deviation by which the model normalises them on its device.

Legend: B videos, N texts, K clips, T frames a clip, L the side of a frame in pixels, M tokens a text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from .errors import InvalidInputError, VideoDecodeError
from .model.clip_assembly_clipbert import finish_in_place, statistics_of
from .model.processing_clipbert import ClipBertProcessor
from .model.video_options_clipbert import complete_options
from .video.sources import list_images

# The columns of a row, by what they hold; of each kind a row has one.
_VISUAL = ("video", "image")
_TEXT = ("question", "text", "caption")
_CHOICES = ("choices", "options")
# A row may say its label both as a number and in words; the first of these is taken.
_LABELS = ("label", "labels", "answer", "answers")
# What belongs to one call of the video processor, not to all batches.
_OF_A_CALL = ("seed", "generator", "video_metadata", "return_metadata", "return_tensors")
_IGNORED_LABEL = -100


class _Texts(NamedTuple):
    """The texts of a batch, and how many belong to each video; None: one each."""

    tensors: dict[str, torch.Tensor]
    counts: list[int] | None


class ClipBertDataCollator:
    """Turns rows, or processed samples, into a batch for any of the models; ``data_collator`` of ``Trainer``.

    A row is a mapping with ``video`` (whatever the video processor reads) or ``image``; ``question``, ``text`` or
    ``caption``; for multiple choice ``choices`` or ``options``; and, where it has one, a label in the first of these
    columns that it has: ``label``, ``labels``, ``answer``, ``answers``. A label is

    - an index, or -100, which the loss leaves out; 1 and 0 for a match and none;
    - a number, for regression;
    - a list of numbers, the scores of all answers, for soft labels; or a list of ``{"answer": text, "score": number}``,
      where unknown answers are left out;
    - text: looked up among the row's choices or, without choices, in ``label2id``, where an unknown answer becomes
      -100.

    For retrieval ``text`` or ``caption`` may be a list of texts to score against the one video, as the rank loss needs;
    the label is then a list with one for each. Other columns are left alone. ``Trainer`` takes a data set's columns
    away before they come here unless it has ``remove_unused_columns=False``.

    A processed sample is what the processor gives for one video, with or without the dimension of the batch:
    ``pixel_values_videos`` ((1, K, T, 3, L, L) or (K, T, 3, L, L), float or uint8), ``input_ids``, ``attention_mask``
    and, where it has one, a label as above. Texts are padded to the longest of the batch.

    Args:
        processor: Of the model.
        label2id: The answers of the model, ``model.config.label2id``; only for labels in words.
        **video_options: Options of the video processor for all batches, such as ``num_clips=4`` and
            ``sampling_strategy="random"``. Pixels are uint8 unless ``exact_resize`` or ``do_rescale``, which uint8
            cannot hold to the last bit, or ``pixel_dtype="float32"`` ask for floats.

    Raises:
        TypeError: If there is no video option of that name.
        InvalidInputError: If an option's value is none that exists, or belongs to one call.

    Example:
        >>> collator = ClipBertDataCollator(processor, label2id={"no": 0, "yes": 1}, num_clips=4)  # doctest: +SKIP
        >>> batch = collator([{"video": "a.mp4", "question": "is it red ?", "answer": "yes"}])  # doctest: +SKIP
        >>> batch["pixel_values_videos"].shape, batch["labels"]  # doctest: +SKIP
        (torch.Size([1, 4, 2, 3, 448, 448]), tensor([1]))
    """

    def __init__(
        self, processor: ClipBertProcessor, *, label2id: Mapping[str, int] | None = None, **video_options: Any
    ) -> None:
        for name in _OF_A_CALL:
            if video_options.get(name) is not None:
                raise InvalidInputError(f"{name} belongs to one call of the processor; the collator has no such option")
        self.processor, self.video_options = processor, video_options
        self.label2id = None if label2id is None else dict(label2id)
        self._complete_options()  # what is wrong is an error here already

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Make a batch.

        Args:
            features: Rows, or processed samples.

        Returns:
            ``pixel_values_videos`` (B, K, T, 3, L, L), with ``pixel_mean`` and ``pixel_std`` (B, 3) if they are uint8;
            ``input_ids`` and ``attention_mask``, (N, M) or (N, choices, M); ``texts_per_video`` (B,) where videos have
            several texts; ``labels``, (N,) or (N, answers), if there are any.

        Raises:
            InvalidInputError: If a row lacks something or has something that does not fit; it names row and column.
            VideoDecodeError: If a video cannot be read; it names the row too.
        """
        if not features:
            raise InvalidInputError("features must be at least one row; got none")
        for place, row in enumerate(features):
            if not isinstance(row, Mapping):
                raise InvalidInputError(
                    f"row {place} must be a mapping from columns to values; got {type(row).__name__}"
                )
        processed = [_has(row, "pixel_values_videos") for row in features]
        if all(processed):
            pixels, texts = _sample_pixels(features), self._sample_texts(features)
        elif any(processed):
            raise InvalidInputError(
                f"row {processed.index(not processed[0])} has {'no ' if processed[0] else ''}column "
                f"'pixel_values_videos', and row 0 has {'one' if processed[0] else 'none'}: a batch is of rows or of "
                "processed samples"
            )
        else:
            texts = self._row_texts(features)  # before videos are decoded, which takes longer
            pixels = self._read_all(features)
        batch = {**self._join_pixels(pixels), **texts.tensors}
        if texts.counts is not None:
            batch["texts_per_video"] = torch.tensor(texts.counts)
        labels = self._labels(features, texts.counts)
        return batch if labels is None else {**batch, "labels": labels}

    # --- Pixels ---

    def _complete_options(self) -> dict[str, Any]:
        """A value for each option of the video processor; pixels are bytes where these hold all that is asked for."""
        options = complete_options(self.processor.video_processor, {"pixel_dtype": "float32", **self.video_options})
        if "pixel_dtype" not in self.video_options and not options["exact_resize"] and not options["do_rescale"]:
            options["pixel_dtype"] = "uint8"
        return options

    def _read_all(self, rows: Sequence[Mapping[str, Any]]) -> list[torch.Tensor]:
        """The clips of each row's video; a file that several rows are about is read once, unless clips are drawn."""
        are_drawn = self._complete_options()["sampling_strategy"] == "random"
        read: dict[Any, torch.Tensor] = {}
        videos = []
        for place, row in enumerate(rows):
            column = _one_of(place, row, _VISUAL)
            key = place if are_drawn or not isinstance(row[column], str) else (column, row[column])
            if key not in read:
                read[key] = self._read(place, column, row[column])
            videos.append(read[key])
        return videos

    def _read(self, place: int, column: str, source: Any) -> torch.Tensor:
        """The clips of a video, (1, K, T, 3, L, L)."""
        options = {**self.video_options, "pixel_dtype": self._complete_options()["pixel_dtype"]}
        try:
            if column == "image":
                (source,) = list_images([source])
                options |= {"num_clips": 1, "num_frames": 1}
            read = self.processor.video_processor([source], return_metadata=True, **options)
        except VideoDecodeError as error:
            raise VideoDecodeError(error.path, error.backend, f"{error.reason} ({_at(place, column)})") from error
        except InvalidInputError as error:
            raise InvalidInputError(f"{_at(place, column)}: {error}") from error
        frames = read["video_metadata"][0].total_num_frames
        if column == "image" and frames != 1:
            raise InvalidInputError(f"{_at(place, column)} must hold one picture; got {frames}: name it 'video'")
        return read["pixel_values_videos"]

    def _join_pixels(self, videos: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        for place, pixels in enumerate(videos):
            if pixels.shape != videos[0].shape:
                raise InvalidInputError(
                    f"row {place}: all videos of a batch must have clips of one shape; got {tuple(pixels.shape[1:])} "
                    f"after {tuple(videos[0].shape[1:])}"
                )
        options = self._complete_options()
        statistics = statistics_of(options)
        if statistics is not None and all(pixels.dtype == torch.uint8 for pixels in videos):
            mean, std = (value.repeat(len(videos), 1) for value in statistics)
            return {"pixel_values_videos": torch.cat(videos), "pixel_mean": mean, "pixel_std": std}
        return {
            "pixel_values_videos": torch.cat(
                [
                    finish_in_place(pixels.float(), options) if pixels.dtype == torch.uint8 else pixels
                    for pixels in videos
                ]
            )
        }

    # --- Texts ---

    def _row_texts(self, rows: Sequence[Mapping[str, Any]]) -> _Texts:
        columns = [_one_of(place, row, _TEXT) for place, row in enumerate(rows)]
        groups = [
            _texts_in(place, column, row[column]) for place, (row, column) in enumerate(zip(rows, columns, strict=True))
        ]
        nested = any(not isinstance(row[column], str) for row, column in zip(rows, columns, strict=True))
        choices = self._choices(rows)
        if choices is not None and nested:
            raise InvalidInputError("rows with choices must have one question each; got lists of texts")
        tensors = dict(self.processor(text=[text for group in groups for text in group], choices=choices))
        return _Texts(tensors, [len(group) for group in groups] if nested else None)

    def _choices(self, rows: Sequence[Mapping[str, Any]]) -> list[list[str]] | None:
        columns = [_one_of(place, row, _CHOICES, needed=False) for place, row in enumerate(rows)]
        if not any(columns):
            return None
        choices: list[list[str]] = []
        for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
            if column is None:
                raise InvalidInputError(f"row {place} needs a column 'choices' or 'options', as other rows have one")
            if isinstance(row[column], str):
                raise InvalidInputError(f"{_at(place, column)} must be a list of texts; got {row[column]!r}")
            choices.append(_texts_in(place, column, row[column]))
            if len(choices[-1]) != len(choices[0]):
                raise InvalidInputError(
                    f"{_at(place, column)} must have {len(choices[0])} choices, as row 0; got {len(choices[-1])}"
                )
        return choices

    def _sample_texts(self, samples: Sequence[Mapping[str, Any]]) -> _Texts:
        ids, masks = [], []
        for place, sample in enumerate(samples):
            tokens = _tensor(place, sample, "input_ids")
            is_mask_there = _has(sample, "attention_mask")
            mask = _tensor(place, sample, "attention_mask") if is_mask_there else torch.ones_like(tokens)
            if mask.shape != tokens.shape:
                raise InvalidInputError(
                    f"{_at(place, 'attention_mask')} must have the shape of input_ids, {tuple(tokens.shape)}; "
                    f"got {tuple(mask.shape)}"
                )
            ids.append(
                _with_batch_dimension(place, tokens, batched=_tensor(place, sample, "pixel_values_videos").ndim == 6)
            )
            masks.append(mask.reshape(ids[-1].shape))
        for place, tokens in enumerate(ids):
            if tokens.shape[1:-1] != ids[0].shape[1:-1]:
                raise InvalidInputError(
                    f"{_at(place, 'input_ids')} must have as many choices as row 0; got shape {tuple(tokens.shape)} "
                    f"after {tuple(ids[0].shape)}"
                )
        length, tokenizer = max(tokens.shape[-1] for tokens in ids), self.processor.tokenizer
        left = tokenizer.padding_side == "left"
        tensors = {
            "input_ids": _pad(ids, length, tokenizer.pad_token_id, left=left),
            "attention_mask": _pad(masks, length, 0, left=left),
        }
        counts = [len(tokens) for tokens in ids]
        return _Texts(tensors, counts if set(counts) != {1} else None)

    # --- Labels ---

    def _labels(self, rows: Sequence[Mapping[str, Any]], counts: list[int] | None) -> torch.Tensor | None:
        """Labels of all texts in a tensor; None if no row has any."""
        columns = [next((name for name in _LABELS if _has(row, name)), None) for row in rows]
        if not any(columns):
            return None
        labels: list[tuple[int, str, Any]] = []
        for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
            if column is None:
                raise InvalidInputError(f"row {place} needs a label in one of {', '.join(_LABELS)}, as other rows have")
            value = _plain(row[column])
            if counts is None:
                # The processor's samples have the dimension of the batch: a list of one list, or of one index.
                if _has(row, "pixel_values_videos") and isinstance(value, list) and len(value) == 1:
                    (value,) = value
                values = [value]
            else:
                values = value if isinstance(value, list) else [value]
                if len(values) != counts[place]:
                    raise InvalidInputError(
                        f"{_at(place, column)} must be a label for each of {counts[place]} texts; got {value!r}"
                    )
            labels += [(place, column, self._label(place, column, row, one)) for one in values]
        return _stack_labels(labels)

    def _label(self, place: int, column: str, row: Mapping[str, Any], value: Any) -> Any:
        """An index, a number or scores, as they came; words are looked up."""
        choices = next((_plain(row[name]) for name in _CHOICES if _has(row, name)), None)
        if isinstance(value, str):
            if choices is not None:
                if value not in choices:
                    raise InvalidInputError(f"{_at(place, column)} must be one of the choices {choices}; got {value!r}")
                return choices.index(value)
            if self.label2id is None:
                raise InvalidInputError(
                    f"{_at(place, column)}: for labels in words, such as {value!r}, give label2id=model.config.label2id"
                )
            return self.label2id.get(value, _IGNORED_LABEL)
        if isinstance(value, list) and (not value or all(isinstance(one, Mapping) for one in value)):
            value = self._scores(place, column, value)
        numbers = value if isinstance(value, list) else [value]
        if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in numbers):
            raise InvalidInputError(f"{_at(place, column)} must be an index, a number, scores or text; got {value!r}")
        if choices is not None and isinstance(value, int) and value != _IGNORED_LABEL and not 0 <= value < len(choices):
            raise InvalidInputError(f"{_at(place, column)} must be an index of its {len(choices)} choices; got {value}")
        return [float(one) for one in value] if isinstance(value, list) else value

    def _scores(self, place: int, column: str, answers: list[Mapping[str, Any]]) -> list[float]:
        """The score of each answer of the model, 0 for those that are not named."""
        if self.label2id is None:
            raise InvalidInputError(f"{_at(place, column)}: for answers in words give label2id=model.config.label2id")
        scores = [0.0] * len(self.label2id)
        for one in answers:
            if not {"answer", "score"} <= one.keys():
                raise InvalidInputError(f"{_at(place, column)} must have 'answer' and 'score' in each; got {dict(one)}")
            if one["answer"] in self.label2id:
                scores[self.label2id[one["answer"]]] = one["score"]
        return scores


def _at(place: int, column: str) -> str:
    return f"row {place}, column {column!r}"


def _has(row: Mapping[str, Any], name: str) -> bool:
    """Whether a row has something in a column; data sets fill what is missing with None."""
    return name in row and row[name] is not None


def _one_of(place: int, row: Mapping[str, Any], names: Sequence[str], *, needed: bool = True) -> Any:
    """The one of the columns that a row has; None if it has none and needs none."""
    found = [name for name in names if _has(row, name)]
    if len(found) > 1:
        raise InvalidInputError(f"row {place} must have one of the columns {' and '.join(map(repr, found))}; got both")
    if not found and needed:
        raise InvalidInputError(
            f"row {place} needs a column {' or '.join(map(repr, names))}; it has {', '.join(map(str, row)) or 'none'} "
            "(Trainer needs remove_unused_columns=False to leave them)"
        )
    return found[0] if found else None


def _texts_in(place: int, column: str, value: Any) -> list[str]:
    """One text, or a list of them, as a list."""
    texts = [value] if isinstance(value, str) else _plain(value)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InvalidInputError(f"{_at(place, column)} must be text that is not empty, or a list of it; got {value!r}")
    return texts


def _plain(value: Any) -> Any:
    """Numbers and lists out of tensors, arrays and tuples; bool is a number."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool):
        return int(value)
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _tensor(place: int, sample: Mapping[str, Any], column: str) -> torch.Tensor:
    """A column of a processed sample; data sets make lists of tensors."""
    if not _has(sample, column):
        raise InvalidInputError(f"row {place} needs a column {column!r}; it has {sorted(sample)}")
    try:
        return torch.as_tensor(sample[column])
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(f"{_at(place, column)} must be a tensor; {error}") from error


def _sample_pixels(samples: Sequence[Mapping[str, Any]]) -> list[torch.Tensor]:
    """The clips of each sample, (1, K, T, 3, L, L)."""
    videos = []
    for place, sample in enumerate(samples):
        pixels = _tensor(place, sample, "pixel_values_videos")
        shape = tuple(pixels.shape)
        if pixels.ndim not in (5, 6) or pixels.shape[-3] != 3 or (pixels.ndim == 6 and len(pixels) != 1):
            raise InvalidInputError(
                f"{_at(place, 'pixel_values_videos')} must hold one video, (1, clips, frames, 3, height, width) or "
                f"without the 1; got shape {shape}"
            )
        if not pixels.is_floating_point() and pixels.dtype != torch.uint8:  # data sets make int64 of bytes
            if not pixels.numel() or int(pixels.min()) < 0 or int(pixels.max()) > 255:
                raise InvalidInputError(f"{_at(place, 'pixel_values_videos')} must be floats, or from 0 to 255")
            pixels = pixels.to(torch.uint8)
        videos.append(pixels if pixels.ndim == 6 else pixels[None])
    return videos


def _with_batch_dimension(place: int, tokens: torch.Tensor, *, batched: bool) -> torch.Tensor:
    """The tokens of a sample as (texts, M), or (1, choices, M), by whether its pixels have the dimension of a batch."""
    if tokens.ndim == 1:
        return tokens[None]
    if tokens.ndim == 2:
        return tokens if batched or len(tokens) == 1 else tokens[None]
    if tokens.ndim == 3 and len(tokens) == 1:
        return tokens
    raise InvalidInputError(
        f"{_at(place, 'input_ids')} must be (tokens,), (texts, tokens), (choices, tokens) or (1, choices, tokens); "
        f"got shape {tuple(tokens.shape)}"
    )


def _pad(rows: list[torch.Tensor], length: int, value: int, *, left: bool) -> torch.Tensor:
    """Tensors (n, …, M) one after another, padded to one number of tokens."""
    missing = [length - row.shape[-1] for row in rows]
    sides = [(number, 0) if left else (0, number) for number in missing]
    return torch.cat([torch.nn.functional.pad(row, side, value=value) for row, side in zip(rows, sides, strict=True)])


def _stack_labels(labels: list[tuple[int, str, Any]]) -> torch.Tensor:
    """One tensor of indices (int64), of numbers, or of scores (float32)."""
    _, _, first = labels[0]
    size = len(first) if isinstance(first, list) else None
    for place, column, value in labels:
        if (len(value) if isinstance(value, list) else None) != size:
            expected = "one number" if size is None else f"a list of {size} scores"
            raise InvalidInputError(f"{_at(place, column)} must be {expected}, as in row 0; got {value!r}")
    values = [value for _, _, value in labels]
    return torch.tensor(values) if all(isinstance(value, int) for value in values) else torch.tensor(values).float()


__all__ = ["ClipBertDataCollator"]
