"""Rows in Parquet as they come, for exports whose videos stay outside of it or are few; and the copies of videos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_scripts.annotations.media import FRAME_EXTENSIONS
from datasets_scripts.errors import DatasetError
from datasets_scripts.execution.executor import Executor, choose_executor
from datasets_scripts.execution.record import part_of
from datasets_scripts.exporting.shard_plan import listed
from datasets_scripts.schemas import media_column

if TYPE_CHECKING:
    from datasets import Features

    from datasets_scripts.annotations.builder import AnnotationBuilder

MEDIA_FOLDER = "media"
_BATCH_ROWS = 1000
# Embedded videos are written in row groups of few rows, since readers hold a group in memory.
_EMBED_ROWS = 16


def portable_rows(builder: AnnotationBuilder, split: str, media: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Rows without paths of this machine, and the name of the video or image of each.

    Raises:
        DatasetError: A folder of frames is to be embedded.
    """
    column = media_column(builder.plan.schema)
    for row in builder.rows(split):
        path = Path(row[column])
        name = path.relative_to(builder.report.media_dir).as_posix()
        if media == "embed":
            if path.is_dir():
                raise DatasetError(f"{path} is a folder of frames, which cannot be embedded; media='files' copies it")
            value: Any = {"bytes": path.read_bytes(), "path": name}
        else:
            value = f"{MEDIA_FOLDER}/{name}" if media == "files" else name
        yield {**row, column: value}, name


@dataclass(frozen=True)
class Copy:
    """A file or a folder of frames to copy."""

    source: str
    target: str


def copy_media(names: set[str], media_dir: Path, folder: Path, executor: Executor | None, progress: bool) -> None:
    """Copy each video or image below :data:`MEDIA_FOLDER`, unless it is there.

    Raises:
        DatasetError: Some cannot be copied, all of which are named.
    """
    from tqdm.auto import tqdm

    jobs = [Copy(str(media_dir / name), str(folder / MEDIA_FOLDER / name)) for name in sorted(names)]
    results = (executor or choose_executor()).run(copy_one, jobs)
    bar = tqdm(results, "copy", len(jobs), unit="file", disable=not progress)
    failed = [f"{job.source}: {result}" for job, result in bar if isinstance(result, str)]
    if failed:
        raise DatasetError("cannot be copied: " + listed(failed))


def copy_one(job: Copy) -> str | None:
    """Copy a file, or the images of a folder; returns what is wrong."""
    source, target = Path(job.source), Path(job.target)
    try:
        if not source.is_dir():
            _copy(source, target)
            return None
        for path in sorted(source.iterdir()):  # the frames of a video
            if path.is_file() and not path.name.startswith(".") and path.suffix.lower() in FRAME_EXTENSIONS:
                _copy(path, target / path.name)
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return None


def _copy(source: Path, target: Path) -> None:
    size = source.stat()
    if target.exists():
        there = target.stat()
        if (there.st_size, int(there.st_mtime)) == (size.st_size, int(size.st_mtime)):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    try:
        shutil.copy2(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


class RowWriter:
    """Writes rows into ``<split>-<n>-of-<total>.parquet``; the total is known at the end.

    Args:
        folder: Where.
        split: Which.
        columns: Their types.
        shard_size: Bytes after which a file ends.
        is_big: Whether rows hold videos.
    """

    def __init__(self, folder: Path, split: str, columns: Features, shard_size: int, *, is_big: bool) -> None:
        self._folder, self._split, self._columns, self._shard_size = folder, split, columns, shard_size
        self._batch = _EMBED_ROWS if is_big else _BATCH_ROWS
        self._rows: list[dict[str, Any]] = []
        self._paths: list[Path] = []
        self._count = 0
        self._writer: Any = None

    def add(self, row: dict[str, Any]) -> None:
        """Add a row."""
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
