from __future__ import annotations

import asyncio
import threading

import pytest

from examples.serving.batcher import Batcher, BusyError


class Work:
    """Doubles numbers, once it may, and notes what came together."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, items: list[int]) -> list[int]:
        self.calls.append(items)
        assert self.may_go_on.wait(20)
        if -1 in items:
            raise ValueError(f"-1 among {items}")
        return [2 * item for item in items]


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def run(scenario, **options):
    """A scenario with a batcher of three at a time and six that wait, and its work."""

    async def whole():
        work = Work()
        batcher = Batcher(work, **{"batch_size": 3, "max_wait": 0.001, "max_queue": 6, **options})
        batcher.start()
        try:
            return await asyncio.wait_for(scenario(batcher, work), 30)
        finally:
            work.may_go_on.set()
            await batcher.close()

    return asyncio.run(whole())


def submit(batcher, *items):
    return [asyncio.ensure_future(batcher.submit(item)) for item in items]


def test_what_arrives_during_work_is_worked_on_together():
    async def scenario(batcher, work):
        work.may_go_on.clear()
        first = submit(batcher, 0)
        await until(lambda: work.calls == [[0]])
        others = submit(batcher, 1, 2, 3, 4)
        await until(lambda: batcher.waiting == 4)
        work.may_go_on.set()
        assert await asyncio.gather(*first, *others) == [0, 2, 4, 6, 8]
        assert work.calls == [[0], [1, 2, 3], [4]]
        assert (batcher.batches, batcher.waiting) == (3, 0)

    run(scenario)


def test_a_full_batch_does_not_wait():
    async def scenario(batcher, work):
        assert await asyncio.gather(*submit(batcher, 1, 2, 3)) == [2, 4, 6]
        assert work.calls == [[1, 2, 3]]

    run(scenario, max_wait=3600)


def test_a_lone_item_waits_no_longer_than_stated():
    async def scenario(batcher, work):
        assert await batcher.submit(1) == 2
        assert await batcher.submit(2) == 4
        assert work.calls == [[1], [2]]

    run(scenario)


def test_too_many_are_refused_and_later_ones_are_not():
    async def scenario(batcher, work):
        work.may_go_on.clear()
        working = submit(batcher, 0)
        await until(lambda: work.calls == [[0]])
        waiting = submit(batcher, *range(1, 7))
        await until(lambda: batcher.waiting == 6)
        with pytest.raises(BusyError, match="6 requests wait already"):
            await batcher.submit(7)
        work.may_go_on.set()
        assert await asyncio.gather(*working, *waiting) == [2 * item for item in range(7)]
        assert await batcher.submit(7) == 14

    run(scenario)


def test_an_error_is_that_of_its_item_alone():
    async def scenario(batcher, work):
        results = await asyncio.gather(*submit(batcher, 1, -1, 3), return_exceptions=True)
        assert results[::2] == [2, 6]
        assert isinstance(results[1], ValueError)
        assert str(results[1]) == "-1 among [-1]"
        assert work.calls == [[1, -1, 3], [1], [-1], [3]]
        assert await batcher.submit(4) == 8

    run(scenario, max_wait=0.05)


def test_what_was_given_up_is_not_worked_on():
    async def scenario(batcher, work):
        work.may_go_on.clear()
        working = submit(batcher, 0)
        await until(lambda: work.calls == [[0]])
        gone, stays = submit(batcher, 1, 2)
        await until(lambda: batcher.waiting == 2)
        gone.cancel()
        working[0].cancel()  # too late to save its work, whose result nobody gets
        await until(lambda: batcher.waiting == 1)
        work.may_go_on.set()
        assert await stays == 4
        assert work.calls == [[0], [2]]
        assert gone.cancelled()
        assert working[0].cancelled()

    run(scenario)


def test_all_that_waited_for_others_may_go():
    async def scenario(batcher, work):
        (gone,) = submit(batcher, 1)
        await until(lambda: batcher.waiting == 1)
        gone.cancel()
        await until(lambda: batcher.waiting == 0)
        await asyncio.sleep(0.02)  # the wait of the item that is gone is over
        assert await batcher.submit(2) == 4
        assert work.calls == [[2]]

    run(scenario, max_wait=0.01)


def test_closing_finishes_what_was_submitted():
    async def scenario(batcher, work):
        work.may_go_on.clear()
        submitted = submit(batcher, *range(5))
        await until(lambda: len(work.calls) == 1)
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="shutting down"):
            await batcher.submit(9)
        work.may_go_on.set()
        assert await asyncio.gather(*submitted) == [0, 2, 4, 6, 8]
        await closing

    run(scenario)


def test_a_result_too_few_is_an_error_for_each():
    async def scenario(batcher, work):
        batcher._work = lambda items: []
        results = await asyncio.gather(*submit(batcher, 1, 2), return_exceptions=True)
        assert [str(each) for each in results] == ["expected 1 results of a batch, got 0"] * 2

    run(scenario)
