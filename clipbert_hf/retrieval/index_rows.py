"""What an index keeps of a video, and how that lies in a row of its table.

Shapes: K clips, N distinct clips, V visual tokens, D hidden size, C numbers a vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ..errors import InvalidInputError
from ..model.encoded_videos_clipbert import EncodedVideos
from .collection import Item

# Columns of facts, and of what a model made of the video; all others are the user's.
FACTS = ("path", "content_hash", "size", "modified", "error")
VECTORS = ("vector", "clip_vectors")
ENCODING = ("clip_seconds", "distinct_clips", "tokens", "token_shape", "clip_places")
# Rows with this size could not be fetched, so that nothing is known of their content.
UNKNOWN_SIZE = -1
# By this Lance tells that two processes have inserted the same row, and lets the second one write again.
_KEY = {"lance-schema:unenforced-primary-key": "true"}


@dataclass(frozen=True)
class Encoding:
    """What a model made of a video.

    Args:
        videos: One, as visual tokens.
        seconds: Start and end of each clip, (K, 2).
        vectors: Of the clips, of length 1, (K, C); None: the model has none.
        pooled: Of the video, of length 1, (C,).
    """

    videos: EncodedVideos
    seconds: np.ndarray
    vectors: np.ndarray | None = None
    pooled: np.ndarray | None = None


def row_schema(contrastive_size: int, columns: pa.Schema, metadata: Mapping[str, str]) -> pa.Schema:
    """The columns of an index.

    Args:
        contrastive_size: Numbers of a vector, C; 0: no vectors.
        columns: The user's.
        metadata: Kept beside the columns.

    Raises:
        InvalidInputError: If one of the user's has the name of one of ours.
    """
    taken = sorted({*FACTS, *VECTORS, *ENCODING} & set(columns.names))
    if taken:
        raise InvalidInputError(f"videos: an index has columns {taken} of its own; rename those of the rows")
    fields: list[tuple[str, pa.DataType]] = [
        *(("content_hash", pa.string()), ("size", pa.int64()), ("modified", pa.int64())),
        ("error", pa.string()),
        ("clip_seconds", pa.list_(pa.list_(pa.float64(), 2))),
        *(("distinct_clips", pa.int32()), ("tokens", pa.large_binary())),
        *(("token_shape", pa.list_(pa.int32(), 3)), ("clip_places", pa.list_(pa.int32()))),
    ]
    if contrastive_size:
        vector = pa.list_(pa.float32(), contrastive_size)
        fields += [("vector", vector), ("clip_vectors", pa.list_(vector))]
    path = pa.field("path", pa.string(), nullable=False, metadata=_KEY)
    return pa.schema([path, *map(pa.field, *zip(*fields, strict=True)), *columns], metadata=dict(metadata))


def infer_columns(items: Sequence[Item]) -> pa.Schema:
    """The types of the user's columns.

    Raises:
        InvalidInputError: If values of one column are of types that do not go together.
    """
    names = list(dict.fromkeys(name for item in items for name in item.columns))
    fields = []
    for name in names:
        try:
            kind = pa.array([item.columns.get(name) for item in items]).type
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InvalidInputError(f"videos: the values of column {name!r} are of no one type: {error}") from error
        fields.append(pa.field(name, pa.string() if pa.types.is_null(kind) else kind))
    return pa.schema(fields)


def make_row(item: Item, digest: str | None, size: int, encoded: Encoding | str) -> dict[str, Any]:
    """A video as a row.

    Args:
        item: The video.
        digest: Of its content, if that could be fetched.
        size: Of its content, or :data:`UNKNOWN_SIZE`.
        encoded: What a model made of it, or why it could not be read.
    """
    facts = {"path": item.name, "content_hash": digest, "size": size, "modified": item.modified}
    row: dict[str, Any] = {**item.columns, **facts}
    if isinstance(encoded, str):
        return {**row, "error": encoded}
    tokens = encoded.videos.tokens.to(torch.bfloat16).cpu().contiguous()
    row |= {
        "clip_seconds": encoded.seconds.tolist(),
        "distinct_clips": len(tokens),
        "tokens": tokens.view(torch.int16).numpy().tobytes(),
        "token_shape": list(tokens.shape),
        "clip_places": encoded.videos.clip_places[0].tolist(),
    }
    if encoded.vectors is not None and encoded.pooled is not None:
        row |= {"vector": encoded.pooled.tolist(), "clip_vectors": encoded.vectors.tolist()}
    return row


def to_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as Arrow has them.

    Raises:
        InvalidInputError: If a row has a column that the index lacks, or a value of another type.
    """
    for row in rows:
        unknown = sorted(set(row) - set(schema.names))
        if unknown:
            raise InvalidInputError(f"videos: {row['path']} has columns {unknown}, which the index was made without")
    try:
        return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InvalidInputError(f"videos: a value does not fit its column in the index: {error}") from error


def tokens_of(rows: pa.Table) -> list[EncodedVideos]:
    """The visual tokens of rows without errors, in bfloat16."""
    videos = []
    for tokens, shape, places in zip(*(rows[name] for name in ("tokens", "token_shape", "clip_places")), strict=True):
        values = np.frombuffer(tokens.as_buffer(), dtype=np.int16).reshape(shape.as_py()).copy()
        videos.append(EncodedVideos(torch.from_numpy(values).view(torch.bfloat16), torch.tensor([places.as_py()])))
    return videos


def matrices_of(column: pa.ChunkedArray) -> list[np.ndarray]:
    """A column of lists of vectors as matrices, such as the (K, C) of clips."""
    width = column.type.value_type.list_size
    return [cell.values.flatten().to_numpy(zero_copy_only=False).reshape(-1, width) for cell in column]
