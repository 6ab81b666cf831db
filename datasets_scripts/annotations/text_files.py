"""UTF-8 text as it must be in an annotation file: not empty, without a byte order mark, or an error that says where."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from datasets_scripts.errors import DatasetError

_BYTE_ORDER_MARKS = (
    codecs.BOM_UTF8,
    codecs.BOM_UTF32_LE,
    codecs.BOM_UTF32_BE,
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, line ends kept.

    Raises:
        DatasetError: The file cannot be read, is empty, begins with a byte order mark, or is not UTF-8.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    check_start(path, line)
                yield number, line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, number, error) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not number:
        check_start(path, b"")


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DatasetError: As :func:`read_lines`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    check_start(path, content)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, 1 + content.count(b"\n", 0, error.start), error) from error


def check_start(path: Path, start: bytes) -> None:
    """Refuse a file by its first bytes.

    Raises:
        DatasetError: There are none, or they are a byte order mark.
    """
    if not start:
        raise DatasetError(f"{path} is empty: line 1 is missing")
    if start.startswith(_BYTE_ORDER_MARKS):
        raise DatasetError(f"{path}, line 1: begins with a byte order mark; save it as UTF-8 without one")


def unreadable(path: Path, error: OSError) -> DatasetError:
    """The error that a file cannot be read."""
    return DatasetError(f"{path} cannot be read: {error.strerror}")


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> DatasetError:
    return DatasetError(f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8")
