"""The next item is made while this one is being worked on, one at a time and in order."""

from __future__ import annotations

import threading

import pytest

from clipbert_hf.video.reading_ahead import ReadAhead


def test_the_next_item_is_made_meanwhile():
    """While one is being worked on, the next is prepared by one thread; errors come in their turn."""
    prepared = {number: threading.Event() for number in range(4)}

    def prepare(number):
        prepared[number].set()
        if number == 2:
            raise ValueError("two")
        return number, threading.get_ident()

    results = iter(ReadAhead(map(prepare, range(4))))
    assert next(results)[0] == 0
    assert prepared[1].wait(10)  # nobody has asked for it
    assert next(results)[1] != threading.get_ident()
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert list(ReadAhead(map(prepare, []))) == []
    assert not prepared[3].is_set()


def test_no_more_than_one_item_ahead():
    made = []
    with_one_ahead = iter(ReadAhead(map(made.append, range(9))))
    next(with_one_ahead)
    with_one_ahead.close()  # waits for the one that is being made
    assert made == [0, 1]


def test_it_is_as_long_as_its_items_and_can_be_gone_through_again():
    items = ReadAhead([1, 2])
    assert len(items) == 2
    assert list(items) == list(items) == [1, 2]
    with pytest.raises(TypeError):
        len(ReadAhead(map(str, [])))
