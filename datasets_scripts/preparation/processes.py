"""Work on many videos in several processes, of which each may be killed by its video."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")

DIED = "the process that read it died (a crash of a decoder, or no memory)"


def run_all(
    do: Callable[[Work], Result | str], todo: Iterable[Work], *, workers: int
) -> Iterator[tuple[Work, Result | str]]:
    """Do all work, and yield each result as it comes.

    Args:
        do: A function that other processes can import.
        todo: What to do it to.
        workers: How many processes; one works within this one.

    Yields:
        The work and its result; where a process died of it, a text that says so.
    """
    if workers == 1:
        for each in todo:
            yield each, do(each)
        return
    waiting = iter(todo)
    suspects: list[Work] = []
    while True:
        # What was under way when a process died is tried again alone, so that only the cause is given up.
        for each in suspects:
            with _pool(1) as pool:
                try:
                    yield each, pool.submit(do, each).result()
                except BrokenProcessPool:
                    yield each, DIED
        suspects = []
        with _pool(workers) as pool:
            yield from _until_broken(pool, do, waiting, 2 * workers, suspects)
        if not suspects:
            return


def _until_broken(
    pool: ProcessPoolExecutor,
    do: Callable[[Work], Result | str],
    waiting: Iterator[Work],
    most: int,
    suspects: list[Work],
) -> Iterator[tuple[Work, Result | str]]:
    running: dict[Future[Result | str], Work] = {}
    is_open = True
    while running or is_open:
        while is_open and len(running) < most:
            each = next(waiting, None)
            if each is None:
                is_open = False
                break
            try:
                running[pool.submit(do, each)] = each
            except BrokenProcessPool:
                suspects.append(each)
                is_open = False
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            each = running.pop(future)
            try:
                yield each, future.result()
            except BrokenProcessPool:
                suspects.append(each)
                is_open = False


def _pool(workers: int) -> ProcessPoolExecutor:
    # On Linux a fork starts at once; a spawned process would import the caller's main module again. The workers use
    # only NumPy, Pillow and PyAV, so no thread pool of the parent is touched.
    method = "fork" if sys.platform == "linux" else None
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Make a worker end when its parent is killed; by itself it would wait for work forever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
