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

from datasets_scripts.exporting.shard_plan import GROUP_BYTES, GROUP_ROWS, ShardFormat, Source, rows_of_a_group
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
    """Write a shard, a row group of limited size at a time.

    The bytes of a video are in memory and in a row group once, however many rows it has there: as a dictionary, of
    which readers know nothing.
    """
    import pyarrow as pa
    from pyarrow import parquet

    column = media_column(content.schema)
    schema = embedded_features(content.schema).arrow_schema
    place = schema.get_field_index(column)
    kind = pa.struct({"bytes": pa.dictionary(pa.int32(), pa.binary()), "path": pa.string()})
    written = schema.set(place, pa.field(column, kind))
    codecs = dict.fromkeys(_leaves(schema), "zstd") | {f"{column}.bytes": "none"}
    # Arrow's own schema would tell readers of the dictionary; what `datasets` wants to know is in the metadata.
    with parquet.ParquetWriter(
        path, written, compression=codecs, dictionary_pagesize_limit=1 << 31, store_schema=False
    ) as writer:
        writer.add_key_value_metadata(schema.metadata)
        for group in _row_groups(content):
            numbers = [number for number, _ in group]
            # Arrow gives up a dictionary in which two values are equal, as two files may be.
            values: dict[bytes, int] = {}
            places = {number: values.setdefault(load(number), len(values)) for number in dict.fromkeys(numbers)}
            positions = pa.array([places[number] for number in numbers], pa.int32())
            names = pa.array([content.sources[number].name for number in numbers], pa.string())
            media = pa.StructArray.from_arrays(
                [pa.DictionaryArray.from_arrays(positions, pa.array(list(values), pa.binary())), names],
                fields=list(kind),
            )
            rows = pa.Table.from_pylist([row for _, row in group], schema=schema.remove(place))
            writer.write_table(rows.add_column(place, written.field(place), media).cast(written))


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
            is_large = total + source.size * len(piece) > GROUP_BYTES or len(group) + len(piece) > GROUP_ROWS
            if group and is_large:
                yield group
                group, total = [], 0
            group, total = group + piece, total + source.size * len(piece)
    if group:
        yield group


def read_parquet(path: Path, schema: SchemaName) -> Iterator[Found]:
    """The rows of a shard."""
    from pyarrow import parquet

    column = media_column(schema)
    with parquet.ParquetFile(path, read_dictionary=[f"{column}.bytes"]) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, use_threads=False)
            rows = iter(table.drop_columns(column).to_pylist())
            for chunk in table.column(column).chunks:
                values, names = chunk.field("bytes"), chunk.field("path").to_pylist()
                digests = [hashlib.sha256(value.as_buffer()).hexdigest() for value in values.dictionary]
                for number, name in zip(values.indices.to_pylist(), names, strict=True):
                    yield next(rows), name, digests[number]


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
