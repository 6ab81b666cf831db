"""Types of numeric options for ``argparse``, which say what was expected."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

_LAST_PORT = 65535


def whole(*, least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of a whole number in a range, ends included.

    Example:
        >>> whole(least=1)("3")
        3
        >>> whole(least=1)("0")
        Traceback (most recent call last):
        ...
        argparse.ArgumentTypeError: expected a whole number of at least 1; got 0
    """
    expected = f"of at least {least}" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        value = _number(text, int)
        if not least <= value <= (math.inf if most is None else most):
            raise argparse.ArgumentTypeError(f"expected a whole number {expected}; got {text}")
        return int(value)

    return parse


def port(*, least: int) -> Callable[[str], int]:
    """The type of a TCP port, whose least is 0 where that stands for any free one."""
    return whole(least=least, most=_LAST_PORT)


def above_zero(text: str) -> float:
    """The type of a finite number above 0.

    Example:
        >>> above_zero("0.5")
        0.5
        >>> above_zero("inf")
        Traceback (most recent call last):
        ...
        argparse.ArgumentTypeError: expected a number above 0; got inf
    """
    value = _number(text, float)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0; got {text}")
    return value


def _number(text: str, kind: type[int] | type[float]) -> float:
    """Not a number where it is none, which no range holds."""
    try:
        return kind(text)
    except ValueError:
        return math.nan
