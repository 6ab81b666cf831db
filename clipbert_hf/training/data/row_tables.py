"""What rows are read from: a table of ``datasets``, or a list of dictionaries."""

from __future__ import annotations

import os
import pickle
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.table import MemoryMappedTable, Table

from .media import EmbeddedMedia

if TYPE_CHECKING:
    from .media_stream import MediaStream

Row = dict[str, Any]
# So many values are numbered at a time.
_ENCODED = 1 << 20


class _Column:
    """A column in pieces, any value of which is found without going through all of them."""

    def __init__(self, array: pa.ChunkedArray) -> None:
        self._pieces = array.chunks
        self._starts = np.cumsum([0, *map(len, self._pieces)]).tolist()

    def value(self, index: int) -> Any:
        piece = bisect_right(self._starts, index) - 1
        return self._pieces[piece][index - self._starts[piece]].as_py()


class _NumberedColumn:
    """The same of :meth:`RowTable.numbered`; Arrow takes four times as long to look a number up."""

    def __init__(self, array: pa.ChunkedArray) -> None:
        [piece] = array.chunks
        self.numbers, self.dictionary = piece.indices.to_numpy(), piece.dictionary

    def value(self, index: int) -> Any:
        return self.dictionary[int(self.numbers[index])].as_py()


@dataclass(frozen=True)
class Embedded:
    """Where the videos of a table are embedded, as ``{"bytes", "path"}``.

    Args:
        column: Of the table.
        names: The column with their names, which tell which rows are of the same video; None: their paths.
        stream: What reads them instead, where the table has no more than their names.
    """

    column: str
    names: str | None = None
    stream: MediaStream | None = None


