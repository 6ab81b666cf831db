"""The two forms of a shard, each written and read again: Parquet, and tar files as WebDataset has them.

A row of Parquet is that of the schema with ``{"bytes", "path"}`` in place of the path. In a tar file two members make a
row, ``<number of the row>.<ending of the video>`` and ``<number of the row>.json``, which is the row of the schema with
the name of the video. Nothing in either depends on when or where it was written.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_scripts.exporting.shard_plan import GROUP_BYTES, ShardFormat, Source, rows_of_a_group
from datasets_scripts.schemas import SchemaName, features, media_column

if TYPE_CHECKING:
    from datasets import Features

# Endings by which `datasets` knows what a member of a tar file is; where there are others, the card says it.
MIXED = {"video": "video", "image": "image"}


@dataclass(frozen=True)
class Content:
    """What a shard holds.

    Args:
        schema: Of its rows.
        first: The number of its first row in the split.
        sources: Its videos or images.
        rows: For each row the number of its source, and the row without it.
        ending: Of the videos or images in a tar file.
    """

    schema: SchemaName
    first: int
    sources: list[Source]
    rows: list[tuple[int, dict[str, Any]]]
    ending: str


# A row as it was found in a shard: without its video, the name of that, the SHA-256 of its bytes.
Found = tuple[dict[str, Any], str, str]
Load = Callable[[int], bytes]


def embedded_features(schema: SchemaName) -> Features:
    """The columns of a schema with the video or image itself."""
    from datasets import Image, Video

    columns = features(schema)
    column = media_column(schema)
    columns[column] = Image(decode=False) if column == "image" else Video(decode=False)
    return columns


def tar_features(schema: SchemaName, ending: str) -> Features:
    """The columns as ``datasets`` makes them of a tar file."""
    from datasets import Features, Image, Value, Video

    media = Image(decode=False) if media_column(schema) == "image" else Video(decode=False)
    text = Value("string")
    return Features({ending: media, "json": dict(features(schema)), "__key__": text, "__url__": text})


def common_ending(names: Iterator[str], column: str) -> str:
    """The ending of all files; where they differ, that of mixed ones.

    Example:
        >>> common_ending(iter(["a.mp4", "b.MP4"]), "video"), common_ending(iter(["a.mp4", "b.gif"]), "video")
        ('mp4', 'video')
    """
    endings = {Path(name).suffix[1:].lower() for name in names}
    return endings.pop() if len(endings) == 1 and "" not in endings else MIXED[column]


def write_parquet(content: Content, path: Path, load: Load) -> None:
    """Write a shard, a row group of limited size at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    column = media_column(content.schema)
    schema = embedded_features(content.schema).arrow_schema
    codecs = dict.fromkeys(_leaves(schema), "zstd") | {f"{column}.bytes": "none"}
    # The bytes of a video stand once in a row group, however many rows it has there.
    with parquet.ParquetWriter(path, schema, compression=codecs, dictionary_pagesize_limit=1 << 31) as writer:
        for group in _row_groups(content):
            rows = []
            for number, row in group:
                media = {"bytes": load(number), "path": content.sources[number].name}
                rows.append({**row, column: media})
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _leaves(schema: Any) -> list[str]:
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.ParquetWriter(buffer, schema).close()
    found = parquet.ParquetFile(buffer).schema
    return [found.column(number).path for number in range(len(found))]


def _row_groups(content: Content) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """The rows in groups whose videos, counted for each row, have a limited size; those of a video together if so."""
    videos: list[list[tuple[int, dict[str, Any]]]] = [[] for _ in content.sources]
    for number, row in content.rows:
        videos[number].append((number, row))
    group: list[tuple[int, dict[str, Any]]] = []
    total = 0
    for source, rows in zip(content.sources, videos, strict=True):
        most = rows_of_a_group(source.size)
        for piece in (rows[first : first + most] for first in range(0, len(rows), most)):
            if group and total + source.size * len(piece) > GROUP_BYTES:
                yield group
                group, total = [], 0
            group, total = group + piece, total + source.size * len(piece)
    if group:
        yield group


def read_parquet(path: Path, schema: SchemaName) -> Iterator[Found]:
    """The rows of a shard."""
    from pyarrow import parquet

    column, hashed = media_column(schema), _Hashed()
    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, use_threads=False).to_pylist():
                media = row.pop(column)
                yield row, media["path"], hashed(media["bytes"])


def write_tar(content: Content, path: Path, load: Load) -> None:
    """Write a shard, a row at a time."""
    column = media_column(content.schema)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for position, (number, row) in enumerate(content.rows):
            key = f"{content.first + position:09d}"
            named = json.dumps({**row, column: content.sources[number].name}, ensure_ascii=False).encode()
            for ending, value in ((content.ending, load(number)), ("json", named)):
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(value)
                tar.addfile(member, io.BytesIO(value))


def read_tar(path: Path, schema: SchemaName) -> Iterator[Found]:
    """The rows of a shard."""
    column, hashed = media_column(schema), _Hashed()
    digest = ""
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            file = tar.extractfile(member)
            value = b"" if file is None else file.read()
            if member.name.endswith(".json"):
                row = json.loads(value)
                yield row, row.pop(column), digest
            else:
                digest = hashed(value)


class _Hashed:
    """The SHA-256 of bytes, not counted again where the same follow each other."""

    def __init__(self) -> None:
        self._bytes, self._digest = b"", hashlib.sha256().hexdigest()

    def __call__(self, content: bytes) -> str:
        if content != self._bytes:
            self._bytes, self._digest = content, hashlib.sha256(content).hexdigest()
        return self._digest


WRITE: dict[ShardFormat, Callable[[Content, Path, Load], None]] = {"parquet": write_parquet, "webdataset": write_tar}
READ: dict[ShardFormat, Callable[[Path, SchemaName], Iterator[Found]]] = {
    "parquet": read_parquet,
    "webdataset": read_tar,
}
