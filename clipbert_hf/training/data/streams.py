"""The texts of a data set that is streamed, kept on the disk and mapped after one pass over its shards.

So a sample is known by its number, as everywhere: texts are checked, wrong ones drawn, rows grouped and counted without
any video. Only where a video is needed a worker reads on in the shard that has it (:class:`MediaStream`). That this is
reading on, and seldom back, is what the order of an epoch is made for: :class:`~.order.StreamSampler`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets import Dataset

from .shards import Shards


def keep_texts(
    shards: Shards, media: str | None, columns: Mapping[str, Callable[[pa.Table], Any]], *, key: str
) -> tuple[Dataset, list[int]]:
    """The texts of a split in a file that is mapped, after one pass over its shards; none if the file is there.

    Args:
        shards: Of the split.
        media: The column whose bytes are left out.
        columns: Of the file, and how they are had from some rows.
        key: Tells what they are made of; another is another file.

    Returns:
        The rows, and how many each shard has.
    """
    name = hashlib.sha256(f"{key} {media} {sorted(columns)}".encode()).hexdigest()[:32]
    path = Path(datasets.config.HF_DATASETS_CACHE) / "clipbert_streams" / f"{name}.arrow"
    lengths = path.with_suffix(".json")
    if not lengths.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        counts = _write_texts(shards, media, columns, part)
        part.replace(path)
        part.write_text(json.dumps(counts), "utf-8")
        part.replace(lengths)
    return Dataset.from_file(str(path)), json.loads(lengths.read_text("utf-8"))


def _write_texts(
    shards: Shards, media: str | None, columns: Mapping[str, Callable[[pa.Table], Any]], path: Path
) -> list[int]:
    empty = shards.features.arrow_schema.empty_table()
    schema = pa.table({name: read(empty) for name, read in columns.items()}).schema
    counts = []
    with pa.ipc.new_stream(str(path), schema) as writer:
        for number in range(len(shards)):
            counts.append(0)
            for table in shards.texts(number, media):
                writer.write_table(pa.table({name: read(table) for name, read in columns.items()}).cast(schema))
                counts[-1] += len(table)
    return counts
