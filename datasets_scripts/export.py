"""Writes a data set as a folder for the Hub: Parquet or tar shards, and a README with the configurations.

::

    python -m datasets_scripts.export msrvtt retrieval --annotation_dir data/msrvtt --video_dir data/msrvtt/videos \
        --output hub/msrvtt --media shards --push_to_hub my-team/msrvtt

``datasets.load_dataset("hub/msrvtt", "retrieval")`` reads it with nothing of ours installed, likewise from the Hub.
Further configurations can be added to the folder by further commands. What becomes of the videos (or images):

==========  ===========================================================================================================
``names``   they stay where they are; ``video`` has the path below the video folder
``files``   each is copied once, below ``media/``; ``video`` has the path below the exported folder
``embed``   each is stored in the Parquet files, with every row that has it, as ``{"bytes", "path"}``
``shards``  as ``embed``, in shards of a stated size, Parquet or WebDataset, which are written in parallel, read again
            and compared, and of which those that are there are kept when a stopped export is given again. The rows of
            a video follow each other, and Parquet has its bytes about once
==========  ===========================================================================================================

Give a folder of ``datasets_scripts.prepare`` as ``--video_dir`` and the small videos are exported instead.

A folder that was exported again is never mixed up with its older self in the cache of ``datasets``: the version of a
configuration comes from its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from datasets_scripts.annotations.command_line import add_policy, data_set_parser, reported_builder, run
from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import Executor, add_execution, choose_executor
from datasets_scripts.exporting.all_shards import write_shards
from datasets_scripts.exporting.card import read_manifest, write_card, write_manifest
from datasets_scripts.exporting.rows import RowWriter, copy_media, portable_rows
from datasets_scripts.exporting.shard_files import embedded_features
from datasets_scripts.exporting.shard_plan import ShardFormat
from datasets_scripts.exporting.upload import push_to_hub
from datasets_scripts.preparation.record import read_record
from datasets_scripts.schemas import features

if TYPE_CHECKING:
    from datasets_scripts.annotations.builder import AnnotationBuilder

MediaMode = Literal["names", "files", "embed", "shards"]
__all__ = ["Export", "export", "main", "push_to_hub"]


@dataclass(frozen=True)
class Export:
    """What was written.

    Args:
        folder: Where.
        config: The configuration.
        rows: Rows of each split.
        media: How many videos or images were copied or embedded.
        version: Made from the content.
        shards: How many there are, and how many of them were written by this call.
        bytes: Of the shards.
        notes: What the user should know of the shards.
    """

    folder: Path
    config: str
    rows: dict[str, int]
    media: int
    version: str
    shards: tuple[int, int] = (0, 0)
    bytes: int = 0
    notes: list[str] = field(default_factory=list)


def export(
    builder: AnnotationBuilder,
    output: str | os.PathLike[str],
    *,
    media: MediaMode = "names",
    shard_size: int = 500_000_000,
    shard_format: ShardFormat = "parquet",
    executor: Executor | None = None,
    progress: bool = True,
) -> Export:
    """Write a configuration into a folder, beside others that are there.

    Args:
        builder: From :func:`datasets_scripts.create_builder`.
        output: The folder.
        media: What becomes of the videos or images.
        shard_size: The bytes of a file: of ``shards`` at most, but for a single larger video; otherwise it ends when it
            has so many.
        shard_format: Of ``shards``.
        executor: What copies files and writes shards; by default a process a core.
        progress: Whether to show progress bars.

    Raises:
        DatasetError: The folder holds another data set or other shards, an option is out of range, or videos or images
            cannot be exported.
    """
    for name, value, known in (("media", media, MediaMode), ("shard_format", shard_format, ShardFormat)):
        if value not in get_args(known):
            raise DatasetError(f"{name} must be one of {', '.join(get_args(known))}, not {value!r}")
    if shard_size < 1:
        raise DatasetError(f"shard_size must be at least 1 byte, not {shard_size}")
    folder = Path(output).resolve()
    manifest = read_manifest(folder, builder.NAME)
    _check_format(manifest, folder, builder.config.name, shard_format if media == "shards" else "parquet")
    write_manifest(folder, manifest)
    if media == "shards":
        done, about = _shards(builder, folder, shard_format, shard_size, executor, progress)
    else:
        done, about = _rows(builder, folder, media, shard_size, executor, progress), {}
    manifest["configs"][done.config] = {
        "version": done.version,
        "schema": builder.plan.schema,
        "rows": done.rows,
        "media": media,
        **about,
        "notes": _public_notes(builder) + done.notes,
    }
    write_card(folder, manifest)
    return done


def _check_format(manifest: dict[str, Any], folder: Path, config: str, form: str) -> None:
    """``datasets`` reads all configurations of a folder by one of its readers.

    Raises:
        DatasetError: Another configuration of the folder has another format.
    """
    for name, content in manifest["configs"].items():
        there = content.get("format", "parquet")
        if name != config and there != form:
            raise DatasetError(f"{folder} holds {name} as {there}, so {config} cannot be {form}: choose another folder")


def _rows(
    builder: AnnotationBuilder,
    folder: Path,
    media: MediaMode,
    shard_size: int,
    executor: Executor | None,
    progress: bool,
) -> Export:
    """Write Parquet files row by row, and copy the videos or images if asked to."""
    config, schema = builder.config.name, builder.plan.schema
    unfinished = folder / f".{config}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    digest = hashlib.sha256()
    columns = embedded_features(schema) if media == "embed" else features(schema)
    rows: dict[str, int] = {}
    names: set[str] = set()
    for split in builder.report.splits:
        writer = RowWriter(unfinished, split, columns, shard_size, is_big=media == "embed")
        for row, name in portable_rows(builder, split, media):
            writer.add(row)
            names.add(name)
            digest.update(json.dumps(row, sort_keys=True, default=_digest).encode())
        rows[split] = writer.finish()
    if media == "files":
        copy_media(names, Path(builder.report.media_dir), folder, executor, progress)
    _replace(unfinished, folder / config)
    return Export(folder, config, rows, len(names) if media != "names" else 0, _version(digest.hexdigest()))


def _shards(
    builder: AnnotationBuilder,
    folder: Path,
    form: ShardFormat,
    shard_size: int,
    executor: Executor | None,
    progress: bool,
) -> tuple[Export, dict[str, Any]]:
    """Write shards; what the manifest says of them."""
    config = builder.config.name
    found = write_shards(
        builder, folder / config, form=form, shard_size=shard_size, executor=executor, progress=progress
    )
    rows = {split: sum(shard.rows for shard in found.shards if shard.split == split) for split in builder.report.splits}
    total = sum(shard.bytes for shard in found.shards)
    version = _version(hashlib.sha256("".join(shard.sha256 for shard in found.shards).encode()).hexdigest())
    _replace(found.folder, folder / config)
    counts = len(found.shards), found.done
    done = Export(folder, config, rows, found.media, version, counts, total, found.notes)
    return done, {"format": form, "ending": found.ending, "shards": len(found.shards), "bytes": total}


def _replace(unfinished: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def _version(digest: str) -> str:
    return f"1.0.{int(digest[:7], 16)}"


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def _public_notes(builder: AnnotationBuilder) -> list[str]:
    report = builder.report
    notes = list(report.notes)
    for split, found in report.splits.items():
        if found.dropped_rows:
            files = len(found.missing) + len(found.unreadable)
            notes.append(f"{split}: {found.dropped_rows:,} rows of {files:,} missing or unreadable files are left out")
        if found.blank_rows:
            notes.append(f"{split}: {found.blank_rows:,} rows with a blank text are left out")
    prepared = read_record(Path(report.media_dir))
    if prepared is not None:
        settings = ", ".join(f"{name} {value}" for name, value in prepared.settings.items())
        notes.append(f"the videos are not the originals but prepared once from them: {settings}")
    return notes


def main(arguments: list[str] | None = None, program: str = "python -m datasets_scripts.export") -> int:
    """Run the command line, under the name that its help gives it; returns the exit status."""
    parser = data_set_parser(program, __doc__ or "")
    add_policy(parser)
    parser.add_argument("--output", required=True, help="the folder to write")
    parser.add_argument("--media", choices=get_args(MediaMode), default="names", help="what becomes of the videos")
    parser.add_argument("--shard_format", choices=get_args(ShardFormat), default="parquet", help="of --media shards")
    parser.add_argument("--shard_size", default="500MB", help="of a file, such as 500MB or 1GiB (default: 500MB)")
    parser.add_argument(
        "--push_to_hub",
        metavar="REPOSITORY",
        help="upload the folder to this data set repository; a stopped upload goes on when the command is given again",
    )
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    add_execution(parser)
    options = parser.parse_args(arguments)

    def work() -> int:
        executor, size = choose_executor(options.ray, options.workers), _bytes(options.shard_size)
        builder = reported_builder(options)
        done = export(
            builder,
            options.output,
            media=options.media,
            shard_size=size,
            shard_format=options.shard_format,
            executor=executor,
            progress=not options.no_progress,
        )
        sys.stdout.write(_text(done))
        if options.push_to_hub:
            url = push_to_hub(done.folder, options.push_to_hub, private=options.private)
            sys.stdout.write(f"uploaded to {url}\n")
        return 0

    return run(work)


def _text(done: Export) -> str:
    counts = ", ".join(f"{split} {count:,}" for split, count in done.rows.items())
    lines = [f"{done.folder}: {done.config}, rows: {counts}; {done.media:,} files with them"]
    if done.shards[0]:
        lines.append(f"shards: {done.shards[0]:,}, {done.shards[1]:,} of them by this run; {done.bytes / 1e6:,.1f} MB")
    lines += [*done.notes, f'read it with load_dataset("{done.folder}", "{done.config}")']
    return "\n".join(lines) + "\n"


def _bytes(text: str) -> int:
    from datasets.utils.py_utils import convert_file_size_to_int

    try:
        return convert_file_size_to_int(text)
    except ValueError as error:
        raise DatasetError(f"shard_size must be bytes, such as 500MB or 1GiB, not {text!r}") from error


if __name__ == "__main__":
    sys.exit(main())
