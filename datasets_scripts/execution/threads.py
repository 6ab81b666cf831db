"""Work on many videos in threads, for calls from a program that may not be forked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from datasets_scripts.execution.executor import Result, Work


class Threads:
    """Threads of this process. A crash takes the process with it.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, do: Callable[[Work], Result | str], todo: Iterable[Work]) -> Iterator[tuple[Work, Result | str]]:
        """Do all work, and yield each result in order; see :class:`datasets_scripts.execution.executor.Executor`."""
        running: deque[tuple[Work, Future[Result | str]]] = deque()
        pool = ThreadPoolExecutor(self.workers)
        try:
            for each in todo:
                running.append((each, pool.submit(do, each)))
                if len(running) > 2 * self.workers:
                    work, future = running.popleft()
                    yield work, future.result()
            for work, future in running:
                yield work, future.result()
        finally:
            pool.shutdown(cancel_futures=True)
