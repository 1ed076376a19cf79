"""Rows of every type arrive exactly, through the sink that the worker uses."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from tests.support.clickhouse_rows import START, event, event_table, ledger_table, partial_table
from tokentide.schemas.arrow import EVALUATION_ROWS, EVENT_ROWS, LEDGER_ROWS, WINDOW_ROWS
from tokentide.sinks.arrow_body import encode
from tokentide.sinks.errors import TerminalSinkError

_EXTREMES = {
    pa.int64(): 2**63 - 1,
    pa.int32(): 2**31 - 1,
    pa.uint64(): 2**64 - 1,
    pa.float64(): 1.7976931348623157e308,
    pa.bool_(): True,
    pa.decimal128(38, 12): Decimal("99999999999999999999999999.999999999999"),
    pa.decimal128(38, 0): Decimal(99999999999999999999999999999999999999),
    pa.timestamp("us", "UTC"): datetime(2100, 1, 1, 23, 59, 59, 999999, tzinfo=UTC),
    pa.timestamp("ms", "UTC"): datetime(2100, 1, 1, 23, 59, 59, 999000, tzinfo=UTC),
    pa.timestamp("s", "UTC"): datetime(2100, 1, 1, 23, 59, 0, tzinfo=UTC),
    pa.string(): "naïve 😀 '\\\t\"\n\0",
    pa.list_(pa.string()): ["", "b", "b"],
    pa.list_(pa.int64()): [2**63 - 1, -(2**63), 0],
    pa.list_(pa.int32()): [2**31 - 1, -(2**31), 0],
    pa.map_(pa.string(), pa.string()): [("k", ""), ("ä", "v")],
    pa.map_(pa.string(), pa.int64()): [("a", 2**62), ("b", 0)],
    pa.map_(pa.int16(), pa.int64()): [(-32768, 2**62), (32767, 1)],
}


def _plain(value):
    """As the client returns it: no zones, maps as dictionaries."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    return value


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("llm_events", EVENT_ROWS),
        ("llm_evaluations", EVALUATION_ROWS),
        ("llm_windows", WINDOW_ROWS),
        ("llm_ledger", LEDGER_ROWS),
    ],
)
def test_the_extremes_of_every_type_arrive_exactly(database, table, schema):
    row = {field.name: _EXTREMES[field.type] for field in schema}
    database.insert(table, pa.Table.from_pylist([row], schema=schema))
    (stored,) = database.dicts(f"SELECT * EXCEPT stored_at FROM {{database}}.{table}")
    assert stored == {name: _plain(value) for name, value in row.items()}


def test_unknown_numbers_stay_unknown_and_absent_texts_are_empty(database):
    required = {
        "event_id",
        "timestamp",
        "service",
        "window_start",
        "source",
        "source_partition",
        "source_offset",
    }
    full = event(0)
    row = {name: full.get(name) if name in required else None for name in EVENT_ROWS.names}
    database.insert("llm_events", pa.Table.from_pylist([row], schema=EVENT_ROWS))
    (stored,) = database.dicts("SELECT * EXCEPT stored_at FROM {database}.events")
    for field in EVENT_ROWS:
        if field.name in required or field.name in ("late", "sent_at", "source_index"):
            continue
        empty = "" if pa.types.is_string(field.type) else [] if pa.types.is_list(field.type) else None
        assert stored[field.name] == ({} if pa.types.is_map(field.type) else empty), field.name


def test_columns_that_are_not_sent_take_their_defaults(database):
    columns = ["event_id", "timestamp", "service", "window_start"]
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    database.insert("llm_events", event_table([event(0)]).select(columns))
    (stored,) = database.dicts(
        "SELECT model, tenant, cost_usd, turn, labels, stored_at FROM {database}.events"
    )
    stored_at = stored.pop("stored_at")
    assert stored == {"model": "", "tenant": "", "cost_usd": None, "turn": None, "labels": {}}
    assert before <= stored_at <= datetime.now(UTC).replace(tzinfo=None)


def test_names_may_come_as_dictionaries_with_nulls_and_in_several_chunks(database):
    services = [["a", "b", None], ["c", "a"], ["b"]]
    rows = event_table([event(n) for n in range(6)])
    column = pa.chunked_array([pa.array(chunk).dictionary_encode() for chunk in services])
    place = rows.schema.get_field_index("service")
    database.insert("llm_events", rows.set_column(place, "service", column))
    stored = database.ask("SELECT service FROM {database}.events ORDER BY source_offset")
    assert [name for (name,) in stored] == ["a", "b", "", "c", "a", "b"]


def test_a_dictionary_that_holds_a_value_twice_arrives_too(database):
    """Mapping the values of a dictionary can make two of them equal; ClickHouse refuses that (code 117)."""
    rows = event_table([event(n) for n in range(3)])
    twice = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2], pa.int32()), pa.array(["gpt-4o", "gpt-4o", "other"])
    )
    place = rows.schema.get_field_index("model")
    database.insert("llm_events", rows.set_column(place, "model", twice))
    stored = database.ask("SELECT model, count() FROM {database}.events GROUP BY model ORDER BY model")
    assert stored == [("gpt-4o", 2), ("other", 1)]


def test_events_of_three_hundred_months_go_in_one_insert(database):
    months = [datetime(2000 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(300)]
    database.insert("llm_events", event_table([event(n, timestamp=month) for n, month in enumerate(months)]))
    assert database.ask("SELECT count(), uniqExact(toYYYYMM(timestamp)) FROM {database}.events") == [
        (300, 300)
    ]


def test_a_column_that_the_table_does_not_know_is_terminal_and_named(database):
    rows = event_table([event(0, event_id="secret-id")]).append_column("no_such_column", [["secret-value"]])
    with pytest.raises(TerminalSinkError, match="no_such_column") as caught:
        database.insert("llm_events", rows)
    assert caught.value.code == 16
    assert "tokentide init" in str(caught.value)
    assert "secret" not in f"{caught.value}{caught.value.__cause__}"


def test_a_missing_table_is_terminal(database):
    with pytest.raises(TerminalSinkError, match="tokentide init") as caught:
        database.insert("llm_nothing", event_table([event(0)]))
    assert caught.value.code == 60


def test_one_batch_goes_out_however_many_chunks_came_in():
    rows = pa.concat_tables([partial_table([event(n, timestamp=START)]) for n in range(5)])
    reader = pa.ipc.open_stream(encode(rows))
    batches = list(reader)
    assert len(batches) == 1
    assert pa.Table.from_batches(batches).to_pylist() == rows.to_pylist()


def test_ledger_rows_of_a_segment_without_events_have_no_times(database):
    row = ledger_table([event(0)]).to_pylist()[0] | {"min_timestamp": None, "max_timestamp": None}
    database.insert("llm_ledger", pa.Table.from_pylist([row], schema=LEDGER_ROWS))
    assert database.ask("SELECT min_timestamp, max_timestamp FROM {database}.ledger") == [(None, None)]
