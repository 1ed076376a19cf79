"""The ledger's entries from a segment on, as a worker asks for them at its start."""

from __future__ import annotations

import asyncio

import clickhouse_connect
import pytest

from tests.sql.conftest import Database
from tests.support.clickhouse_rows import FOLD, SOURCE, event, ledger_table
from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.stream.resume import LedgerEntry
from tokentide.stream.store import ClickHouseStore

NEXT = SEGMENT_OFFSETS
WAITS = ((3, 1), (4, 0))


def entry(first_offset: int, version: int) -> LedgerEntry:
    return LedgerEntry(first_offset, version, FOLD, pending=WAITS, limited_from=first_offset)


FIRST, SECOND, THIRD = entry(0, 6), entry(NEXT, NEXT + 3), entry(2 * NEXT, 2 * NEXT + 1)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (range(1), [FIRST, SECOND._replace(pending=()), THIRD._replace(pending=())]),
        (range(2), [FIRST, SECOND, THIRD._replace(pending=())]),
        (range(1, 9), [SECOND, THIRD]),
        (range(3, 9), []),
    ],
)
def test_it_is_those_of_this_source_and_partition_and_of_later_segments_without_what_waits(
    database: Database, segments: range, expected: list[LedgerEntry]
) -> None:
    places = [5, NEXT + 2, 2 * NEXT]
    for source, partition in ((SOURCE, 0), (SOURCE, 1), ("llm.events/another", 0)):
        if (source, partition) == (SOURCE, 0):
            rows = [event(offset) for offset in places]
        else:
            rows = [event(offset + 1, source=source, source_partition=partition) for offset in places]
        database.insert("llm_ledger", ledger_table(rows, pending_offsets=[3, 4], pending_items=[1, 0]))

    def connect() -> object:
        return clickhouse_connect.get_client(dsn=f"chdb://{database.client.path}", database=database.name)

    store = ClickHouseStore(ClickHouseSink(connect), connect, lambda _: None)  # type: ignore[arg-type]
    found = asyncio.run(store.ledger(SOURCE, 0, segments))
    store.close()
    assert sorted(found) == expected
