"""What a query reads: filters and column lists pass through the views to the tables and their indexes."""

from __future__ import annotations

import re

import pytest

from tests.sql.conftest import Database
from tests.support.clickhouse_rows import START, event, ledger_table
from tokentide.sql.migrate import migrate

_PRIMARY = re.compile(r"PrimaryKey.*?Granules: (\d+)/(\d+)", re.DOTALL)
_COLUMNS = re.compile(r"Output: (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def filled(engine):
    """A month of minutes and of events, in one part each, so that only the index can leave rows out."""
    database = Database(engine, "pushdown")
    migrate(engine, database.name)
    database.insert("llm_ledger", ledger_table([event(0)]))
    database.do(
        "INSERT INTO {database}.llm_windows (window_start, service, source, fold, calls) "
        f"SELECT toDateTime('{START:%Y-%m-%d} 00:00:00', 'UTC') + number * 60, 'chat', source, fold, 1 "
        "FROM numbers(40000) AS n CROSS JOIN {database}.llm_ledger AS l"
    )
    database.do(
        "INSERT INTO {database}.llm_events (timestamp, service, event_id) "
        f"SELECT toDateTime64('{START:%Y-%m-%d} 00:00:00', 6, 'UTC') + number * 10, 'chat', toString(number) "
        "FROM numbers(200000)"
    )
    yield database
    engine.command(f"DROP DATABASE {database.name} SYNC")


def _plan_of(database, query, table):
    plan = "\n".join(row[0] for row in database.ask(f"EXPLAIN indexes = 1 {query}"))
    return plan[plan.index(f".{table})") :]


@pytest.mark.parametrize(
    "source",
    [
        "windows",
        "windows_every(seconds = 3600)",
        "error_rates",
        "latency",
        "costs_every(seconds = 86400)",
        "prompt_time_slopes",
        "longest_prompts",
        "quality_every(limit = 0.7, seconds = 3600)",
    ],
)
def test_a_filter_on_window_start_reaches_the_primary_index(filled, source):
    query = f"SELECT sum(calls) FROM {{database}}.{source} WHERE window_start >= '2024-03-20 00:00:00'"
    read, all_granules = map(int, _PRIMARY.search(_plan_of(filled, query, "llm_windows")).groups())
    assert read < all_granules
    days = 40_000 / 1440
    assert filled.ask(query) == [(round((days - 19) * 1440),)]


@pytest.mark.parametrize("service", ["service = 'chat' AND ", ""])
def test_a_filter_on_timestamp_reaches_the_primary_index(filled, service):
    query = f"SELECT count() FROM {{database}}.events WHERE {service}timestamp >= '2024-03-20 00:00:00'"
    read, all_granules = map(int, _PRIMARY.search(_plan_of(filled, query, "llm_events")).groups())
    assert read < all_granules


def test_an_id_is_found_through_its_bloom_filter(filled):
    plan = _plan_of(filled, "SELECT * FROM {database}.events WHERE event_id = '123456'", "llm_events")
    read, all_granules = map(
        int, re.search(r"event_id_bloom.*?Granules: (\d+)/(\d+)", plan, re.DOTALL).groups()
    )
    assert read < all_granules


@pytest.mark.parametrize("source", ["windows", "windows_every(seconds = 60)", "error_rates"])
def test_aggregates_that_nobody_asks_for_are_not_read(filled, source):
    plan = _plan_of(
        filled, f"SELECT window_start, sum(calls) FROM {{database}}.{source} GROUP BY 1", "llm_windows"
    )
    columns = set(_COLUMNS.search(plan)[1].split(", "))
    assert "calls" in columns
    assert not {name for name in columns if name.endswith(("_us", "_sketch", "_usd"))}


def test_the_column_list_of_events_is_not_read_whole(filled):
    plan = _plan_of(filled, "SELECT sum(input_tokens) FROM {database}.events", "llm_events")
    columns = set(_COLUMNS.search(plan)[1].split(", "))
    assert columns <= {"input_tokens", "service", "timestamp", "event_id", "occurrence_rank"}


@pytest.mark.parametrize("table", ["llm_events", "llm_windows"])
def test_rows_of_one_key_share_a_partition_so_final_merges_month_by_month(database, table):
    """ClickHouse decides so itself if the partition's columns are in the primary key."""
    ((partition_key, primary_key),) = database.ask(
        "SELECT partition_key, primary_key FROM system.tables "
        f"WHERE database = '{database.name}' AND name = '{table}'"
    )
    (column,) = re.fullmatch(r"toYYYYMM\((\w+)\)", partition_key).groups()
    assert column in primary_key.split(", ")
    automatic = "enable_automatic_decision_for_merging_across_partitions_for_final"
    assert database.ask(f"SELECT value FROM system.settings WHERE name = '{automatic}'") == [("1",)]
