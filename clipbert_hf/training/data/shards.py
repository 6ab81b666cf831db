"""The shards of a data set on the Hub or elsewhere, read from front to back: texts without videos, and videos.

Of Parquet only the columns are read that are asked for, and videos from any row group on. Of all else, such as tar
files, a shard is read by ``datasets`` from its start, and what comes before is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import fsspec
import pyarrow as pa
from datasets import Features, IterableDataset, Video
from datasets import Image as ImageFeature
from pyarrow import parquet

from .row_tables import column_of

_ROWS = 1024


class Shards(Protocol):
    """Files, or what else a data set is split into."""

    features: Features

    def __len__(self) -> int:
        """How many there are."""

    def texts(self, number: int, media: str | None) -> Iterator[pa.Table]:
        """The rows of a shard, some at a time, if possible without the bytes of a media column."""

    def media(self, number: int, column: str, first: int) -> Iterator[bytes | None]:
        """The bytes of a media column, row by row from one on."""


class ParquetShards:
    """Parquet files.

    Args:
        files: Paths or addresses.
        features: Of their rows.
    """

    def __init__(self, files: Sequence[str], features: Features) -> None:
        self.files, self.features = list(files), features

    def __len__(self) -> int:
        return len(self.files)

    def texts(self, number: int, media: str | None) -> Iterator[pa.Table]:
        """See :class:`Shards`; the bytes are not read."""
        with fsspec.open(self.files[number], "rb") as file:
            opened = parquet.ParquetFile(file)
            leaves = [opened.schema.column(n).path for n in range(len(opened.schema))]
            columns = [name for name in leaves if media is None or name != f"{media}.bytes"]
            for batch in opened.iter_batches(batch_size=_ROWS, columns=columns):
                yield pa.Table.from_batches([batch])

    def media(self, number: int, column: str, first: int) -> Iterator[bytes | None]:
        """See :class:`Shards`; begins at the row group of the row."""
        with fsspec.open(self.files[number], "rb") as file:
            opened = parquet.ParquetFile(file)
            begins = 0
            for group in range(opened.num_row_groups):
                rows = opened.metadata.row_group(group).num_rows
                if begins + rows > first:
                    table = opened.read_row_group(group, columns=[f"{column}.bytes"], use_threads=False)
                    yield from _bytes(table.slice(max(first - begins, 0)), column)
                begins += rows


class StreamShards:
    """Shards of a stream of ``datasets``.

    Args:
        stream: Whose videos and images are not decoded.
    """

    def __init__(self, stream: IterableDataset) -> None:
        features = stream.features
        if features is None:
            features = Features.from_arrow_schema(next(iter(stream.with_format("arrow").iter(1))).schema)
        for name, kind in features.items():
            if isinstance(kind, (Video, ImageFeature)):
                stream = stream.cast_column(name, type(kind)(decode=False))
        self.features, self._stream = features, stream

    def __len__(self) -> int:
        return self._stream.num_shards

    def texts(self, number: int, media: str | None) -> Iterator[pa.Table]:
        """See :class:`Shards`; the bytes are read, and left out."""
        for table in self._tables(number):
            yield table if media is None else _without_bytes(table, media)

    def media(self, number: int, column: str, first: int) -> Iterator[bytes | None]:
        """See :class:`Shards`; what comes before the row is read as well."""
        passed = 0
        for table in self._tables(number):
            if passed >= first:
                yield from _bytes(table, column)
            passed += len(table)

    def _tables(self, number: int) -> Iterator[pa.Table]:
        """Row by row: the columns of a tar file's rows come in changing orders, which cannot be joined."""
        shard = self._stream.shard(num_shards=len(self), index=number)
        yield from shard.with_format("arrow").iter(batch_size=1)


def _bytes(table: pa.Table, column: str) -> Iterator[bytes | None]:
    return (value.as_py() for value in column_of(table, f"{column}.bytes"))


def _without_bytes(table: pa.Table, column: str) -> pa.Table:
    """The media column as a structure of its path alone."""
    path = column_of(table, f"{column}.path").combine_chunks()
    only = pa.StructArray.from_arrays([path], names=["path"])
    return table.set_column(table.column_names.index(column), column, only)


def shards_of(stream: IterableDataset, kind: str, files: Sequence[Any]) -> Shards:
    """The shards of a split.

    Args:
        stream: Of it.
        kind: How ``datasets`` reads it, such as ``parquet``.
        files: Their paths or addresses.
    """
    generic = StreamShards(stream)
    return ParquetShards([str(file) for file in files], generic.features) if kind == "parquet" else generic


def is_media(kind: Any) -> bool:
    """Whether a column of that kind has videos or images."""
    return isinstance(kind, (Video, ImageFeature)) or (isinstance(kind, Mapping) and set(kind) == {"bytes", "path"})