class RowTable:
    """Rows of a table.

    Args:
        table: Of a ``datasets.Dataset``. What is memory-mapped is pickled as the path of its file.
        columns: The columns of a row, and where they are in the table; a dot reaches into a structure. None: as there.
        replaced: Columns whose values are others than the table's.
        source: The name of the data set, which then leads the ids and is a column of its own.
        embedded: Where the videos are, if they are no paths.
        root: The folder or address below which the paths of videos lie, unless they are absolute.
    """

    def __init__(
        self,
        table: Table,
        *,
        columns: Mapping[str, str] | None = None,
        replaced: Mapping[str, pa.ChunkedArray] | None = None,
        source: str | None = None,
        embedded: Embedded | None = None,
        root: str | None = None,
    ) -> None:
        self.table, self.source, self.embedded, self.root = table, source, embedded, root
        self.columns: dict[str, str] = {name: name for name in table.column_names} if columns is None else dict(columns)
        self.replaced = dict(replaced or {})
        media = [] if embedded is None else ["video"]
        own = [*self.columns, *media, *self.replaced, *([] if source is None else ["source"])]
        self.names = tuple(dict.fromkeys(own))
        self._arrays: dict[str, _Column | _NumberedColumn] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def stream(self) -> MediaStream | None:
        """What reads the videos, if that is a stream."""
        return None if self.embedded is None else self.embedded.stream

    def shard_starts(self) -> list[int]:
        """Where rows start that are read from another shard; what is no stream is one."""
        return [0] if self.stream is None else self.stream.starts[:-1]

    def named(self, source: str) -> RowTable:
        """The same rows as those of a data set among several."""
        return self._changed(source=source)

    def also_called(self, name: str, column: str) -> RowTable:
        """The same rows with a column under another name as well."""
        return self._changed(columns={**self.columns, name: self.columns[column]})

    def with_column(self, name: str, values: pa.ChunkedArray) -> RowTable:
        """The same rows with other values in a column."""
        return self._changed(replaced={**self.replaced, name: values})

    def numbered(self, name: str) -> RowTable:
        """The same rows, and in memory each value of a column of texts once and for each row its number.

        Where values repeat, such as the path of an image with many captions, that is a few bytes a row. Reading rows
        of a file in random order maps all of it in the end: 200 MB for six million short paths.
        """
        is_media = name == "video" and self.embedded is not None
        if is_media or name not in self.columns or name in self.replaced or not pa.types.is_string(self.type_of(name)):
            return self
        codes, values = self._raw_codes(name)
        if 2 * len(values) > len(self):
            return self
        array = pa.chunked_array([pa.DictionaryArray.from_arrays(codes, pa.array(values, pa.string()))])
        same = [other for other, column in self.columns.items() if column == self.columns[name]]
        return self._changed(replaced={**self.replaced, **dict.fromkeys(same, array)})

    def _changed(self, **changes: Any) -> RowTable:
        names = ("table", "columns", "replaced", "source", "embedded", "root")
        return RowTable(**{**{name: getattr(self, name) for name in names}, **changes})

    def mapped_anew(self) -> RowTable:
        """The same rows for one who looks at all of them: the pages that this touches are given back with it."""
        blocks = (
            [block for row in self.table.blocks for block in row] if hasattr(self.table, "blocks") else [self.table]
        )
        if not all(isinstance(block, MemoryMappedTable) for block in blocks):
            return self
        return self._changed(table=pickle.loads(pickle.dumps(self.table)))  # noqa: S301 (made here)

    def type_of(self, name: str) -> pa.DataType:
        """Of the values of a column."""
        found = self._array(name).type
        return found.value_type if pa.types.is_dictionary(found) else found

    def row(self, index: int) -> Row:
        """One row."""
        return {name: self.value(index, name) for name in self.names}

    def some(self, indices: Sequence[int] | np.ndarray, names: Sequence[str]) -> Iterator[Row]:
        """Some rows, with some columns as far as they have them; without names, with all."""
        chosen = [name for name in self.names if not names or name in names]
        columns = [self.values(name, indices) for name in chosen]
        return (dict(zip(chosen, row, strict=True)) for row in zip(*columns, strict=True))

    def value(self, index: int, name: str) -> Any:
        """What a row has in a column."""
        if self._is_constant(name):
            return self.source if name in self.names else None
        value = self._column(name).value(index)
        if name == "video":
            return self._video(value, index)
        return value if self.source is None or name != "id" else f"{self.source}/{value}"

    def values(self, name: str, indices: Sequence[int] | np.ndarray) -> list[Any]:
        """What some rows have in a column."""
        if not isinstance(indices, range) or self._is_constant(name):
            return [self.value(int(index), name) for index in indices]
        array = self._array(name).slice(indices.start, len(indices))
        found = (array.cast(self.type_of(name)) if self._is_numbered(name) else array).to_pylist()
        if name == "video":
            return [self._video(value, index) for value, index in zip(found, indices, strict=True)]
        return found if self.source is None or name != "id" else [f"{self.source}/{value}" for value in found]

    def codes(self, name: str) -> tuple[np.ndarray, list[Any]]:
        """For each row the number of its value, and the values in the order of their first rows."""
        if self._is_constant(name) or not len(self):
            return np.zeros(len(self), dtype=np.int32), [self.value(0, name)] if len(self) else []
        codes, values = self._raw_codes(name)
        if name == "video" and (self.root is not None or self.embedded is not None):
            firsts = np.unique(codes, return_index=True)[1].tolist()
            values = [self._video(value, first) for value, first in zip(values, firsts, strict=True)]
        return codes, values

    def _raw_codes(self, name: str) -> tuple[np.ndarray, list[Any]]:
        """The same with the values as they are in the table."""
        if self._is_numbered(name):
            numbered = _NumberedColumn(self.replaced[name])
            return numbered.numbers, numbered.dictionary.to_pylist()
        numbers: dict[Any, int] = {}
        codes = np.empty(len(self), dtype=np.int32)
        for first in range(0, len(self), _ENCODED):
            pieces = self.mapped_anew()._array(name).slice(first, _ENCODED).dictionary_encode("encode").chunks
            known = [numbers.setdefault(value, len(numbers)) for value in pieces[-1].dictionary.to_pylist()]
            found = np.concatenate([piece.indices.to_numpy(zero_copy_only=False) for piece in pieces])
            codes[first : first + len(found)] = np.array(known, dtype=np.int32)[found]
        return codes, list(numbers)

    def _video(self, name: Any, index: int) -> Any:
        """A path below its root; or the name of an embedded video, which brings it along."""
        if not isinstance(name, str):
            return name
        if self.embedded is None:
            return name if self.root is None else below(self.root, name)
        return EmbeddedMedia(name, partial(self._content, index))

    def _content(self, index: int) -> bytes:
        assert self.embedded is not None
        if self.embedded.stream is not None:
            return self.embedded.stream.read(index)
        return self._column(f"{self.embedded.column}.bytes").value(index)

    def _is_constant(self, name: str) -> bool:
        """Whether all rows have the same there: the name of their data set, or nothing."""
        return name not in self.names or (name == "source" and self.source is not None)

    def _is_numbered(self, name: str) -> bool:
        return name in self.replaced and pa.types.is_dictionary(self.replaced[name].type)

    def _column(self, name: str) -> _Column | _NumberedColumn:
        column = self._arrays.get(name)
        if column is None:
            array = self._array(name)
            column = self._arrays[name] = (_NumberedColumn if self._is_numbered(name) else _Column)(array)
        return column

    def _array(self, name: str) -> pa.ChunkedArray:
        if name in self.replaced:
            return self.replaced[name]
        if name == "video" and self.embedded is not None:
            return column_of(self.table, self.embedded.names or f"{self.embedded.column}.path")
        return column_of(self.table, self.columns.get(name, name))


