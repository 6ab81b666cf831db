"""Writes one shard: under a temporary name, read again and compared with its sources, and only then named."""

from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets_scripts.execution.record import name_whole, part_of
from datasets_scripts.exporting.shard_files import READ, WRITE, Content
from datasets_scripts.exporting.shard_plan import ShardFormat, Source, listed

_VERSION = 1  # to be raised when an equal job would no longer give equal bytes


@dataclass(frozen=True)
class ShardJob:
    """A shard to write.

    Args:
        target: Its path.
        split: Of its rows.
        form: Parquet or a tar file.
        content: What goes into it.
    """

    target: str
    split: str
    form: ShardFormat
    content: Content

    def fingerprint(self) -> str:
        """A hash of all that its bytes are made from; for the videos, their names, sizes and times of change."""
        content = self.content
        sources = [[source.name, source.size, source.changed] for source in content.sources]
        about = [_VERSION, self.form, content.schema, content.first, content.ending, sources]
        digest = hashlib.sha256(json.dumps(about).encode())
        for row in content.rows:
            digest.update(json.dumps(row, sort_keys=True).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Shard:
    """What is known of a shard: a line of the record.

    Args:
        file: Its name.
        split: Of its rows.
        first: The number of its first row in the split.
        rows: How many it has.
        ids: Those of its first and its last row.
        media: How many videos or images it has.
        media_bytes: Their size.
        bytes: Its own.
        sha256: Of the file.
        fingerprint: Of what it was made from.
    """

    file: str
    split: str
    first: int
    rows: int
    ids: tuple[str, str]
    media: int
    media_bytes: int
    bytes: int
    sha256: str
    fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class UnshardedError(Exception):
    """A shard could not be written, and why."""


@dataclass
class _Sources:
    """Loads the bytes of sources, the same again at once, and keeps their SHA-256."""

    sources: list[Source]
    digests: dict[int, str] = field(default_factory=dict)
    _latest: tuple[int, bytes] = (-1, b"")

    def __call__(self, number: int) -> bytes:
        if self._latest[0] == number:
            return self._latest[1]
        source = self.sources[number]
        content = Path(source.path).read_bytes()
        if len(content) != source.size:
            raise UnshardedError(f"{source.path} was changed meanwhile: give the command again")
        self._latest = number, content
        self.digests[number] = hashlib.sha256(content).hexdigest()
        return content


def write_shard(job: ShardJob) -> Shard | str:
    """Write a shard.

    Returns:
        What is known of it; or what is wrong, and then nothing is written.

    Raises:
        OSError: The disk is full.
    """
    target = Path(job.target)
    part = part_of(target)
    try:
        sources = _Sources(job.content.sources)
        WRITE[job.form](job.content, part, sources)
        _verify(job, part, sources.digests)
        shard = _described(job, part)
        name_whole(part, target)
        return shard
    except UnshardedError as error:
        return str(error)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(errno.ENOSPC, "the disk is full; run the command again to go on", job.target) from error
        return listed(_unreadable(job.content.sources)) or f"{type(error).__name__}: {error}"
    finally:
        part.unlink(missing_ok=True)


def _unreadable(sources: list[Source]) -> list[str]:
    bad = []
    for source in sources:
        try:
            Path(source.path).open("rb").close()
        except OSError as error:
            bad.append(f"{source.path}: {error.strerror}")
    return bad


def _verify(job: ShardJob, part: Path, digests: dict[int, str]) -> None:
    """Make sure that the file has all rows, and each with the bytes of its source.

    Raises:
        UnshardedError: It has not.
    """
    found = READ[job.form](part, job.content.schema)
    for number, row in job.content.rows:
        expected = (row, job.content.sources[number].name, digests[number])
        if next(found, None) != expected:
            raise UnshardedError(f"the row {row['id']!r} is not in the file as it was written: the disk may be failing")
    if next(found, None) is not None:
        raise UnshardedError("the file has more rows than were written")


def _described(job: ShardJob, part: Path) -> Shard:
    content, digest = job.content, hashlib.sha256()
    with part.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return Shard(
        file=Path(job.target).name,
        split=job.split,
        first=content.first,
        rows=len(content.rows),
        ids=(content.rows[0][1]["id"], content.rows[-1][1]["id"]),
        media=len(content.sources),
        media_bytes=sum(source.size for source in content.sources),
        bytes=part.stat().st_size,
        sha256=digest.hexdigest(),
        fingerprint=job.fingerprint(),
    )
