"""Preparing the next item while this one is being worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(prepare: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield ``prepare(item)`` of each item, in order, with the next one prepared by a thread in the meantime.

    At most two results exist at once. An error of ``prepare`` is raised when it is that item's turn.

    Args:
        prepare: Of one item; it is never called twice at the same time.
        items: Any number.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="clipbert-read-ahead") as thread:
        ahead: Future[Result] | None = None
        try:
            for item in items:
                following = thread.submit(prepare, item)
                if ahead is not None:
                    yield ahead.result()
                ahead = following
            if ahead is not None:
                yield ahead.result()
        finally:
            thread.shutdown(wait=True, cancel_futures=True)
