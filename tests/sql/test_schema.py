"""The migrated schema is the one that the contract declares: names, types and comments, so that neither can drift."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tokentide.schemas.aggregates import AGGREGATES, DIMENSIONS, SEGMENT_OFFSETS
from tokentide.schemas.anomaly import Anomaly
from tokentide.schemas.arrow import (
    EVALUATION_ROWS,
    EVENT_ROWS,
    LEDGER_ROWS,
    MONEY,
    TIME_MS,
    TIME_S,
    TIME_US,
    WIDE_INTEGER,
    WINDOW_ROWS,
)
from tokentide.schemas.columns import call_columns
from tokentide.sql.catalogue import catalogue
from tokentide.sql.meanings import (
    ANOMALY_MEANINGS,
    EVALUATION_MEANINGS,
    EVENT_MEANINGS,
    LEDGER_MEANINGS,
    PARTIAL_MEANINGS,
    WINDOW_MEANINGS,
)

_NAME = "LowCardinality(String)"
_FREE_TEXT = {"error_message", "input_text", "output_text", "input_hash", "output_hash"}
_ALWAYS_THERE = {
    "timestamp",
    "window_start",
    "late",
    "sent_at",
    "source_partition",
    "source_offset",
    "source_index",
}
_SCALARS = {
    pa.int64(): "Int64",
    pa.int32(): "Int32",
    pa.uint64(): "UInt64",
    pa.float64(): "Float64",
    pa.bool_(): "Bool",
    MONEY: "Decimal(38, 12)",
    WIDE_INTEGER: "Decimal(38, 0)",
    TIME_US: "DateTime64(6, 'UTC')",
    TIME_MS: "DateTime64(3, 'UTC')",
    TIME_S: "DateTime('UTC')",
}


def _columns(database, table):
    rows = database.ask(
        "SELECT name, type, comment FROM system.columns WHERE database = {d:String} AND table = {t:String}",
        d=database.name,
        t=table,
    )
    return {name: (kind, comment) for name, kind, comment in rows}


def _types(database, table):
    return {name: kind for name, (kind, _) in _columns(database, table).items()}


def _comments(database, table):
    return {name: comment for name, (_, comment) in _columns(database, table).items()}


def _event_type(field):
    ids = {column.name for column in call_columns() if column.kind == "id"}
    if pa.types.is_string(field.type):
        return "String" if field.name in ids | _FREE_TEXT else _NAME
    if pa.types.is_list(field.type):
        return f"Array({_NAME})"
    if pa.types.is_map(field.type):
        return f"Map({_NAME}, String)"
    scalar = _SCALARS[field.type]
    return scalar if field.name in _ALWAYS_THERE else f"Nullable({scalar})"


def _row_type(field):
    """Of partials and ledger rows: nothing is unknown there but the times of an empty span, and what an older version did not tell."""
    if pa.types.is_list(field.type):
        return f"Array({_SCALARS[field.type.value_type]})"
    if pa.types.is_map(field.type):
        key = "Int16" if field.type.key_type == pa.int16() else _NAME
        return f"Map({key}, Int64)"
    if field.name in ("min_timestamp", "max_timestamp", "limited_from"):
        return f"Nullable({_SCALARS[field.type]})"
    return _SCALARS.get(field.type, _NAME)


def test_llm_events_has_the_columns_of_the_contract_in_its_order(database):
    types = _types(database, "llm_events")
    assert types.pop("occurrence_rank") == "UInt64"
    assert types.pop("stored_at") == "DateTime64(3, 'UTC')"
    assert list(types.items()) == [(field.name, _event_type(field)) for field in EVENT_ROWS]


def test_llm_evaluations_has_the_columns_that_the_worker_writes(database):
    types = _types(database, "llm_evaluations")
    assert types.pop("stored_at") == "DateTime64(3, 'UTC')"
    assert list(types.items()) == [(field.name, _event_type(field)) for field in EVALUATION_ROWS]


@pytest.mark.parametrize(("table", "rows"), [("llm_windows", WINDOW_ROWS), ("llm_ledger", LEDGER_ROWS)])
def test_partials_and_ledger_have_the_columns_that_the_worker_writes(database, table, rows):
    types = _types(database, table)
    assert types.pop("stored_at") == "DateTime64(3, 'UTC')"
    assert list(types.items()) == [(field.name, _row_type(field)) for field in rows]


def test_llm_anomalies_has_the_fields_of_an_incident(database):
    types = _types(database, "llm_anomalies")
    del types["stored_at"]
    assert list(types) == list(Anomaly.model_fields)
    assert (types["value"], types["limit"], types["baseline"]) == (
        "Decimal(38, 12)",
        "Decimal(38, 12)",
        "Nullable(Decimal(38, 12))",
    )


def test_the_view_events_has_every_column_of_the_table_but_the_internal_one(database):
    table = _types(database, "llm_events")
    del table["occurrence_rank"]
    assert _types(database, "events") == table


@pytest.mark.parametrize(("view", "table"), [("ledger", "llm_ledger"), ("evaluations", "llm_evaluations")])
def test_the_view_has_every_column_of_its_table_in_its_order(database, view, table):
    assert list(_types(database, view).items()) == list(_types(database, table).items())


def test_the_view_windows_has_the_dimensions_and_every_aggregate_and_nothing_internal(database):
    view = _types(database, "windows")
    assert list(view) == ["window_start", *DIMENSIONS, *(aggregate.name for aggregate in AGGREGATES)]
    table = _types(database, "llm_windows")
    # A sum of maps by word comes out with plain words as keys.
    assert view == {name: table[name].replace(f"Map({_NAME}", "Map(String") for name in view}


@pytest.mark.parametrize("view", ["windows", "windows_every"])
def test_windows_merge_each_aggregate_as_declared(database, view):
    ((query,),) = database.ask(
        "SELECT as_select FROM system.tables WHERE name = {v:String} AND database = {d:String}",
        v=view,
        d=database.name,
    )
    functions = {"sum": "sum", "max": "max", "map": "sumMap"}
    for aggregate in AGGREGATES:
        assert f"{functions[aggregate.merge]}(p.{aggregate.name}) AS {aggregate.name}" in query


def test_windows_of_any_length_have_the_columns_of_windows(database):
    every = database.ask("DESCRIBE (SELECT * FROM {database}.windows_every(seconds = 300))")
    assert {name: kind for name, kind, *_ in every} == _types(database, "windows")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("context_hit_rates", "seconds = 300"),
        ("costs", "seconds = 300"),
        ("error_rates", "seconds = 300"),
        ("latency", "seconds = 300"),
        ("latency_breakdown", "seconds = 300"),
        ("longest_prompts", "seconds = 300"),
        ("prompt_cache_hit_rates", "seconds = 300"),
        ("prompt_time_slopes", "seconds = 300"),
        ("quality", "limit = 0.7, seconds = 300"),
    ],
)
def test_a_metric_has_the_same_columns_as_listed_and_over_other_windows(database, name, parameters):
    every = database.ask(f"DESCRIBE (SELECT * FROM {{database}}.{name}_every({parameters}))")
    listed = _types(database, name)
    assert [row[0] for row in every] == list(listed)
    # A listed type is a promise: ClickHouse casts to it, and a NULL that it has no room for is an error.
    nullable = {row[0] for row in every if row[1].startswith("Nullable")}
    assert nullable == {column for column, kind in listed.items() if kind.startswith("Nullable")}


@pytest.mark.parametrize(
    ("table", "meanings"),
    [
        ("llm_events", EVENT_MEANINGS),
        ("events", EVENT_MEANINGS),
        ("llm_windows", PARTIAL_MEANINGS),
        ("windows", WINDOW_MEANINGS),
        ("llm_ledger", LEDGER_MEANINGS),
        ("ledger", LEDGER_MEANINGS),
        ("llm_evaluations", EVALUATION_MEANINGS),
        ("evaluations", EVALUATION_MEANINGS),
        ("llm_anomalies", ANOMALY_MEANINGS),
        ("anomalies", ANOMALY_MEANINGS),
    ],
)
def test_comments_are_the_meanings_of_the_contract(database, table, meanings):
    comments = _comments(database, table)
    comments.pop("occurrence_rank", None)
    assert comments == dict(meanings)


def test_every_column_of_every_table_and_listed_view_has_a_comment(database):
    unexplained = database.ask(
        "SELECT table, name FROM system.columns WHERE database = {d:String} AND comment = '' "
        "AND table NOT IN ('windows_in_force', 'llm_occurrences_feed')",
        d=database.name,
    )
    assert unexplained == []


def test_every_table_and_view_says_what_it_is(database):
    silent = database.ask(
        "SELECT name FROM system.tables WHERE database = {d:String} AND comment = '' AND engine != 'MaterializedView'",
        d=database.name,
    )
    assert silent == []


def test_segments_in_sql_are_as_long_as_in_the_worker():
    texts = [file.text for file in catalogue().views]
    assert any(f"intDiv(source_offset, {SEGMENT_OFFSETS})" in text for text in texts)


def test_sort_keys_hold_only_what_the_producer_sent(database):
    """A column that depends on prices or settings would make a new key of the same event, and a second row."""
    ((key,),) = database.ask(
        "SELECT sorting_key FROM system.tables WHERE database = {d:String} AND name = 'llm_events'",
        d=database.name,
    )
    assert key == "service, timestamp, event_id"
    assert set(key.split(", ")) <= {column.name for column in call_columns() if column.required}
