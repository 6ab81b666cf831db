"""The text of an annotation file: UTF-8, or what its byte order mark says, or an error with its place.

Spreadsheet programs put a mark before UTF-8 too ("CSV UTF-8"), and save "Unicode text" as UTF-16. The mark is no part
of the text.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from datasets_scripts.errors import DatasetError

_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, line ends kept.

    A file in UTF-16 is in memory as a whole.

    Raises:
        DatasetError: The file cannot be read, is empty, or is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    number = 0
    try:
        with path.open("rb") as file:
            check_start(path, start := file.peek(4)[:4])
            if start.startswith(_UTF16):
                yield from enumerate(io.StringIO(read_text(path), newline="\n"), start=1)
                return
            for number, line in enumerate(file, start=1):
                yield number, (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_unicode(path, number, error) from error
    except OSError as error:
        raise unreadable(path, error) from error


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DatasetError: As :func:`read_lines`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    check_start(path, content[:4])
    if content.startswith(_UTF16):
        encoding, line_end = "utf-16", "\n".encode("utf-16-le" if content.startswith(_UTF16[0]) else "utf-16-be")
    else:
        encoding, line_end = "utf-8-sig", b"\n"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_unicode(path, 1 + content.count(line_end, 0, error.start), error) from error


def check_start(path: Path, start: bytes) -> None:
    """Refuse a file by its first four bytes.

    Raises:
        DatasetError: There are none but a byte order mark, or they are the mark of UTF-32.
    """
    if start in (b"", codecs.BOM_UTF8, *_UTF16):
        raise DatasetError(f"{path} is empty: line 1 is missing")
    if start.startswith(_UTF32):
        raise DatasetError(f"{path}, line 1: begins with the byte order mark of UTF-32; save it as UTF-8")


def has_mark(start: bytes) -> bool:
    """Whether a file begins with a byte order mark."""
    return start.startswith((codecs.BOM_UTF8, *_UTF16))


def unreadable(path: Path, error: OSError) -> DatasetError:
    """The error that a file cannot be read."""
    return DatasetError(f"{path} cannot be read: {error.strerror}")


def _not_unicode(path: Path, line: int, error: UnicodeDecodeError) -> DatasetError:
    # The codec that reads the mark names itself without the order of bytes or with it.
    encoding = "UTF-16" if "16" in error.encoding else "UTF-8"
    return DatasetError(f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not {encoding}")
