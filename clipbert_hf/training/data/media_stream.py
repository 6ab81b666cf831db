"""The videos of a data set whose shards are read from front to back."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import VideoDecodeError

if TYPE_CHECKING:
    from .shards import Shards

_OPEN_SHARDS = 2


class MediaStream:
    """The videos of a split, read on from where the last one was.

    Any can be had at any time; cheap is one that follows, or that was passed over a short while ago and kept.

    Args:
        shards: Where they are.
        column: That of the videos.
        lengths: The rows of each shard.
    """

    def __init__(self, shards: Shards, column: str, lengths: Sequence[int]) -> None:
        self.shards, self.column = shards, column
        self.starts: list[int] = np.cumsum([0, *lengths]).tolist()
        self._wanted = np.zeros(self.starts[-1], dtype=bool)
        self._most = 1
        self._begin()

    def _begin(self) -> None:
        self._process: int | None = os.getpid()
        self._open: OrderedDict[int, tuple[Iterator[bytes | None], int]] = OrderedDict()
        self._kept: OrderedDict[int, bytes | None] = OrderedDict()
        self._last: tuple[int, bytes | None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_kept": OrderedDict(), "_last": None, "_process": None}

    def keep(self, rows: np.ndarray, most: int) -> None:
        """Say which rows are asked for, and how many videos that were passed over are kept for later."""
        self._wanted = np.zeros(self.starts[-1], dtype=bool)
        self._wanted[rows] = True
        self._most = most

    def read(self, row: int) -> bytes:
        """The bytes of the video of a row.

        Raises:
            VideoDecodeError: If it has none.
        """
        if self._process != os.getpid():  # a forked worker shares no open files
            self._begin()
        if self._last is None or self._last[0] != row:
            self._last = (row, self._kept.pop(row) if row in self._kept else self._read_on(row))
        content = self._last[1]
        if content is None:
            raise VideoDecodeError(f"row {row}", "stream", f"the column {self.column!r} has no video there")
        return content

    def _read_on(self, row: int) -> bytes | None:
        shard = bisect_right(self.starts, row) - 1
        begins = self.starts[shard]
        opened = self._open.pop(shard, None)
        if opened is None or begins + opened[1] > row:
            # One that is opened again has been passed over and forgotten: only this video is missing.
            first = self._first_to_keep(begins, row) if opened is None else row
            opened = iter(self.shards.media(shard, self.column, first - begins)), first - begins
        content = None
        for place in range(opened[1], row - begins + 1):
            try:
                content = next(opened[0])
            except StopIteration:
                raise VideoDecodeError(f"row {row}", "stream", "its shard is shorter than it was") from None
            if begins + place < row and self._wanted[begins + place]:
                self._kept[begins + place] = content
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        self._open[shard] = (opened[0], row - begins + 1)
        while len(self._open) > _OPEN_SHARDS:
            self._open.popitem(last=False)
        return content

    def _first_to_keep(self, begins: int, row: int) -> int:
        """Where to begin in a shard: so many videos before the row as may be drawn after it."""
        before = np.flatnonzero(self._wanted[begins:row])[-self._most :]
        return begins + int(before[0]) if len(before) else row
