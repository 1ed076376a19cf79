"""Segments of several spans in ClickHouse, and databases whose open segments an older version has begun.

The real fold, the plan of a start and the store, over the engine; rows of the older version are written as it wrote them:
one span a segment, a fold of its own, and without the column that it did not know.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import clickhouse_connect
import numpy as np
import pytest

from tests.support.clickhouse_rows import SOURCE, event, ledger_table, partial_table
from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.schemas.arrow import LEDGER_ROWS
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.sql.audit import run_audit
from tokentide.sql.catalogue import Catalogue, catalogue
from tokentide.sql.migrate import migrate
from tokentide.stream.decode.clock import ClockLimits
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.durable import make_durable
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.fold.extent import SpanLimits
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.letters import LetterPolicy
from tokentide.stream.partition import PartitionFold, PartitionRules
from tokentide.stream.pricing.book import GenaiBook
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.resume import LedgerEntry, Start, plan_start, segments_to_ask
from tokentide.stream.store import ClickHouseStore
from tokentide.stream.tokens import TokenMemory

MIGRATION = "0009_spans"
PER_RECORD = 5
SENT_MS = 1_769_860_860_000
BY_ITEMS = SpanLimits(100, 0, 0, item_ns=1, other_ns=0, refused_ns=1)
"""A span ends with a hundred events: twenty records."""
WHOLE_SEGMENTS = SpanLimits(1 << 62)
OLDER, NEWER = 1, 2


class NoLetters:
    async def send_letters(self, letters: Sequence[Any]) -> None:
        assert not letters


class Reader:
    """A worker of a version, on one partition of a log of packed records."""

    def __init__(self, database: Any, *, fold: int, limits: SpanLimits, knows_spans: bool = True) -> None:
        def connect() -> Any:
            return clickhouse_connect.get_client(dsn=f"chdb://{database.client.path}", database=database.name)

        self._database = database
        self._store = ClickHouseStore(ClickHouseSink(connect), connect, lambda _: None)
        settings = FoldSettings(("service", "model"), 100)
        self._rules = PartitionRules(settings, fold, ClockLimits(), LetterPolicy(), spans=limits)
        self._knows_spans = knows_spans
        self.fold: PartitionFold

    def start(self, committed: int | None, *, earliest: int = 0) -> Start:
        asked = segments_to_ask(committed, earliest)
        entries = asyncio.run(self._store.ledger(SOURCE, 0, asked)) if self._knows_spans else []
        start = plan_start(committed, earliest, entries, self._rules.fold_id)
        enricher = Enricher([GenaiBook()], ContentRules(), TokenMemory())
        source = Source(SOURCE, "llm.events", 0)
        self.fold = PartitionFold(source, start, self._rules, Decoder(), enricher)
        return start

    def read(self, end: int, batch: int = 7) -> Reader:
        while self.fold.position < end:
            begin = self.fold.position
            self.fold.ingest(records(begin, min(begin + batch, end)))
        return self

    async def insert(self, table: str, rows: Any) -> None:
        if table not in self.skipped:
            if not self._knows_spans and table == "llm_ledger":
                rows = rows.drop_columns(["limited_from"])
            await self._store.insert(table, rows)

    def checkpoint(self, *, skipped: Sequence[str] = ()) -> int:
        """Make all durable but what is left out, as if the worker died before it. Returns what it would commit."""
        self.skipped = skipped
        checkpoint = self.fold.checkpoint()
        assert checkpoint is not None
        asyncio.run(make_durable([checkpoint], self, NoLetters()))  # type: ignore[arg-type]
        self.fold.committed(checkpoint.position)
        return checkpoint.position


def records(begin: int, end: int) -> RecordBatch:
    offsets = np.arange(begin, end)
    return RecordBatch(
        begin,
        end,
        offsets,
        np.full(len(offsets), SENT_MS),
        [None] * len(offsets),
        [record(offset) for offset in offsets.tolist()],
    )


def record(offset: int) -> bytes:
    minute = offset // 30 % 60
    return json.dumps(
        [
            {
                "event_id": f"{offset}-{item}",
                "timestamp": f"2026-01-31T11:{minute:02d}:30Z",
                "service": "ab"[item % 2],
                "provider": "openai",
                "request_model": "gpt-4o-mini",
                "input_tokens": offset + item,
                "output_tokens": 1,
                "duration_ms": 5.0,
                "status": "ok",
            }
            for item in range(PER_RECORD)
        ]
    ).encode()


def newer(database: Any) -> Reader:
    return Reader(database, fold=NEWER, limits=BY_ITEMS)


def spans(database: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = database.ask(
        "SELECT first_offset, version, fold, events, limited_from FROM {database}.ledger ORDER BY first_offset"
    )
    return found


def assert_exact(database: Any, end: int) -> None:
    """All that lies before an offset counts once: in events, in windows, in the ledger; and the spans cover it."""
    report = run_audit(database.client, database.name)
    assert [(result.check.name, result.rows) for result in report.differences] == []
    assert report.agrees
    calls, tokens = end * PER_RECORD, sum(PER_RECORD * offset + 10 for offset in range(end))
    assert (report.totals.events, report.totals.event_rows, report.totals.window_calls) == (calls,) * 3
    assert database.ask("SELECT sum(input_tokens) FROM {database}.windows") == [(tokens,)]
    assert [row[0] for row in spans(database)] == [0, *(row[1] for row in spans(database))][:-1]


def test_a_segment_of_several_spans_adds_up_and_only_the_last_is_read_again(database):
    reader = newer(database)
    reader.start(None)
    committed = reader.read(50).checkpoint()
    again = newer(database)
    assert again.start(committed) == Start(40, 50, 50)
    again.read(75).checkpoint()
    assert spans(database) == [
        (0, 20, NEWER, 100, 0),
        (20, 40, NEWER, 100, 20),
        (40, 60, NEWER, 100, 40),
        (60, 75, NEWER, 75, 60),
    ]
    assert run_audit(database.client, database.name).totals.segments == 1
    assert_exact(database, 75)


def test_a_hole_between_spans_and_an_overlap_are_found(database):
    def told(*bounds: tuple[int, int]) -> list[int]:
        database.do("TRUNCATE TABLE {database}.llm_ledger")
        for first, version in bounds:
            log = [event(offset) for offset in range(first, version)]
            database.insert("llm_ledger", ledger_table(log, first_offset=first, version=version))
        report = run_audit(database.client, database.name)
        (found,) = (result for result in report.results if result.check.name == "audit_segments")
        return [row[found.columns.index("missing")] for row in found.rows]

    assert told((0, 20), (20, 40), (40, 45)) == []
    assert told((0, 20), (21, 40), (38, 45)) == [1, -2]


# what an older version has begun


@pytest.fixture
def older(new_database):
    """A database that knows no spans yet."""
    database = new_database()
    schema = catalogue()
    before = tuple(file for file in schema.migrations if file.name < MIGRATION)
    views = tuple(file for file in schema.views if "limited_from" not in file.text)
    migrate(database.client, database.name, schema=Catalogue(before, schema.functions, views))
    return database


def begun(database: Any, end: int) -> Reader:
    """An older worker that has read so far."""
    reader = Reader(database, fold=OLDER, limits=WHOLE_SEGMENTS, knows_spans=False)
    reader.start(None)
    return reader.read(end)


def test_the_open_segment_of_an_older_version_is_one_span_until_there_is_room_for_another(older):
    committed = begun(older, 90).checkpoint()
    migrate(older.client, older.name)
    assert spans(older) == [(0, 90, OLDER, 450, None)]
    reader = newer(older)
    assert reader.start(committed).read_from == 0
    reader.read(130).checkpoint()
    assert spans(older) == [(0, 110, NEWER, 550, 90), (110, 130, NEWER, 100, 110)]
    assert_exact(older, 130)


def test_its_row_does_not_outlast_one_that_would_have_ended_earlier(older):
    """Twenty records are a span; the older version had read ninety. Its higher version must not stay beside new spans."""
    begun(older, 90).checkpoint()
    migrate(older.client, older.name)
    reader = newer(older)
    reader.start(50)  # a later commit was not made
    reader.read(60).checkpoint()
    assert spans(older) == [(0, 90, OLDER, 450, None)], "it counts on until all of it is folded again"
    reader.read(95).checkpoint()
    assert spans(older) == [(0, 95, NEWER, 475, 90)]
    assert_exact(older, 95)


def test_partials_that_it_stored_without_a_ledger_row_do_not_count(older):
    worker = begun(older, 60)
    committed = worker.checkpoint()
    worker.read(100).checkpoint(skipped=["llm_ledger"])
    migrate(older.client, older.name)
    assert spans(older) == [(0, 60, OLDER, 300, None)]
    newest = "SELECT max(version) FROM {database}.llm_windows WHERE fold = 1"
    assert older.ask(newest) == [(100,)]
    reader = newer(older)
    reader.start(committed)
    reader.read(70).checkpoint()
    assert older.ask("SELECT sum(calls) FROM {database}.windows") == [(350,)]
    reader.read(105).checkpoint()
    assert spans(older) == [(0, 80, NEWER, 400, 60), (80, 100, NEWER, 100, 80), (100, 105, NEWER, 25, 100)]
    assert_exact(older, 105)


def test_who_takes_over_from_the_new_version_ends_the_span_at_the_same_place(older):
    begun(older, 90).checkpoint()
    migrate(older.client, older.name)
    first = newer(older)
    first.start(90)
    committed = first.read(95).checkpoint()
    second = newer(older)
    start = second.start(committed)
    assert (start.read_from, start.stored_to) == (0, 95)
    second.read(130, batch=3).checkpoint()
    assert [row[:2] for row in spans(older)] == [(0, 110), (110, 130)]
    assert_exact(older, 130)


def test_a_segment_after_the_one_of_the_commit_is_known_too(older):
    """The last checkpoint of the older version went into a second segment; its commit was not made."""
    end = SEGMENT_OFFSETS
    worker = Reader(older, fold=OLDER, limits=WHOLE_SEGMENTS, knows_spans=False)
    worker.start(None)
    worker.fold = PartitionFold(
        Source(SOURCE, "llm.events", 0),
        Start(end - 10, end - 10, end - 10),
        worker._rules,
        Decoder(),
        Enricher([GenaiBook()], ContentRules(), TokenMemory()),
    )
    worker.read(end + 40).checkpoint()
    migrate(older.client, older.name)
    reader = newer(older)
    reader.start(end - 5)
    reader.read(end + 70).checkpoint()
    assert [row[:3] for row in spans(older)] == [
        (end - 10, end, NEWER),
        (end, end + 60, NEWER),
        (end + 60, end + 70, NEWER),
    ]
    assert older.ask("SELECT sum(calls) FROM {database}.windows") == [(80 * PER_RECORD,)]


def test_an_older_worker_may_go_on_with_a_span_of_the_new_version_and_the_new_one_with_that(older):
    """In a rolling upgrade partitions go to and fro; nobody writes on after it has lost one."""
    migrate(older.client, older.name)
    reader = newer(older)
    reader.start(None)
    committed = reader.read(30).checkpoint()
    # The older version plans as it did: from the last span of the segment.
    worker = Reader(older, fold=OLDER, limits=WHOLE_SEGMENTS)
    assert worker.start(committed) == Start(20, 20, 30)
    worker._knows_spans = False
    committed = worker.read(65).checkpoint()
    assert spans(older)[1:] == [(20, 65, OLDER, 225, None)]
    reader = newer(older)
    reader.start(committed)
    reader.read(90).checkpoint()
    assert spans(older) == [(0, 20, NEWER, 100, 0), (20, 85, NEWER, 325, 65), (85, 90, NEWER, 25, 85)]
    assert_exact(older, 90)


def test_the_ledger_of_an_older_version_reads_as_without_limit(older):
    rows = ledger_table([event(0), event(1)])
    known = [name for name in rows.column_names if name != "limited_from"]
    older.insert("llm_ledger", rows.select(known))
    older.insert("llm_windows", partial_table([event(0), event(1)]))
    migrate(older.client, older.name)
    older.insert("llm_ledger", ledger_table([event(SEGMENT_OFFSETS)]).select(known))
    (first, second) = older.ask("SELECT limited_from FROM {database}.ledger ORDER BY segment")
    assert (first, second) == ((None,), (None,))
    names = older.ask(
        "SELECT name FROM system.columns WHERE database = {d:String} AND table = 'llm_ledger' ORDER BY position",
        d=older.name,
    )
    assert [name for (name,) in names] == [*LEDGER_ROWS.names, "stored_at"]
    assert LedgerEntry(0, 2, 11, limited_from=None).known().limited_from == 2
