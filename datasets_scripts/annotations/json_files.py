"""JSON with errors that name file and line, and long lists read element by element.

Long lists are read by ijson. What it does not read as Python's own json module does, and whatever is wrong with a
file, is left to that module, which also knows the line; only then is a file in memory as a whole.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

try:
    import ijson
except ModuleNotFoundError as error:
    raise ImportError(
        'reading annotation files needs ijson, which comes with pip install "clipbert_hf[train]"'
    ) from error

from datasets_scripts.annotations.records import shown
from datasets_scripts.annotations.text_files import check_start, has_mark, read_text, unreadable
from datasets_scripts.errors import DatasetError

_BUFFER = 1 << 16
# What the json module refuses without saying where: constants, and integers that Python does not convert.
_REFUSED_OR_STRING = re.compile(r'-?(?:NaN|Infinity)|\d{4301,}|"(?:[^"\\]|\\.)*"')
# An escape for half of a character beyond 16 bits without the other half, which ijson turns into a question mark.
_HALF_PAIR = re.compile(rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|[c-fC-F](?<!\\u[dD][89abAB]..\\u[dD].))")


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
# Finds what is wrong with a long file without keeping its objects.
_FORGETFUL_DECODER = json.JSONDecoder(parse_constant=_refuse, object_hook=lambda _: None)


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
    return _decode(_UNIQUE_DECODER if unique else _DECODER, text, path, line)


def _decode(decoder: json.JSONDecoder, text: str, path: Path, line: int = 1) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        number = line + error.lineno - 1
        raise DatasetError(f"{path}, line {number}, column {error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        refused = (match.start() for match in _REFUSED_OR_STRING.finditer(text) if match[0][0] != '"')
        number = line + text.count("\n", 0, next(refused, 0))
        raise DatasetError(f"{path}, line {number}: not JSON: {error}") from error


def list_elements(path: Path, key: str | None = None) -> Iterator[Any]:
    """The elements of the list that is the whole file, or that stands under a key of the object at its top.

    Raises:
        DatasetError: The file cannot be read, or is not JSON of that form.
    """
    count = 0
    try:
        with path.open("rb") as file:
            check_start(path, start := file.peek(4)[:4])
            if not has_mark(start) and _is_plain(file.fileno(), key):
                prefix = "item" if key is None else f"{key}.item"
                for value in ijson.items(file, prefix, buf_size=_BUFFER, use_float=True):
                    yield value
                    count += 1
                if count:
                    return
    except OSError as error:
        raise unreadable(path, error) from error
    except (ijson.JSONError, UnicodeDecodeError):
        pass  # the json module tells what is wrong and where, or reads it, such as an integer of more than 64 bits
    yield from islice(_decoded_list(path, key), count, None)


def _is_plain(file: int, key: str | None) -> bool:
    """Whether ijson will read the list as the json module would.

    It tells neither an object from a list nor a key from the same key again, so the one list must be plain to see; and
    it puts a question mark in the place of half a character.
    """
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as content:
        if _HALF_PAIR.search(content):
            return False
        if key is None:
            return re.match(rb"\s*\[", content) is not None
        places = re.findall(rb"%b\s*:\s*(\[?)" % re.escape(json.dumps(key).encode()), content)
        return places == [b"["]


def _decoded_list(path: Path, key: str | None) -> list[Any]:
    """The list out of the whole text of the file."""
    text = read_text(path)
    _decode(_FORGETFUL_DECODER, text, path)
    members: list[tuple[str, Any]] = []

    def remember(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal members
        members = pairs  # the object at the top comes last
        return dict(pairs)

    value = json.JSONDecoder(object_pairs_hook=remember).decode(text)
    if key is not None:
        value = _member(value, members, key, text, path)
    if not isinstance(value, list):
        where = "" if key is None else f" under {key!r}"
        raise DatasetError(f"{path}, line 1: a list{where} expected, but {_begin(value)}")
    return value


def _member(top: Any, members: list[tuple[str, Any]], key: str, text: str, path: Path) -> Any:
    if not isinstance(top, dict):
        raise DatasetError(f"{path}, line 1: an object expected, but {_begin(top)}")
    found = [value for name, value in members if name == key]
    if not found:
        raise DatasetError(f"{path}, line 1: there is no key {key!r}")
    if len(found) > 1:
        again = text.find(json.dumps(key), text.find(json.dumps(key)) + 1)
        line = 1 + text.count("\n", 0, max(again, 0))
        raise DatasetError(f"{path}, line {line}: key {key!r} stands there twice")
    return found[0]


def _begin(value: Any) -> str:
    return "'{'" if isinstance(value, dict) else "'['" if isinstance(value, list) else shown(json.dumps(value))
