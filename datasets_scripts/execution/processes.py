"""Work on many videos in several processes, of which each may be killed by its video."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from datasets_scripts.execution.executor import ATTEMPTS, LOST, Result, Work
from datasets_scripts.execution.orphans import end_with_parent


class Processes:
    """A pool of processes of this machine.

    Args:
        workers: How many at most; one works within this process, and then nothing is tried again.
        preload: Modules that keep threads, such as those of frameworks. They must not be forked once they have been
            used: workers then come from a process that has only imported them.
    """

    def __init__(self, workers: int, preload: Sequence[str] = ()) -> None:
        self.workers, self.preload = workers, list(preload)

    def run(self, do: Callable[[Work], Result | str], todo: Iterable[Work]) -> Iterator[tuple[Work, Result | str]]:
        """Do all work, and yield each result as it comes; see :class:`datasets_scripts.execution.executor.Executor`."""
        waiting = iter(todo)
        first = list(islice(waiting, self.workers))
        workers, waiting = len(first), chain(first, waiting)
        if workers <= 1:
            for each in waiting:
                yield each, do(each)
            return
        suspects: list[Work] = []
        while True:
            # What was under way when a process died is tried again alone, so that only the cause is given up.
            for each in suspects:
                yield each, self._alone(do, each)
            suspects = []
            with self._pool(workers) as pool:
                yield from _until_broken(pool, do, waiting, 2 * workers, suspects)
            if not suspects:
                return

    def _alone(self, do: Callable[[Work], Result | str], each: Work) -> Result | str:
        for _ in range(ATTEMPTS - 1):
            with self._pool(1) as pool:
                try:
                    return pool.submit(do, each).result()
                except BrokenProcessPool:
                    continue
        return LOST

    @contextmanager
    def _pool(self, workers: int) -> Iterator[ProcessPoolExecutor]:
        """A pool that ends at once if its work is not finished: after Ctrl-C, an error, or if nobody takes results."""
        context = _context(self.preload)
        watched, stop = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(watched,))
        try:
            yield pool
        except BaseException:
            stop.send_bytes(b"stop")
            pool.shutdown(cancel_futures=True)
            raise
        else:
            pool.shutdown()
        finally:
            watched.close()
            stop.close()


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


def _context(preload: Sequence[str]) -> BaseContext:
    """How processes start. A fork starts at once; what is spawned would import the caller's main module again."""
    if not sys.platform.startswith("linux"):
        return multiprocessing.get_context()
    if not preload:  # the workers use no framework, so no thread pool of the parent is touched
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload])  # of no effect on one that has started
    return context


def _begin(watched: Connection) -> None:
    """Make a worker end when it is told to, or when its parent is killed; by itself it would wait for work forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent answers it
    end_with_parent(watched)
