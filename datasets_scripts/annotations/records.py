"""A record of an annotation file: typed values, or an error that names the place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets_scripts.errors import DatasetError

_INT64 = 2**63


class EmptyValueError(DatasetError):
    """A value is there, but there is nothing in it."""


class Record:
    """One annotation and where it stands.

    Args:
        values: What was read.
        path: From which file.
        where: The line or key, such as ``"line 3"``.
    """

    __slots__ = ("path", "values", "where")

    def __init__(self, values: Mapping[str, Any], path: Path, where: str) -> None:
        self.values, self.path, self.where = values, path, where

    @property
    def place(self) -> str:
        """File and line or key."""
        return f"{self.path}, {self.where}"

    def error(self, message: str) -> DatasetError:
        """An error about this record."""
        return DatasetError(f"{self.place}: {message}")

    def empty(self, message: str) -> EmptyValueError:
        """An error about an empty value of this record."""
        return EmptyValueError(f"{self.place}: {message}")

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def value(self, key: str) -> Any:
        """The value as it was read.

        Raises:
            DatasetError: There is no such key.
        """
        if key not in self.values:
            there = ", ".join(map(repr, list(self.values)[:12])) or "nothing"
            raise self.error(f"{key!r} is missing; there is {there}")
        return self.values[key]

    def text(self, key: str, *, blank: bool = False) -> str:
        """A text without white space at its ends.

        Args:
            key: Which.
            blank: Whether it may be empty.

        Raises:
            DatasetError: It is missing, not a text, empty, or not storable as UTF-8.
        """
        value = self.value(key)
        if value is None:
            raise self.empty(f"{key!r} must be a text, not None")
        if not isinstance(value, str):
            raise self.error(f"{key!r} must be a text, not {shown(value)}")
        return self.clean(value, key, blank=blank)

    def clean(self, value: str, key: str, *, blank: bool = False) -> str:
        """As :meth:`text`, for a value that is already in hand."""
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise self.error(f"{key!r} holds half of a surrogate pair: {value!r}") from error
        value = value.strip()
        if not value and not blank:
            raise self.empty(f"{key!r} is empty")
        return value

    def name(self, key: str) -> str:
        """An identifier: a text or an integer, as text."""
        value = self.value(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(key)

    def integer(self, key: str, *, low: int = -_INT64, high: int = _INT64 - 1) -> int:
        """An integer, or a text that is one, from ``low`` to ``high``."""
        value = self.value(key)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise self.empty(f"{key!r} must be an integer, not {shown(value)}")
        if isinstance(value, str):
            try:
                value = int(value)
            except ValueError:
                raise self.error(f"{key!r} must be an integer, not {shown(value)}") from None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"{key!r} must be an integer, not {shown(value)}")
        if not low <= value <= high:
            raise self.error(f"{key!r} must be from {low} to {high}, not {shown(value)}")
        return value

    def items(self, key: str, *, length: int | None = None) -> list[Any]:
        """A list, of a given length if that is said."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self.error(f"{key!r} must be a list, not {shown(value)}")
        if length is not None and len(value) != length:
            raise self.error(f"{key!r} must have {length} elements, not {len(value)}")
        return value

    def texts(self, key: str, *, length: int | None = None, blank: bool = False) -> list[str]:
        """A list of texts."""
        return [
            Record({f"{key}[{n}]": value}, self.path, self.where).text(f"{key}[{n}]", blank=blank)
            for n, value in enumerate(self.items(key, length=length))
        ]

    def records(self, key: str) -> list[Record]:
        """A list of objects, each as a record."""
        return [as_record(value, self.path, f"{self.where}, {key}[{n}]") for n, value in enumerate(self.items(key))]

    def spans(self, key: str) -> list[list[float]]:
        """A list of pairs of finite numbers, such as starts and ends."""
        spans = []
        for n, pair in enumerate(self.items(key)):
            numbers = isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair))
            if not numbers:
                raise self.error(f"'{key}[{n}]' must be two finite numbers, not {shown(pair)}")
            spans.append([float(pair[0]), float(pair[1])])
        return spans


def is_number(value: Any) -> bool:
    """Whether it is a finite number that fits a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**53


def shown(value: Any) -> str:
    """A value in short, for messages."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def as_record(value: Any, path: Path, where: str) -> Record:
    """A JSON object as a record.

    Raises:
        DatasetError: It is something else.
    """
    if not isinstance(value, dict):
        raise DatasetError(f"{path}, {where}: must be an object, not {shown(value)}")
    return Record(value, path, where)
