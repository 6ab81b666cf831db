"""Preparing the next item while this one is being worked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

_END: Any = object()


class ReadAhead(Generic[Item]):
    """Items in order, the next one always being made by a thread in the meantime.

    At most two items exist at once. An error of making one is raised when it is that item's turn. Who leaves early
    waits until the item that is being made is done.

    Args:
        items: Made one at a time, as they are asked for, such as ``map(decode, videos)`` or a loader.

    Example:
        >>> list(ReadAhead(map(str.upper, "abc")))
        ['A', 'B', 'C']
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        """How many items there are, where they can be counted."""
        return len(self.items)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Item]:
        items = iter(self.items)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="clipbert-read-ahead") as thread:
            ahead = thread.submit(next, items, _END)
            while (item := ahead.result()) is not _END:
                ahead = thread.submit(next, items, _END)
                yield item
