"""Writes a data set as a folder for the Hub: Parquet shards and a README with the configurations.

::

    python -m datasets_scripts.export msrvtt retrieval --annotation_dir data/msrvtt --video_dir data/msrvtt/videos \
        --output hub/msrvtt --media files --push_to_hub my-team/msrvtt

``datasets.load_dataset("hub/msrvtt", "retrieval")`` reads it with nothing of ours installed, likewise from the Hub.
Further configurations can be added to the folder by further commands. What becomes of the videos (or images):

==========  ===========================================================================================================
``names``   they stay where they are; ``video`` has the path below the video folder
``files``   each is copied once, below ``media/``; ``video`` has the path below the exported folder
``embed``   each is stored in the Parquet files, with every row that has it, as ``{"bytes", "path"}``
==========  ===========================================================================================================

A folder that was exported again is never mixed up with its older self in the cache of ``datasets``: the version of a
configuration comes from its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from datasets_scripts.annotations.command_line import add_policy, data_set_parser, reported_builder, run
from datasets_scripts.annotations.hub_card import MANIFEST, read_manifest, write_card
from datasets_scripts.annotations.media import FRAME_EXTENSIONS
from datasets_scripts.errors import DatasetError
from datasets_scripts.schemas import features, media_column

if TYPE_CHECKING:
    from datasets import Features

    from datasets_scripts.annotations.builder import AnnotationBuilder

MediaMode = Literal["names", "files", "embed"]
MEDIA_FOLDER = "media"
_BATCH_ROWS = 1000
# Embedded videos are written in row groups of few rows, since readers hold a group in memory.
_EMBED_ROWS = 16


@dataclass(frozen=True)
class Export:
    """What was written.

    Args:
        folder: Where.
        config: The configuration.
        rows: Rows of each split.
        media: How many videos or images were copied or embedded.
        version: Made from the content.
    """

    folder: Path
    config: str
    rows: dict[str, int]
    media: int
    version: str


def export(
    builder: AnnotationBuilder,
    output: str | os.PathLike[str],
    *,
    media: MediaMode = "names",
    shard_size: int = 400_000_000,
) -> Export:
    """Write a configuration into a folder, beside others that are there.

    Args:
        builder: From :func:`datasets_scripts.create_builder`.
        output: The folder.
        media: What becomes of the videos or images.
        shard_size: A Parquet file ends when it has so many bytes.

    Raises:
        DatasetError: The folder holds another data set, or an option is out of range.
    """
    if media not in get_args(MediaMode):
        raise DatasetError(f"media must be one of {', '.join(get_args(MediaMode))}, not {media!r}")
    folder = Path(output).resolve()
    manifest = read_manifest(folder, builder.NAME)
    config = builder.config.name
    unfinished = folder / f".{config}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    digest = hashlib.sha256()
    rows, names = {}, set()
    for split in builder.report.splits:
        writer = _ShardWriter(unfinished, split, _features(builder, media), shard_size, media)
        for row, name in _portable_rows(builder, split, folder, media):
            writer.add(row)
            names.add(name)
            digest.update(json.dumps(row, sort_keys=True, default=_digest).encode())
        rows[split] = writer.finish()
    target = folder / config
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
    version = f"1.0.{int(digest.hexdigest()[:7], 16)}"
    manifest["configs"][config] = {
        "version": version,
        "schema": builder.plan.schema,
        "rows": rows,
        "media": media,
        "notes": _public_notes(builder),
    }
    write_card(folder, manifest)
    return Export(folder, config, rows, len(names) if media != "names" else 0, version)


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def _features(builder: AnnotationBuilder, media: MediaMode) -> Features:
    from datasets import Image, Video

    found = features(builder.plan.schema)
    if media == "embed":
        column = media_column(builder.plan.schema)
        found[column] = Image(decode=False) if column == "image" else Video(decode=False)
    return found


def _portable_rows(
    builder: AnnotationBuilder, split: str, folder: Path, media: MediaMode
) -> Iterator[tuple[dict[str, Any], str]]:
    """Rows without paths of this machine, and the name of the video or image of each."""
    column = media_column(builder.plan.schema)
    for row in builder.rows(split):
        path = Path(row[column])
        name = path.relative_to(builder.report.media_dir).as_posix()
        if media == "embed":
            if path.is_dir():
                raise DatasetError(f"{path} is a folder of frames, which cannot be embedded; media='files' copies it")
            value: Any = {"bytes": path.read_bytes(), "path": name}
        elif media == "files":
            value = f"{MEDIA_FOLDER}/{name}"
            _copy(path, folder / value)
        else:
            value = name
        yield {**row, column: value}, name


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():  # the frames of a video
        for path in sorted(source.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path.suffix.lower() in FRAME_EXTENSIONS:
                _copy(path, target / path.name)
        return
    size = source.stat()
    if target.exists():
        there = target.stat()
        if (there.st_size, int(there.st_mtime)) == (size.st_size, int(size.st_mtime)):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    shutil.copy2(source, part)
    part.replace(target)


def _public_notes(builder: AnnotationBuilder) -> list[str]:
    report = builder.report
    notes = list(report.notes)
    for split, found in report.splits.items():
        if found.dropped_rows:
            files = len(found.missing) + len(found.unreadable)
            notes.append(f"{split}: {found.dropped_rows:,} rows of {files:,} missing or unreadable files are left out")
        if found.blank_rows:
            notes.append(f"{split}: {found.blank_rows:,} rows with a blank text are left out")
    return notes


class _ShardWriter:
    """Writes rows into ``<split>-<n>-of-<total>.parquet``; the total is known at the end.

    Args:
        folder: Where.
        split: Which.
        columns: Their types.
        shard_size: Bytes after which a file ends.
        media: Whether rows are big.
    """

    def __init__(self, folder: Path, split: str, columns: Features, shard_size: int, media: MediaMode) -> None:
        self._folder, self._split, self._columns, self._shard_size = folder, split, columns, shard_size
        self._batch = _EMBED_ROWS if media == "embed" else _BATCH_ROWS
        self._rows: list[dict[str, Any]] = []
        self._paths: list[Path] = []
        self._count = 0
        self._writer: Any = None

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == self._batch:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if self._writer is None:
            path = self._folder / f"{self._split}-{len(self._paths)}.parquet"
            self._paths.append(path)
            self._writer = parquet.ParquetWriter(path, self._columns.arrow_schema)
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._columns.arrow_schema))
        self._count += len(self._rows)
        self._rows = []
        if self._paths[-1].stat().st_size >= self._shard_size:
            self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def finish(self) -> int:
        """Write the rest and give the files their names; returns the number of rows."""
        if self._rows or not self._paths:
            self._flush()
        self._close()
        for number, path in enumerate(self._paths):
            path.rename(self._folder / f"{self._split}-{number:05d}-of-{len(self._paths):05d}.parquet")
        return self._count


def push_to_hub(folder: str | os.PathLike[str], repository: str, *, private: bool = False) -> str:
    """Upload an exported folder as a data set repository, made if missing; returns its address.

    Args:
        folder: From :func:`export`.
        repository: Such as ``"my-team/msrvtt"``.
        private: Whether a new repository is private.

    Raises:
        DatasetError: The folder was not exported.
    """
    from huggingface_hub import HfApi

    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise DatasetError(f"{folder} has no {MANIFEST}: export the data set there first")
    api = HfApi()
    url = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
    configs = list(read_manifest(folder, None)["configs"])
    api.upload_folder(
        repo_id=repository,
        repo_type="dataset",
        folder_path=folder,
        ignore_patterns=[".*"],
        # Shards of an older export would be read as well.
        delete_patterns=[f"{config}/*.parquet" for config in configs],
        commit_message=f"Add {', '.join(configs)}",
    )
    return str(url)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = data_set_parser("export", __doc__ or "")
    add_policy(parser)
    parser.add_argument("--output", required=True, help="the folder to write")
    parser.add_argument("--media", choices=get_args(MediaMode), default="names", help="what becomes of the videos")
    parser.add_argument("--push_to_hub", metavar="REPOSITORY", help="upload the folder to this data set repository")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    options = parser.parse_args(arguments)

    def work() -> int:
        builder = reported_builder(options)
        done = export(builder, options.output, media=options.media)
        counts = ", ".join(f"{split} {count:,}" for split, count in done.rows.items())
        sys.stdout.write(f"{done.folder}: {done.config}, rows: {counts}; {done.media:,} files with them\n")
        sys.stdout.write(f'read it with load_dataset("{done.folder}", "{done.config}")\n')
        if options.push_to_hub:
            url = push_to_hub(done.folder, options.push_to_hub, private=options.private)
            sys.stdout.write(f"uploaded to {url}\n")
        return 0

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
