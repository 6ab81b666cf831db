"""JSON with errors that name file and line, and long lists read element by element."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_scripts.errors import DatasetError

_SPACE = re.compile(r"[ \t\r\n]*")
# An element that is longer is read in steps that double.
_CHUNK = 1 << 20


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} stands there twice")
        found[key] = value
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_UNIQUE_DECODER = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_unique)


def decode_json(text: str, path: Path, *, line: int = 1, unique: bool = False) -> Any:
    """Decode a JSON text.

    Args:
        text: Which.
        path: Where it comes from.
        line: The number of its first line there.
        unique: Whether a key that stands in an object twice is an error.

    Raises:
        DatasetError: It is not JSON.
    """
    try:
        return (_UNIQUE_DECODER if unique else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        number = line + error.lineno - 1
        raise DatasetError(f"{path}, line {number}, column {error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}, line {line}: not JSON: {error}") from error


class JsonStream:
    """Yields the elements of a list without holding the file.

    Args:
        chunks: The text of the file in pieces; long files come as a single line.
        path: Its name, for messages.
    """

    def __init__(self, chunks: Iterator[str], path: Path) -> None:
        self._chunks, self.path = chunks, path
        self._buffer, self._at, self._line = "", 0, 1
        self._ended = False

    def elements(self, key: str | None = None) -> Iterator[Any]:
        """The elements of the list at the top, or under a key of the object at the top.

        Raises:
            DatasetError: The file is not JSON of that form.
        """
        if key is None:
            self._expect("[", "a list")
            yield from self._list()
        else:
            yield from self._list_under(key)
        if self._peek():
            raise self._error(f"nothing more expected, but {self._peek()!r}")

    def _list_under(self, key: str) -> Iterator[Any]:
        self._expect("{", "an object")
        found = False
        more = self._peek() != "}"
        while more:
            name = self._value()
            if not isinstance(name, str):
                raise self._error(f"a key expected, not {name!r:.40}")
            self._expect(":", "':'")
            if name == key and found:
                raise self._error(f"key {key!r} stands there twice")
            if name == key:
                found = True
                self._expect("[", f"a list under {key!r}")
                yield from self._list()
            elif self._peek() == "[":
                self._at += 1
                for _ in self._list():  # passed over, not kept: it may be long too
                    pass
            else:
                self._value()
            more = self._comma()
        self._expect("}", "',' or '}'")
        if not found:
            raise DatasetError(f"{self.path}, line 1: there is no key {key!r}")

    def _list(self) -> Iterator[Any]:
        more = self._peek() != "]"
        while more:
            yield self._value()
            more = self._comma()
        self._expect("]", "',' or ']'")

    def _comma(self) -> bool:
        if self._peek() != ",":
            return False
        self._at += 1
        return True

    def _expect(self, character: str, what: str) -> None:
        found = self._peek()
        if found != character:
            raise self._error(f"{what} expected, but {repr(found) if found else 'the file ends'}")
        self._at += 1

    def _peek(self) -> str:
        """The next character that is no white space; empty at the end of the file."""
        while True:
            match = _SPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._read(_CHUNK):
                return ""

    def _value(self) -> Any:
        self._peek()
        size = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                ahead = error.pos - self._at
                if not self._read(size):
                    raise self._error(error.msg, ahead=ahead) from error
            except (ValueError, RecursionError) as error:
                raise self._error(str(error)) from error
            else:
                # A number may go on after the end of what has been read.
                if end < len(self._buffer) or not self._read(size):
                    self._at = end
                    return value
            size *= 2

    def _read(self, size: int) -> bool:
        """Drop what is done and append to the buffer; False if there is nothing left."""
        self._line += self._buffer.count("\n", 0, self._at)
        parts, length = [self._buffer[self._at :]], 0
        self._at = 0
        while length < size and not self._ended:
            chunk = next(self._chunks, "")
            self._ended = not chunk
            parts.append(chunk)
            length += len(chunk)
        self._buffer = "".join(parts)
        return length > 0

    def _error(self, message: str, *, ahead: int = 0) -> DatasetError:
        line = self._line + self._buffer.count("\n", 0, self._at + ahead)
        return DatasetError(f"{self.path}, line {line}: not JSON as expected: {message}")
