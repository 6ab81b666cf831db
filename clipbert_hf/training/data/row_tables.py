"""What rows are read from: a table of ``datasets``, or a list of dictionaries."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets.table import Table

Row = dict[str, Any]


class _Column:
    """A column in pieces, any value of which is found without going through all of them."""

    def __init__(self, array: pa.ChunkedArray) -> None:
        self._pieces = array.chunks
        self._starts = np.cumsum([0, *map(len, self._pieces)]).tolist()

    def value(self, index: int) -> Any:
        piece = bisect_right(self._starts, index) - 1
        return self._pieces[piece][index - self._starts[piece]].as_py()


class RowTable:
    """Rows of a table.

    Args:
        table: Of a ``datasets.Dataset``. What is memory-mapped is pickled as the path of its file.
        other_names: Columns that there are under another name as well, ``{name: of the table}``.
        replaced: Columns whose values are others than the table's.
        source: The name of the data set, which then leads the ids and is a column of its own.
    """

    def __init__(
        self,
        table: Table,
        *,
        other_names: Mapping[str, str] | None = None,
        replaced: Mapping[str, pa.ChunkedArray] | None = None,
        source: str | None = None,
    ) -> None:
        self.table, self.source = table, source
        self.other_names, self.replaced = dict(other_names or {}), dict(replaced or {})
        own = [*table.column_names, *self.other_names, *self.replaced, *([] if source is None else ["source"])]
        self.names = tuple(dict.fromkeys(own))
        self._columns: dict[str, _Column] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_columns": {}}

    def __len__(self) -> int:
        return self.table.num_rows

    def changed(self, **changes: Any) -> RowTable:
        """The same table with other arguments."""
        now = {"other_names": self.other_names, "replaced": self.replaced, "source": self.source}
        return RowTable(self.table, **{**now, **changes})

    def with_column(self, name: str, values: pa.ChunkedArray) -> RowTable:
        """With other values in a column."""
        return self.changed(replaced={**self.replaced, name: values})

    def type_of(self, name: str) -> pa.DataType:
        """Of the values of a column."""
        return self._array(name).type

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
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = _Column(self._array(name))
        value = column.value(index)
        return value if self.source is None or name != "id" else f"{self.source}/{value}"

    def values(self, name: str, indices: Sequence[int] | np.ndarray) -> list[Any]:
        """What some rows have in a column."""
        if not isinstance(indices, range) or self._is_constant(name):
            return [self.value(int(index), name) for index in indices]
        found = self._array(name).slice(indices.start, len(indices)).to_pylist()
        return found if self.source is None or name != "id" else [f"{self.source}/{value}" for value in found]

    def codes(self, name: str) -> tuple[np.ndarray, list[Any]]:
        """For each row the number of its value, and the values in the order of their first rows."""
        if self._is_constant(name) or not len(self):
            return np.zeros(len(self), dtype=np.int32), [self.value(0, name)] if len(self) else []
        pieces = self._array(name).dictionary_encode(null_encoding="encode").chunks
        codes = np.concatenate([piece.indices.to_numpy(zero_copy_only=False) for piece in pieces])
        return codes.astype(np.int32, copy=False), pieces[-1].dictionary.to_pylist()  # all pieces have the same

    def _is_constant(self, name: str) -> bool:
        """Whether all rows have the same there: the name of their data set, or nothing."""
        return name not in self.names or (name == "source" and self.source is not None)

    def _array(self, name: str) -> pa.ChunkedArray:
        if name in self.replaced:
            return self.replaced[name]
        return self.table.table.column(self.other_names.get(name, name))


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

    def changed(self, *, other_names: Mapping[str, str] | None = None, source: str | None = None) -> ListTable:
        """The same rows with columns under other names as well, and the name of their data set."""
        again = [{**row, **{new: row[old] for new, old in (other_names or {}).items()}} for row in self.rows]
        named = [{**row, "id": f"{source}/{row['id']}", "source": source} for row in again] if source else again
        return ListTable(named)

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
        """For each row the number of its value, and the values in the order of their first rows."""
        numbers: dict[Any, int] = {}
        codes = [numbers.setdefault(row.get(name), len(numbers)) for row in self.rows]
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
