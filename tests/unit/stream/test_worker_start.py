"""A worker that starts while ClickHouse does not answer: whom it leaves the partitions to, and where it begins meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from faust.types import TP

from tests.support.virtual_time import run_virtually
from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.stream.group_readers import reads
from tokentide.stream.record_batch import Source
from tokentide.stream.resume import LedgerEntry, Start
from tokentide.stream.transport.micro_batch import LogBounds
from tokentide.stream.worker import Worker

TOPIC = "llm.events"
FOLD = 7
LONG_S = 1e6


class Store:
    """Answers after so many seconds, or raises; of partition 0 it tells at once."""

    def __init__(self, after_s: float, error: Exception | None = None) -> None:
        self.after_s = after_s
        self.error = error
        self.asked: list[int] = []

    async def answers(self) -> None:
        await asyncio.sleep(self.after_s)
        if self.error is not None:
            raise self.error

    async def ledger(self, source: str, partition: int, segments: range) -> list[LedgerEntry]:
        del source, segments
        self.asked.append(partition)
        await asyncio.sleep(self.after_s if partition else 0.0)
        return [LedgerEntry(0, 500, FOLD)]


def worker_of(store: Store, *, readers: list[bool] | None = None) -> Any:
    """A worker of which only the beginning works; made without Kafka, which making one asks."""
    worker: Any = Worker.__new__(Worker)
    worker._store = store
    worker._stop = asyncio.Event()
    worker._settings = SimpleNamespace(worker=SimpleNamespace(session_timeout_seconds=6.0))
    worker._core = SimpleNamespace(rules=SimpleNamespace(fold_id=FOLD))
    worker._sources = {(TOPIC, number): Source("llm.events:id", TOPIC, number) for number in range(4)}
    told = iter(readers or [])

    async def has_readers() -> bool:
        return next(told)

    worker._has_readers = has_readers
    return worker


def timed(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """What it returns, and after how many seconds."""

    async def timing() -> tuple[Any, float]:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        return await work, clock() - began_s

    found: tuple[Any, float] = run_virtually(timing())
    return found


def joins_after_s(worker: Any) -> float:
    return timed(worker._until_it_may_join())[1]


def test_it_joins_as_soon_as_clickhouse_answers() -> None:
    assert joins_after_s(worker_of(Store(12.0))) == pytest.approx(12.0, abs=0.5)


def test_it_joins_without_clickhouse_where_nobody_reads_the_events() -> None:
    assert joins_after_s(worker_of(Store(LONG_S), readers=[False])) == pytest.approx(20, abs=1)


def test_it_leaves_the_partitions_to_those_who_read_and_joins_when_they_are_gone() -> None:
    worker = worker_of(Store(LONG_S), readers=[*[True] * 100, False])
    assert joins_after_s(worker) == pytest.approx(20 + 100 * 5, abs=1)


def test_it_joins_beside_those_who_read_once_clickhouse_answers() -> None:
    assert joins_after_s(worker_of(Store(300.0), readers=[True] * 100)) == pytest.approx(300, abs=1)


def test_who_is_refused_does_not_join() -> None:
    with pytest.raises(DatabaseError):
        joins_after_s(worker_of(Store(1.0, DatabaseError("wrong password"))))


def test_told_to_stop_it_waits_no_longer() -> None:
    async def scenario() -> None:
        worker = worker_of(Store(LONG_S))
        asyncio.get_running_loop().call_later(3.0, worker._stop.set)
        await worker._until_it_may_join()

    assert timed(scenario())[1] == pytest.approx(3.0, abs=0.5)


def test_partitions_of_which_the_ledger_does_not_tell_in_time_begin_without_it() -> None:
    store, begin = Store(12.0), 3 * SEGMENT_OFFSETS
    bounds = {
        TP(TOPIC, 0): LogBounds(400, 0),
        TP(TOPIC, 1): LogBounds(begin + 9, 0),
        TP(TOPIC, 2): LogBounds(None, 50),
    }
    starts, took_s = timed(worker_of(store)._planned_soon(bounds))
    assert took_s == pytest.approx(2.0, abs=0.5), "a third of the session: the group hears nothing meanwhile"
    assert starts == {
        (TOPIC, 0): Start(0, 400, 400),
        (TOPIC, 1): Start(begin, begin + 9, begin + 9, is_provisional=True),
        (TOPIC, 2): Start(50, 50, 50, is_provisional=True),
    }
    assert store.asked == [0, 1], "no time is left for the third"


def test_with_a_ledger_that_answers_nothing_is_provisional() -> None:
    bounds = {TP(TOPIC, number): LogBounds(400, 0) for number in range(4)}
    starts, _ = timed(worker_of(Store(0.01))._planned_soon(bounds))
    assert set(starts.values()) == {Start(0, 400, 400)}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([], False),
        ([{"member_metadata": {"topics": ["llm.windows"]}}], False),
        ([{"member_metadata": {"topics": ["llm.windows"]}}, {"member_metadata": {"topics": [TOPIC]}}], True),
        ([{"member_metadata": None}, {"member_metadata": b"unreadable"}, {}], False),
    ],
)
def test_who_reads_the_events_has_subscribed_them(members: list[Any], *, expected: bool) -> None:
    assert reads({"members": members}, TOPIC) is expected
    assert reads({}, TOPIC) is False
