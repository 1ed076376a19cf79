"""The ledger's entries of several segments, as a worker asks for them at its start."""

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


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (range(1), [LedgerEntry(0, 6, FOLD)]),
        (range(2), [LedgerEntry(0, 6, FOLD), LedgerEntry(NEXT, NEXT + 3, FOLD)]),
        (range(3, 9), []),
    ],
)
def test_it_is_those_of_this_source_partition_and_segments(
    database: Database, segments: range, expected: list[LedgerEntry]
) -> None:
    places = [5, NEXT + 2, 2 * NEXT]
    for source, partition in ((SOURCE, 0), (SOURCE, 1), ("llm.events/another", 0)):
        if (source, partition) == (SOURCE, 0):
            rows = [event(offset) for offset in places]
        else:
            rows = [event(offset + 1, source=source, source_partition=partition) for offset in places]
        database.insert("llm_ledger", ledger_table(rows))

    def connect() -> object:
        return clickhouse_connect.get_client(dsn=f"chdb://{database.client.path}", database=database.name)

    store = ClickHouseStore(ClickHouseSink(connect), connect, lambda _: None)  # type: ignore[arg-type]
    found = asyncio.run(store.ledger(SOURCE, 0, segments))
    store.close()
    assert sorted(found) == expected
