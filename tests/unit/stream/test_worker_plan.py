"""Where a worker begins a partition: it asks the ledger for every segment that the plan needs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.stream.record_batch import Source
from tokentide.stream.resume import LedgerEntry, Start
from tokentide.stream.transport.micro_batch import LogBounds
from tokentide.stream.worker import Worker

FOLD = 7
EVENTS = TP("llm.events", 2)


class Ledger:
    """The rows of one partition, by segment."""

    def __init__(self, rows: dict[int, LedgerEntry]) -> None:
        self._rows = rows

    async def ledger(self, source: str, partition: int, segments: range) -> list[LedgerEntry]:
        assert (source, partition) == ("llm.events:id", 2)
        return [self._rows[segment] for segment in segments if segment in self._rows]


def planned(rows: dict[int, LedgerEntry], *, committed: int | None, earliest: int) -> Start:
    worker: Any = Worker.__new__(Worker)  # without Kafka, which making one asks
    worker._sources = {tuple(EVENTS): Source("llm.events:id", "llm.events", 2)}
    worker._store = Ledger(rows)
    worker._core = SimpleNamespace(rules=SimpleNamespace(fold_id=FOLD))
    start: Start = asyncio.run(worker._plan(EVENTS, LogBounds(committed, earliest)))
    return start


def test_it_goes_on_where_the_segment_of_the_commit_begins() -> None:
    rows = {0: LedgerEntry(0, 500, FOLD)}
    assert planned(rows, committed=400, earliest=0) == Start(0, 400, 400)


def test_what_was_stored_behind_a_loss_before_a_crash_is_no_loss_again() -> None:
    begin = SEGMENT_OFFSETS + 100
    rows = {0: LedgerEntry(0, 500, FOLD), 1: LedgerEntry(begin, begin + 900, FOLD, lost=begin - 500)}
    # Retention has gone on since: the log begins 1,500 offsets later, of which 900 are stored.
    start = planned(rows, committed=500, earliest=begin + 1_500)
    assert start.read_from == begin + 1_500
    assert start.lost == 600


def test_what_is_missing_since_a_commit_that_has_expired_is_a_loss() -> None:
    rows = {
        0: LedgerEntry(0, SEGMENT_OFFSETS, FOLD),
        1: LedgerEntry(SEGMENT_OFFSETS, SEGMENT_OFFSETS + 900, FOLD),
    }
    begin = 5 * SEGMENT_OFFSETS
    start = planned(rows, committed=None, earliest=begin)
    assert start == Start(begin, begin, begin, lost=4 * SEGMENT_OFFSETS - 900)
