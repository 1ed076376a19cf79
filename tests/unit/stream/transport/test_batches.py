"""Which fetch is taken next, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.structs import TopicPartition
from faust.types import TP

from tests.support.fetches import Fetcher, FetchFailed, fetch, record_batch
from tests.support.waiting import HANGING_S
from tokentide.stream.transport import batches as module
from tokentide.stream.transport.batches import FAR, PAUSE_S, SMALL_BYTES, Batches
from tokentide.stream.transport.fetched import Sift

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)
LARGE = b"x" * SMALL_BYTES


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """A fetcher, and `Batches` whose time the test tells."""

    def __init__(self) -> None:
        self.fetcher = Fetcher()
        self.clock = Clock()
        self.batches = Batches(self.clock)

    def arrive(self, tp: TopicPartition, offset: int = 0, value: bytes = b"{}") -> None:
        self.fetcher.arrive(tp, fetch(tp, [record_batch(offset, [value])], at=offset))

    async def next(self, *partitions: TopicPartition, patience_s: float = 0.0) -> list[tuple[int, int]]:
        """Partition and first offset of what is taken."""
        found = await self.batches.next(self.fetcher, {TP(*tp) for tp in partitions}, patience_s)
        return [(tp.partition, batch.batch.begin) for tp, all_ in found.items() for batch in all_]


def run(scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scenario(World()), HANGING_S)

    asyncio.run(limited())


def test_one_partition_is_taken_at_a_time_and_fetched_on() -> None:
    async def scenario(world: World) -> None:
        world.arrive(FIRST)
        world.arrive(SECOND)
        assert await world.next() == [(0, 0)]
        assert world.fetcher.notified == 1
        assert await world.next() == [(1, 0)]
        assert await world.next() == []

    run(scenario)


def test_a_small_fetch_right_after_another_waits_for_more() -> None:
    async def scenario(world: World) -> None:
        world.arrive(FIRST)
        await world.next()
        world.arrive(FIRST, 1)
        assert await world.next() == []
        world.clock.now_s += PAUSE_S
        assert await world.next() == [(0, 1)]

    run(scenario)


def test_a_large_one_does_not_wait_nor_does_another_partition() -> None:
    async def scenario(world: World) -> None:
        world.arrive(FIRST)
        await world.next()
        world.arrive(FIRST, 1, LARGE)
        world.arrive(SECOND)
        assert {*await world.next(), *await world.next()} == {(0, 1), (1, 0)}

    run(scenario)


def test_it_returns_when_something_comes() -> None:
    async def scenario(world: World) -> None:
        asking = asyncio.create_task(world.next(patience_s=60))
        await asyncio.sleep(0)
        assert not asking.done()
        world.arrive(SECOND, 5)
        assert await asking == [(1, 5)]

    run(scenario)


def test_it_returns_when_a_small_one_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def wait(
        waiters: Any,
        *,
        timeout: float,  # noqa: ASYNC109 - as in asyncio
    ) -> tuple[set[asyncio.Future[None]], set[asyncio.Future[None]]]:
        waits.append(timeout)
        world_now.now_s += timeout
        return set(), set(waiters)

    world_now = Clock()

    async def scenario(world: World) -> None:
        world.batches = Batches(world_now)
        world.arrive(FIRST)
        await world.next()
        world.arrive(FIRST, 1)
        monkeypatch.setattr(module.asyncio, "wait", wait)
        assert await world.next(patience_s=60) == [(0, 1)]
        assert waits == pytest.approx([PAUSE_S])

    run(scenario)


def test_partitions_that_are_not_wanted_now_keep_their_fetch_and_make_nobody_spin() -> None:
    async def scenario(world: World) -> None:
        world.arrive(SECOND)
        await world.next()
        world.arrive(SECOND, 1)
        world.clock.now_s += 1
        asking = asyncio.create_task(world.next(FIRST, patience_s=60))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(world.fetcher._waiters) == 1
        asking.cancel()
        assert await world.next(SECOND) == [(1, 1)]

    run(scenario)


def test_what_was_fetched_of_a_partition_that_was_taken_away_is_dropped() -> None:
    async def scenario(world: World) -> None:
        world.arrive(SECOND)
        world.fetcher._subscriptions.is_assigned = lambda _: False
        assert await world.next(FIRST) == []
        assert world.fetcher._records == {}

    run(scenario)


def test_an_error_of_a_fetch_is_raised() -> None:
    async def scenario(world: World) -> None:
        world.fetcher.arrive(FIRST, FetchFailed(TopicAuthorizationFailedError("t")))
        with pytest.raises(TopicAuthorizationFailedError):
            await world.next()

    run(scenario)


def sift(*offsets: int, until: int) -> Sift:
    return Sift(np.array(offsets, np.int64), until)


def test_what_is_far_from_wanted_is_not_fetched() -> None:
    """The batch says that it goes up to there: whoever takes it finds that nothing is missing."""

    async def scenario(world: World) -> None:
        far = 1 + FAR + 1
        for of_first, expected in (
            (sift(far, until=100), far),
            (sift(far - 1, until=100), 1),  # near enough to be fetched on the way
            (sift(until=100), 100),
            (sift(until=1), 1),
        ):
            world.clock.now_s += PAUSE_S
            world.fetcher.sought.clear()
            world.batches.sifts = {TP("t", 0): of_first}
            world.arrive(FIRST)
            found = await world.batches.next(world.fetcher, set(), 0.0)
            ((taken,),) = found.values()
            assert (taken.batch.begin, taken.batch.end) == (0, expected)
            assert world.fetcher.sought == ([(FIRST, expected)] if expected > 1 else [])

    run(scenario)


def test_nothing_is_left_out_of_other_partitions() -> None:
    async def scenario(world: World) -> None:
        world.batches.sifts = {TP("t", 0): sift(until=100)}
        world.arrive(SECOND)
        (fetched,) = (await world.batches.next(world.fetcher, set(), 0.0)).values()
        assert (fetched[0].batch.end, list(fetched[0].batch.values)) == (1, [b"{}"])
        assert not world.fetcher.sought

    run(scenario)
