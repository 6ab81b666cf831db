"""The table of an index in LanceDB: opening and making it, and the few ways in which its rows are read and changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import InvalidInputError
from .index_rows import row_schema, to_table

_NAME = "videos"
_FINGERPRINT, _SETTINGS = b"clipbert.fingerprint", b"clipbert.settings"
# Fewer vectors are compared one by one, exactly, in a few milliseconds.
_INDEXED_FROM = 5000
# Of the groups of vectors, about 8,000 in each, so many are looked through; of the best found there by their short
# forms, so many times more than asked for are compared exactly. A byte a number finds what the number itself finds.
# Product quantisation, of which LanceDB takes a byte for sixteen, lost 8 of 100 of the best 50 among 100,000 clustered
# vectors (benchmarks/search.py) and took 30 times as long to learn.
_PROBES, _REFINE = 50, 4
# Versions that nobody can still be reading.
_KEPT = timedelta(hours=1)
_NAMES_AT_ONCE = 1000


class IndexTable:
    """Rows of videos, each change of which is one commit: there as a whole or not at all.

    Args:
        table: Of LanceDB.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    @classmethod
    def find(cls, uri: str | os.PathLike[str]) -> IndexTable | None:
        """Open the table at a folder or the URI of an object store; None if there is none.

        Raises:
            InvalidInputError: If it is a file.
        """
        if "://" not in os.fspath(uri) and not os.path.exists(uri):
            return None  # connecting would make a folder
        try:
            return cls(_connect(uri).open_table(_NAME))
        except ValueError as error:  # a listed table may be one whose making was killed
            if "was not found" in str(error):
                return None
            raise

    @classmethod
    def create(
        cls,
        uri: str | os.PathLike[str],
        contrastive_size: int,
        columns: pa.Schema,
        fingerprint: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> IndexTable:
        """Make an empty table, or open the one that another process made meanwhile; see :func:`row_schema`."""
        facts = {_FINGERPRINT.decode(): json.dumps(dict(fingerprint)), _SETTINGS.decode(): json.dumps(dict(settings))}
        schema = row_schema(contrastive_size, columns, facts)
        try:
            return cls(_connect(uri).create_table(_NAME, schema=schema))
        except (ValueError, RuntimeError) as error:
            if not any(word in str(error).lower() for word in ("already exists", "conflict")):
                raise
            return cls(_connect(uri).open_table(_NAME))

    @property
    def schema(self) -> pa.Schema:
        """Columns and metadata."""
        return self._table.schema

    @property
    def fingerprint(self) -> dict[str, str]:
        """What the vectors were made with."""
        return json.loads(self.schema.metadata[_FINGERPRINT])

    @property
    def settings(self) -> dict[str, Any]:
        """How videos were encoded."""
        return json.loads(self.schema.metadata[_SETTINGS])

    def refresh(self) -> None:
        """See what others have written."""
        self._table.checkout_latest()

    def count(self, where: str | None = None) -> int:
        """How many rows there are, or fulfil a condition.

        Raises:
            InvalidInputError: If ``where`` is none that LanceDB understands.
        """
        try:
            return self._table.count_rows(where)
        except ValueError as error:
            raise InvalidInputError(f"where: {error}") from error

    def read(self, columns: Sequence[str], where: str | None = None) -> pa.Table:
        """Some columns of all rows, or of those that fulfil a condition.

        Raises:
            InvalidInputError: If ``where`` is none that LanceDB understands.
        """
        query = self._table.search().select(list(columns)).limit(None)
        try:
            return (query if where is None else query.where(where)).to_arrow()
        except ValueError as error:
            raise InvalidInputError(f"where: {error}") from error

    def read_named(self, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Some columns of named rows, in the order of the names."""
        parts = [
            self.read(["path", *columns], _among(names[first : first + _NAMES_AT_ONCE]))
            for first in range(0, len(names), _NAMES_AT_ONCE)
        ]
        rows = pa.concat_tables(parts)
        places = {path: place for place, path in enumerate(rows["path"].to_pylist())}
        return rows.take([places[name] for name in names])

    def read_row(self, name: str) -> dict[str, Any] | None:
        """All columns of one video; None if there is none of this name."""
        rows = self.read(self.schema.names, _among([name])).to_pylist()
        return rows[0] if rows else None

    def nearest(self, vector: np.ndarray, columns: Sequence[str], limit: int, where: str | None) -> pa.Table:
        """The rows whose vectors are most alike by cosine, best first.

        Raises:
            InvalidInputError: If ``where`` is none that LanceDB understands.
        """
        query = self._table.search(vector.astype(np.float32), vector_column_name="vector").distance_type("cosine")
        query = query.nprobes(_PROBES).refine_factor(_REFINE).limit(limit).select([*columns, "_distance"])
        try:
            return (query if where is None else query.where(where, prefilter=True)).to_arrow()
        except ValueError as error:
            raise InvalidInputError(f"where: {error}") from error

    def write(self, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Write videos, anew where they are there: the path is the key, for processes that write at once too."""
        table = rows if isinstance(rows, pa.Table) else to_table(rows, self.schema)
        merge = self._table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
        # LanceDB takes the missing vector of an unreadable video for a bad one.
        merge.execute(table, on_bad_vectors="null")

    def delete(self, names: Sequence[str]) -> None:
        """Remove videos."""
        for first in range(0, len(names), _NAMES_AT_ONCE):
            self._table.delete(_among(names[first : first + _NAMES_AT_ONCE]))

    def compact(self) -> None:
        """Put small files together, take new rows into the approximate index, and let go of old versions."""
        _unless_another_does(lambda: self._table.optimize(cleanup_older_than=_KEPT))

    def finish(self) -> None:
        """Compact, and make the approximate index if there are many vectors and none yet."""
        self.compact()
        from lancedb.index import BTree, IvfSq

        indexed = {index.columns[0] for index in self._table.list_indices()}
        if self.count() < _INDEXED_FROM:
            return
        if "path" not in indexed:
            _unless_another_does(lambda: self._table.create_index("path", config=BTree()))
        if (
            "vector" in self.schema.names
            and "vector" not in indexed
            and self.count("vector IS NOT NULL") >= _INDEXED_FROM
        ):
            _unless_another_does(lambda: self._table.create_index("vector", config=IvfSq(distance_type="cosine")))


def _unless_another_does(work: Callable[[], Any]) -> None:
    """Do what only makes a table quicker; if another process writes meanwhile, the next call does it."""
    try:
        work()
    except RuntimeError as error:
        if "commit conflict" not in str(error):
            raise


def _connect(uri: str | os.PathLike[str]) -> Any:
    import lancedb  # only an extra installs it

    if os.path.isfile(uri):
        raise InvalidInputError(f"uri: an index is a folder; {os.fspath(uri)} is a file")
    return lancedb.connect(os.fspath(uri))


def _among(names: Sequence[str]) -> str:
    return "path IN ({})".format(", ".join("'" + name.replace("'", "''") + "'" for name in names))
