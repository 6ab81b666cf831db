"""Which rows go into which shard, known before any is written, so that shards are the same whenever they are written.

The rows of a video follow each other, in the order of the videos' first rows, and no shard but that of a single video
has only some of them. The rows lie in the cache of ``datasets`` on the disk; here is a number for each, and for each
video its path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import media_column

if TYPE_CHECKING:
    from datasets_scripts.annotations.builder import AnnotationBuilder

ShardFormat = Literal["parquet", "webdataset"]
ENDINGS: dict[ShardFormat, str] = {"parquet": "parquet", "webdataset": "tar"}
# Readers hold a row group in memory, with the bytes of a video once for each of its rows.
GROUP_BYTES = 32 << 20
GROUP_ROWS = 10_000
_ARROW_LIMIT = 2**31 - 2
# Beside its texts a row takes in a tar file two headers, the names of its columns, and blocks that are not full.
_TAR_BYTES = 2 * 512 + 1024 + 256
_SHOWN = 10


@dataclass(frozen=True)
class Source:
    """A video or image that goes into a shard.

    Args:
        path: Where it lies.
        name: Its path below its folder, with slashes.
        size: In bytes.
        changed: When it was changed last, in nanoseconds.
    """

    path: str
    name: str
    size: int
    changed: int


class SplitPlan:
    """The shards of a split.

    Args:
        builder: Of the data set.
        split: Which.
        form: Of the shards.
        shard_size: A shard ends before it would have more bytes, but has one video at least.

    Attributes:
        sources: The videos or images, in order.
        bounds: For each shard, the positions of its first row and behind its last one.

    Raises:
        DatasetError: Files are gone, or cannot be put into a shard.
    """

    def __init__(self, builder: AnnotationBuilder, split: str, form: ShardFormat, shard_size: int) -> None:
        self.split = split
        self._column = media_column(builder.plan.schema)
        self._rows = builder.as_dataset(split)
        numbers, paths = _numbered(self._rows.data.column(self._column))
        self.sources = _sources(paths, Path(builder.report.media_dir), form)
        self._order = np.argsort(numbers, kind="stable")
        self._numbers = numbers[self._order]
        counts = np.bincount(numbers, minlength=len(paths))
        sizes = np.array([source.size for source in self.sources], np.int64)
        texts = self._rows.data.nbytes - self._rows.data.column(self._column).nbytes
        row_bytes = -(-texts // len(numbers)) + (_TAR_BYTES if form == "webdataset" else 0)
        costs = [
            _stored(size, count, form) + row_bytes * count
            for size, count in zip(sizes.tolist(), counts.tolist(), strict=True)
        ]
        self.bounds = list(_bounds(costs, counts, shard_size))
        self.repeated_bytes = int((sizes * counts).sum())
        self.media_bytes = int(sizes.sum())

    def rows(self, first: int, stop: int) -> tuple[list[Source], list[tuple[int, dict[str, Any]]]]:
        """The sources of a shard, and for each of its rows the number of its source and the row without it."""
        columns = self._rows[self._order[first:stop].tolist()]
        names = [name for name in columns if name != self._column]
        numbers = self._numbers[first:stop]
        base, end = int(numbers[0]), int(numbers[-1]) + 1
        values = zip(*(columns[name] for name in names), strict=True)
        rows = [dict(zip(names, row, strict=True)) for row in values]
        return self.sources[base:end], list(zip((numbers - base).tolist(), rows, strict=True))

    def bytes_of(self, first: int, stop: int) -> int:
        """The bytes of the videos or images of a shard, each once."""
        return sum(source.size for source in self.sources[self._numbers[first] : self._numbers[stop - 1] + 1])


def _numbered(column: Any) -> tuple[np.ndarray, list[str]]:
    """A column of texts as numbers in order of appearance, int64 (rows), and the texts."""
    encoded = column.dictionary_encode().unify_dictionaries()
    numbers = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]).astype(np.int64)
    return numbers, encoded.chunk(0).dictionary.to_pylist()


def _sources(paths: list[str], folder: Path, form: ShardFormat) -> list[Source]:
    found, bad = [], []
    for path in paths:
        try:
            about = os.stat(path)
        except OSError as error:
            bad.append(f"{path}: {error.strerror}")
            continue
        if os.path.isdir(path):
            bad.append(f"{path} is a folder of frames; datasets_scripts.prepare makes a video of it")
        elif form == "parquet" and about.st_size > _ARROW_LIMIT:
            bad.append(f"{path} has {about.st_size:,} bytes, and a value in Parquet at most {_ARROW_LIMIT:,}")
        else:
            name = Path(path).relative_to(folder).as_posix()
            found.append(Source(path, name, about.st_size, about.st_mtime_ns))
    if bad:
        raise DatasetError("cannot be put into shards: " + listed(bad))
    return found


def listed(texts: Sequence[str]) -> str:
    """The first of some texts, and how many more there are."""
    more = [f"and {len(texts) - _SHOWN:,} more"] if len(texts) > _SHOWN else []
    return "; ".join([*texts[:_SHOWN], *more])


def rows_of_a_group(size: int) -> int:
    """How many rows of a video of that size, in bytes, a row group may hold.

    Example:
        >>> rows_of_a_group(10 << 20), rows_of_a_group(1 << 30)
        (3, 1)
    """
    return min(max(GROUP_BYTES // max(size, 1), 1), GROUP_ROWS)


def _stored(size: int, count: int, form: ShardFormat) -> int:
    """The bytes that a video takes, which in Parquet is stored once in each row group."""
    copies = count if form == "webdataset" else -(-count // rows_of_a_group(size))
    return size * copies


def _bounds(costs: list[int], counts: np.ndarray, shard_size: int) -> Iterator[tuple[int, int]]:
    """Where shards begin and end, in rows.

    Example:
        >>> list(_bounds([4, 4, 4, 20, 1], np.array([1, 2, 1, 3, 1]), 10))
        [(0, 3), (3, 4), (4, 7), (7, 8)]
    """
    first = stop = total = 0
    for cost, count in zip(costs, counts.tolist(), strict=True):
        if total and total + cost > shard_size:
            yield first, stop
            first, total = stop, 0
        stop, total = stop + count, total + cost
    yield first, stop
