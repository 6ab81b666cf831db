"""Dynamic batching: what waits at the same time is worked on together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BusyError(Exception):
    """No more can wait; to be tried again later."""


class Batcher(Generic[Item, Result]):
    """Collects items and hands them to one thread, some at a time.

    An item is worked on as soon as the thread is free and either enough items wait or the oldest has waited long
    enough. While the thread works, more arrive: under load batches fill without anybody waiting for that. An item whose
    waiter was cancelled leaves the queue. Where a batch fails, its items are tried one by one, so that an item's error
    is its own.

    Waiting items are kept in a deque and not in ``asyncio.Queue``, which an item that was given up could not leave.

    Args:
        work: Called in the thread with some items; returns a result for each, in their order.
        batch_size: The most items of a call.
        max_wait: How long an item waits for others while the thread is free, in seconds.
        max_queue: The most items that wait; those that the thread works on do not count.

    Example:
        >>> async def lengths():
        ...     batcher = Batcher(lambda texts: [len(text) for text in texts], batch_size=4, max_wait=0.01, max_queue=8)
        ...     batcher.start()
        ...     found = await asyncio.gather(*map(batcher.submit, ("a", "bcd")))
        ...     await batcher.close()
        ...     return found
        >>> asyncio.run(lengths())
        [1, 3]
    """

    def __init__(
        self, work: Callable[[list[Item]], Sequence[Result]], *, batch_size: int, max_wait: float, max_queue: int
    ) -> None:
        self.batch_size, self.max_wait, self.max_queue = batch_size, max_wait, max_queue
        self.batches = 0  # so far, the repeated ones of a failure included
        self._work = work
        self._jobs: deque[_Job[Item, Result]] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batcher")
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many items wait for the thread."""
        return len(self._jobs)

    def start(self) -> None:
        """Begin to work, on the running loop."""
        self._running = asyncio.create_task(self._run())

    async def submit(self, item: Item) -> Result:
        """Wait for the result of an item.

        Raises:
            BusyError: If too many wait already, or the batcher is closed.
            Exception: What ``work`` raises for this item.
        """
        if self._is_closed:
            raise BusyError("the server is shutting down")
        if len(self._jobs) >= self.max_queue:
            raise BusyError(f"{self.max_queue} requests wait already")
        job: _Job[Item, Result] = _Job(item)
        self._jobs.append(job)
        self._arrived.set()
        try:
            return await job.result
        finally:
            if job in self._jobs:  # given up before its turn
                self._jobs.remove(job)

    async def close(self) -> None:
        """Finish what was submitted; nothing more is taken."""
        self._is_closed = True
        self._arrived.set()
        if self._running is not None:
            await self._running
        self._thread.shutdown()

    async def _run(self) -> None:
        while await self._some():
            await self._fill()
            jobs = [self._jobs.popleft() for _ in range(min(self.batch_size, len(self._jobs)))]
            if jobs:  # all may have been given up
                await self._answer(jobs)

    async def _some(self) -> bool:
        """Wait for an item; False: there will be none."""
        while not self._jobs and not self._is_closed:
            self._arrived.clear()
            await self._arrived.wait()
        return bool(self._jobs)

    async def _fill(self) -> None:
        """Wait for others, until the first has waited long enough."""
        now = asyncio.get_running_loop().time
        end = self._jobs[0].arrived + self.max_wait
        while len(self._jobs) < self.batch_size and not self._is_closed and now() < end:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), end - now())
            except asyncio.TimeoutError:
                return

    async def _answer(self, jobs: list[_Job[Item, Result]]) -> None:
        loop = asyncio.get_running_loop()
        self.batches += 1
        try:
            results = await loop.run_in_executor(self._thread, self._work, [job.item for job in jobs])
            if len(results) != len(jobs):
                raise RuntimeError(f"expected {len(jobs)} results of a batch, got {len(results)}")
        except Exception as error:
            if len(jobs) > 1:
                for job in jobs:
                    await self._answer([job])
            elif not jobs[0].result.done():
                jobs[0].result.set_exception(error)
            return
        for job, result in zip(jobs, results, strict=True):
            if not job.result.done():  # cancelled meanwhile
                job.result.set_result(result)


class _Job(Generic[Item, Result]):
    """An item and the future of its result."""

    def __init__(self, item: Item) -> None:
        loop = asyncio.get_running_loop()
        self.item, self.arrived = item, loop.time()
        self.result: asyncio.Future[Result] = loop.create_future()