def column_of(table: Table | pa.Table, name: str) -> pa.ChunkedArray:
    """A column of a table; a dot reaches into a structure."""
    plain: pa.Table = table.table if isinstance(table, Table) else table
    if name in plain.column_names:
        return plain.column(name)
    outer, *inner = name.split(".")
    return pc.struct_field(plain.column(outer), inner)


def below(root: str, path: str) -> str:
    """A path or address below a folder, unless it is absolute itself."""
    return path if os.path.isabs(path) or "://" in path else f"{root.rstrip('/')}/{path}"


class ListTable:
    """Rows that are dictionaries already, as a script of one's own may have made them.

    Args:
        rows: Each may have columns of its own.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)
        self.names = tuple(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        return len(self.rows)

    def shard_starts(self) -> list[int]:
        """Where rows start that are read from another shard: it is one."""
        return [0]

    def named(self, source: str) -> ListTable:
        """The same rows as those of a data set among several."""
        return ListTable([{**row, "id": f"{source}/{row['id']}", "source": source} for row in self.rows])

    def also_called(self, name: str, column: str) -> ListTable:
        """The same rows with a column under another name as well."""
        return ListTable([{**row, name: row[column]} for row in self.rows])

    def numbered(self, name: str) -> ListTable:
        """Itself: it is in memory, and texts that are the same may be one object."""
        return self

    def mapped_anew(self) -> ListTable:
        """Itself: it is in memory."""
        return self

    def with_column(self, name: str, values: pa.ChunkedArray) -> ListTable:
        """With other values in a column."""
        return ListTable([{**row, name: value} for row, value in zip(self.rows, values.to_pylist(), strict=True)])

    def type_of(self, name: str) -> None:
        """Whatever its values have."""
        return None

    def row(self, index: int) -> Row:
        """One row."""
        return self.rows[index]

    def some(self, indices: Sequence[int] | np.ndarray, names: Sequence[str]) -> Iterator[Row]:
        """Some rows, with some columns as far as they have them; without names, with all."""
        rows = (self.rows[index] for index in indices)
        return (row if not names else {name: row[name] for name in names if name in row} for row in rows)

    def value(self, index: int, name: str) -> Any:
        """What a row has in a column."""
        return self.rows[index].get(name)

    def values(self, name: str, indices: Sequence[int] | np.ndarray) -> list[Any]:
        """What some rows have in a column."""
        return [self.rows[index].get(name) for index in indices]

    def codes(self, name: str) -> tuple[np.ndarray, list[Any]]:
        """For each row the number of its value, and the values in the order of their first rows.

        Values that cannot be hashed, such as frames in memory, go by the object that they are.
        """
        numbers: dict[Any, int] = {}
        values = (row.get(name) for row in self.rows)
        named = (value if isinstance(value, Hashable) else f"{type(value).__name__} {id(value):#x}" for value in values)
        codes = [numbers.setdefault(value, len(numbers)) for value in named]
        return np.array(codes, dtype=np.int32), list(numbers)


def first_appearance(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number codes anew in the order in which they first appear.

    Returns:
        The new codes, and for each of them the old one.

    Example:
        >>> first_appearance(np.array([7, 2, 7, 5]))
        (array([0, 1, 0, 2], dtype=int32), array([7, 2, 5]))
    """
    old, firsts, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    new = np.empty(len(old), dtype=np.int32)
    new[order] = np.arange(len(old))
    return new[inverse], old[order]
