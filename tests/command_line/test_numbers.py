"""Numeric options say what they expect, and let nothing else through."""

from __future__ import annotations

import argparse
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_command_line.numbers import above_zero, port, whole


@given(st.integers(), st.integers(-5, 5), st.integers(0, 10))
def test_whole_numbers_of_a_range(value: int, least: int, width: int) -> None:
    for parse, most in ((whole(least=least), math.inf), (whole(least=least, most=least + width), least + width)):
        if least <= value <= most:
            assert parse(str(value)) == value
        else:
            with pytest.raises(argparse.ArgumentTypeError, match=f"expected a whole number .*; got {value}"):
                parse(str(value))


@given(st.floats())
def test_finite_numbers_above_zero(value: float) -> None:
    if 0 < value < math.inf:
        assert above_zero(repr(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="expected a number above 0; got "):
            above_zero(repr(value))


@pytest.mark.parametrize("text", ["", "few", "1.5", "1e3", "0x10", "nan"])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"expected a whole number of at least 0; got {text}$"):
        whole(least=0)(text)


def test_ports() -> None:
    assert (port(least=0)("0"), port(least=1)("65535")) == (0, 65535)
    for text in ("0", "65536", "-5", "http"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"expected a whole number from 1 to 65535; got {text}"):
            port(least=1)(text)
