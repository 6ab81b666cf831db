"""What a pipeline is given, as the rows that it works through: one, a list of them, or a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import GeneratorType
from typing import Any

import torch

from ..errors import InvalidInputError
from ..video.sources import is_single_video


def as_rows(video: Any, about: Mapping[str, Any]) -> Any:
    """Pair videos with what is asked about them.

    Args:
        video: A video; a list of videos, or an array of five dimensions; a generator, a data set or a column of
            videos; or, where nothing else is given, a row ``{"video": …, "question": …}``, or a list or stream of rows.
        about: What is asked, by its name in a row: for all videos, or as a list with an entry for each.

    Returns:
        One row, a list of rows, or an iterator over rows, which the base class of pipelines takes apart.

    Raises:
        InvalidInputError: If something is missing, or the numbers differ.
    """
    missing = [name for name, value in about.items() if value is None]
    if len(missing) == len(about):
        return _rows_as_given(video, missing[0])
    if missing:
        raise InvalidInputError(f"{missing[0]} is missing; got {', '.join(sorted(set(about) - set(missing)))} alone")
    if video is None:
        raise InvalidInputError(f"video is missing; got {', '.join(about)} alone")
    if is_single_video(video):
        return {"video": video, **about}
    if not isinstance(video, (list, tuple)) and getattr(video, "ndim", None) != 5:
        return _stream(video, about)
    columns = {name: _one_each(name, value, len(video)) for name, value in about.items()}
    if not len(video):
        raise InvalidInputError("video must be at least one video; got an empty list")
    return [
        {"video": one, **dict(zip(columns, row, strict=True))}
        for one, *row in zip(video, *columns.values(), strict=True)
    ]


def _rows_as_given(rows: Any, missing: str) -> Any:
    if isinstance(rows, Mapping):
        return dict(rows)
    if isinstance(rows, (list, tuple)) and rows and all(isinstance(row, Mapping) for row in rows):
        return [dict(row) for row in rows]
    if rows is None or is_single_video(rows) or isinstance(rows, (list, tuple)):
        raise InvalidInputError(f"{missing} is missing: call pipe(video, {missing}), or give rows with both")
    if isinstance(rows, (torch.utils.data.Dataset, GeneratorType)):  # the base class knows these
        return rows
    return (row for row in rows)


def _is_for_all(name: str, value: Any) -> bool:
    """A string is; so is a list of choices, of which there is a list for each video otherwise."""
    if name == "choices":
        return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(one, str) for one in value)
    return isinstance(value, str)


def _one_each(name: str, value: Any, videos: int) -> Sequence[Any]:
    values = [value] * videos if _is_for_all(name, value) else list(value)
    if len(values) != videos:
        raise InvalidInputError(f"{name} must be one for all or one for each of {videos} videos; got {len(values)}")
    return values


def _stream(videos: Iterable[Any], about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows as they are asked for; the number of videos may be unknown until they end."""
    end = object()
    columns = {name: None if _is_for_all(name, value) else iter(value) for name, value in about.items()}
    count = 0
    for count, video in enumerate(videos, start=1):
        row = {name: about[name] if each is None else next(each, end) for name, each in columns.items()}
        short = [name for name, value in row.items() if value is end]
        if short:
            raise InvalidInputError(
                f"{short[0]} must be one for all or one for each video; got {count - 1}, and more videos"
            )
        yield {"video": video, **row}
    for name, each in columns.items():
        if each is not None and next(each, end) is not end:
            raise InvalidInputError(f"{name} must be one for all or one for each of {count} videos; got more")
