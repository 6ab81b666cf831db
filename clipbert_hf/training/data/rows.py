"""The rows of a split, which stay in Arrow: a row becomes a dictionary when it is asked for.

A million dictionaries take half a gigabyte in each process that touches them. A process keeps index arrays, and the
tables that ``datasets`` has memory-mapped; forked workers share both, and a worker that is spawned is sent the arrays
and the paths of the files. What is chosen, shuffled, grouped or joined is indices.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import platform
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
from datasets import Dataset

from .media import EmbeddedMedia
from .row_tables import ListTable, Row, RowTable, first_appearance

# So many values of a column become Python objects at a time where all are looked at.
_BLOCK = 1 << 16
# After so many of these a file is mapped anew, so that what was looked at no longer counts as memory of the process.
_MAPPED_BLOCKS = 16


class Rows(Sequence[Row]):
    """Rows of one or several tables, each of which has columns of its own.

    Args:
        tables: One after the other.
        indices: Which of their rows there are, and in which order; None: all.

    Example:
        >>> rows = as_rows([{"video": "a", "caption": "red"}, {"video": "b", "caption": "blue"}])
        >>> rows.select(np.array([1, 0]))[0]
        {'video': 'b', 'caption': 'blue'}
    """

    def __init__(self, tables: Iterable[RowTable | ListTable], indices: np.ndarray | None = None) -> None:
        self.tables = tuple(tables)
        self._indices = indices
        # Where each table starts, and where the last one ends.
        self._starts = np.cumsum([0, *map(len, self.tables)]).tolist()

    def __len__(self) -> int:
        return self._starts[-1] if self._indices is None else len(self._indices)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Rows: ...

    def __getitem__(self, place: int | slice) -> Row | Rows:
        if isinstance(place, slice):
            return self.select(np.arange(len(self))[place])
        table, index = self._find(place)
        return table.row(index)

    def __iter__(self) -> Iterator[Row]:
        return self.each()

    def _find(self, place: int) -> tuple[RowTable | ListTable, int]:
        """The table of a row, and the row's number in it."""
        if not -len(self) <= place < len(self):
            raise IndexError(f"there is no row {place} of {len(self)}")
        place = int(place) % len(self)
        index = place if self._indices is None else int(self._indices[place])
        number = bisect_right(self._starts, index) - 1
        return self.tables[number], index - self._starts[number]

    # --- By row ---

    def each(self, *names: str) -> Iterator[Row]:
        """All rows in turn, read some at a time.

        Args:
            names: Only these columns, as far as a row has them; without any, all.
        """
        for table, indices in self._blocks():
            yield from table.some(indices, names)

    def value(self, place: int, name: str) -> Any:
        """What a row has in a column; None if there is no such column."""
        table, index = self._find(place)
        return table.value(index, name)

    def select(self, places: np.ndarray) -> Rows:
        """Some of the rows, in an order."""
        places = np.asarray(places, dtype=np.int64)
        return Rows(self.tables, places if self._indices is None else self._indices[places])

    def filter(self, keep: Callable[[Row], bool]) -> Rows:
        """The rows for which a function says so."""
        return self.select(np.flatnonzero(np.fromiter(map(keep, self.each()), dtype=bool, count=len(self))))

    # --- By column ---

    def first_without(self, name: str) -> Row | None:
        """The first row that has no such column, if there is one."""
        for table, indices in self._runs():
            if name not in table.names or isinstance(table, ListTable):
                row = next((row for row in table.some(indices, ()) if name not in row), None)
                if row is not None:
                    return row
        return None

    def named(self, source: str) -> Rows:
        """The same rows as those of a data set among several, whose name leads their ids."""
        return Rows([table.named(source) for table in self.tables], self._indices)

    def also_called(self, name: str, column: str) -> Rows:
        """The same rows with a column under another name as well."""
        return Rows([table.also_called(name, column) for table in self.tables], self._indices)

    def numbered(self, name: str) -> Rows:
        """The same rows, and a column of texts in less memory where they repeat, see :meth:`RowTable.numbered`."""
        return Rows([table.numbered(name) for table in self.tables], self._indices)

    def has(self, name: str) -> bool:
        """Whether a row has such a column."""
        return any(name in table.names for table, _ in self._runs())

    def values(self, name: str) -> Iterator[Any]:
        """A column's values in turn, read some at a time; None where a row has no such column."""
        for table, indices in self._blocks():
            yield from table.values(name, indices)

    def codes(self, name: str) -> tuple[np.ndarray, list[Any]]:
        """A column as numbers: for each row that of its value, and the values in the order of their first rows.

        Videos and images that are embedded go by their names.
        """
        tables = [table.codes(name) for table in self.tables]
        numbers: dict[Any, int] = {}
        parts = []
        for codes, values in tables:
            known = np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int32)
            parts.append(known[codes])
        codes = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        if self._indices is None:
            return codes, list(numbers)
        codes, order = first_appearance(codes[self._indices])
        names = list(numbers)
        return codes, [names[number] for number in order]

    def unique(self, name: str) -> list[Any]:
        """The values of a column, each once, in the order of their first rows."""
        return self.codes(name)[1]

    def with_column(self, name: str, values: Iterable[Any]) -> Rows:
        """The same rows with other values in a column, which stay in memory."""
        given = pa.chunked_array(list(_chunks(values, self._type(name))), type=self._type(name))
        if self._indices is not None:
            back = np.full(self._starts[-1], -1)
            back[self._indices] = np.arange(len(self._indices))
            given = given.take(pa.array(back, mask=back < 0))
        pieces = zip(self.tables, self._starts[:-1], strict=True)
        return Rows([table.with_column(name, given.slice(first, len(table))) for table, first in pieces], self._indices)

    def _type(self, name: str) -> pa.DataType | None:
        return next((table.type_of(name) for table in self.tables if name in table.names), None)

    def update_digest(self, digest: Any, *, without: Sequence[str]) -> None:
        """Add all values to a hash, but those of some columns. How tables are cut into pieces makes no difference."""
        for table, indices in self._blocks():
            for name in sorted(set(table.names).difference(without)):
                digest.update(f"\n{name} of {len(indices)}\n".encode())
                digest.update(json.dumps(table.values(name, indices), sort_keys=True, default=str).encode())

    # --- Streams ---

    def shards(self, places: np.ndarray) -> np.ndarray | None:
        """For each of some rows the number of the shard that its video is read from; None if there are no streams."""
        if not any(isinstance(table, RowTable) and table.stream for table in self.tables):
            return None
        indices, first = self._absolute(places), 0
        shards = np.zeros(len(indices), dtype=np.int64)
        for table, start in zip(self.tables, self._starts, strict=False):
            own = (indices >= start) & (indices < start + len(table))
            starts = np.array(table.shard_starts())
            shards[own] = first + np.searchsorted(starts, indices[own] - start, side="right") - 1
            first += len(starts)
        return shards

    def expect(self, places: np.ndarray, most: int) -> None:
        """Let the streams keep the videos of some rows, and at most so many that are passed over."""
        indices = self._absolute(places)
        for table, start in zip(self.tables, self._starts, strict=False):
            if isinstance(table, RowTable) and table.stream is not None:
                table.stream.keep(indices[(indices >= start) & (indices < start + len(table))] - start, most)

    def _absolute(self, places: np.ndarray) -> np.ndarray:
        return places if self._indices is None else self._indices[places]

    def _blocks(self) -> Iterator[tuple[RowTable | ListTable, Sequence[int] | np.ndarray]]:
        """All rows, some of a table at a time, for those who look at all of them."""
        for table, indices in self._runs():
            for first in range(0, len(indices), _BLOCK):
                if first % (_MAPPED_BLOCKS * _BLOCK) == 0:
                    table = table.mapped_anew()
                yield table, indices[first : first + _BLOCK]
        give_back_memory(len(self))

    def _runs(self) -> Iterator[tuple[RowTable | ListTable, Sequence[int] | np.ndarray]]:
        """Rows that follow each other in one table, by their numbers there."""
        if self._indices is None:
            yield from ((table, range(len(table))) for table in self.tables if len(table))
            return
        numbers = np.searchsorted(self._starts, self._indices, side="right") - 1
        ends = [*(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for first, end in zip([0, *ends], ends, strict=False):
            if end > first:
                number = int(numbers[first])
                yield self.tables[number], self._indices[first:end] - self._starts[number]


def give_back_memory(rows: int) -> None:
    """Give the system what Arrow and the C library keep for later after work on so many rows, if they are many.

    Workers that are forked then would hold it too: 70 to 110 MB for six million rows. Only glibc has to be asked.
    """
    if rows <= _BLOCK:
        return
    pa.default_memory_pool().release_unused()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _chunks(values: Iterable[Any], dtype: pa.DataType | None) -> Iterator[pa.Array]:
    block: list[Any] = []
    for value in values:
        block.append(value)
        if len(block) == _BLOCK:
            yield pa.array(block, dtype)
            block = []
    yield pa.array(block, dtype)


def as_rows(rows: Sequence[Row] | Dataset) -> Rows:
    """Rows of any kind: those of a data set stay in Arrow, dictionaries stay what they are."""
    if isinstance(rows, Rows):
        return rows
    if isinstance(rows, Dataset):
        table = RowTable(rows.data)
        return Rows([table], None if rows._indices is None else rows._indices.column(0).to_numpy())
    return Rows([ListTable(rows)])


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Rows one after the other."""
    if all(part._indices is None for part in parts):
        return Rows([table for part in parts for table in part.tables])
    before = np.cumsum([0, *(part._starts[-1] for part in parts)])
    indices = [
        first + (np.arange(len(part)) if part._indices is None else part._indices)
        for part, first in zip(parts, before, strict=False)
    ]
    return Rows([table for part in parts for table in part.tables], np.concatenate(indices))


class Groups(Sequence[list[Row]]):
    """Rows in groups, such as those of each video: an order of the rows, and where in it each group starts.

    Args:
        rows: Of a split.
        order: The rows' places, group by group.
        starts: Of each group in the order.
    """

    def __init__(self, rows: Rows, order: np.ndarray, starts: np.ndarray) -> None:
        self.rows, self._order, self._starts = rows, order, starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> list[Row]: ...

    @overload
    def __getitem__(self, place: slice) -> list[list[Row]]: ...

    def __getitem__(self, place: int | slice) -> list[Row] | list[list[Row]]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        return [self.rows[row] for row in self.places(place).tolist()]

    def places(self, group: int) -> np.ndarray:
        """The rows of a group, by their places."""
        if not -len(self) <= group < len(self):
            raise IndexError(f"there is no group {group} of {len(self)}")
        group %= len(self)
        end = self._starts[group + 1] if group + 1 < len(self) else len(self._order)
        return self._order[self._starts[group] : end]

    def video_files(self) -> list[str]:
        """The paths of all videos, each once; without those that are embedded."""
        videos = self.rows.unique("video")
        return [str(video) for video in videos if video is not None and not isinstance(video, EmbeddedMedia)]

    def first_places(self) -> np.ndarray:
        """The first row of each group, by its place."""
        return self._order[self._starts]

    def shards(self) -> np.ndarray | None:
        """For each group the shard of its first row, if videos are read from a stream."""
        return self.rows.shards(self.first_places())

    def expect(self, most: int) -> None:
        """Let streams keep the videos of first rows, and at most so many that are passed over."""
        self.rows.expect(self.first_places(), most)

    def cut(self, most: int) -> Groups:
        """The same in groups of at most so many rows."""
        sizes = np.diff(self._starts, append=len(self._order))
        pieces = -(-sizes // most)
        number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # of a piece in its group
        starts = np.repeat(self._starts, pieces) + number * most
        return Groups(self.rows, self._order, compact_places(starts, len(self._order)))

    def fingerprint(self) -> str:
        """A hash of all rows but for where their videos lie, and of which of them go together."""
        digest = hashlib.sha256()
        self.rows.update_digest(digest, without=("video", "image"))
        for array in (self._order, self._starts):
            digest.update(array.astype("<i8").data)
        return digest.hexdigest()


def group_by_video(rows: Sequence[Row]) -> Groups:
    """The rows of each video, in order of the videos' first rows; so that a video passes the CNN once for all.

    Example:
        >>> rows = [{"video": name, "caption": str(number)} for number, name in enumerate("abab")]
        >>> [[row["caption"] for row in group] for group in group_by_video(rows)]
        [['0', '2'], ['1', '3']]
    """
    found = as_rows(rows)
    codes, videos = found.codes("video")
    return group_by_codes(found, codes, len(videos))


def group_by_codes(rows: Rows, codes: np.ndarray, groups: int) -> Groups:
    """The rows of each code, as :meth:`Rows.codes` numbers them, from 0 to ``groups - 1``."""
    order = compact_places(np.argsort(codes, kind="stable"), len(codes))
    starts = np.searchsorted(codes[order], np.arange(groups))
    return Groups(rows, order, starts)


def compact_places(places: np.ndarray, rows: int) -> np.ndarray:
    """Places of so many rows in half the memory, where that holds them."""
    return places.astype(np.int32) if rows < 2**31 else places


def group_rows(rows: Sequence[Row], most: int) -> Groups:
    """The rows of each video in groups of at most so many; an epoch over the groups has every row once.

    Example:
        >>> rows = [{"video": name, "caption": str(number)} for number, name in enumerate("aaab")]
        >>> [[row["caption"] for row in group] for group in group_rows(rows, 2)]
        [['0', '1'], ['2'], ['3']]
    """
    return group_by_video(rows).cut(most)


def as_groups(groups: Sequence[Sequence[Row]]) -> Groups:
    """Groups of any kind: lists of lists of dictionaries too."""
    if isinstance(groups, Groups):
        return groups
    rows = [row for group in groups for row in group]
    sizes = np.array([len(group) for group in groups], dtype=np.int64)
    return Groups(as_rows(rows), np.arange(len(rows)), np.cumsum(sizes) - sizes)
