"""What is committed: files that get their names when they are whole, and a line for each in a record.

A line is written by one process, after its file has its name. One that was torn by a kill does not count, and its work
is done again.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from datasets_scripts.errors import DatasetError

PART = ".part"
_ATTEMPTS, _PAUSE = 30, 0.1


def part_of(path: Path) -> Path:
    """A temporary name beside a path, which no process of any machine shares."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}{PART}")


def remove_parts(folder: Path) -> None:
    """Remove what runs that were killed have left half-written, below a folder that no other run works in."""
    for path in folder.rglob(f".*{PART}"):
        path.unlink(missing_ok=True)


def name_whole(part: Path, path: Path) -> None:
    """Give a file that is written its name, when the disk has it."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write JSON under a temporary name, then rename, so that a file of the final name is complete."""
    part = part_of(path)
    part.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def read_record_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a record, of which there may be none, but for those that are torn."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.splitlines():
        try:
            parsed = json.loads(line)
        except ValueError:  # torn by a kill
            continue
        if isinstance(parsed, dict):
            yield parsed


class RecordWriter:
    """Adds lines to a record, each at once; one process at a time.

    Args:
        path: Of the record.
        busy: The message of the error that another run is at work.

    Raises:
        DatasetError: Another run is at work.
    """

    def __init__(self, path: Path, busy: str) -> None:
        self._file = path.open("ab")
        try:
            _lock(self._file, busy)
        except BaseException:
            self._file.close()
            raise
        if self._file.tell():
            self._file.write(b"\n")  # the last line may be torn

    def write(self, content: dict[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(content, ensure_ascii=False).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file, and with it set the record free."""
        self._file.close()


def _lock(file: IO[bytes], busy: str) -> None:
    """Lock a file until it is closed, also by a kill; where the system has no such locks, do nothing.

    Raises:
        DatasetError: Another process holds it, for longer than the workers of a run that was killed take to end.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if attempt == _ATTEMPTS - 1:
                raise DatasetError(busy) from error
            time.sleep(_PAUSE)
        except OSError:  # a file system without locks
            return
        else:
            return
