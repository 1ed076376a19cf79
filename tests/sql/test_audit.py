"""The audit: no rows where all agrees, and the difference itself wherever something was bent."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from tests.support.clickhouse_rows import (
    SOURCE,
    START,
    evaluation,
    evaluation_table,
    event,
    event_table,
    ledger_row,
    ledger_table,
    partial_table,
)
from tokentide.schemas.aggregates import DEFAULT_DIMENSIONS, SEGMENT_OFFSETS
from tokentide.schemas.arrow import LEDGER_ROWS
from tokentide.sql.audit import run_audit
from tokentide.sql.errors import InvalidIdentifierError
from tokentide.sql.migrate import migrate
from tokentide.sql.retention import Retention

MINUTE = START.replace(tzinfo=None)
ITEMS = "items = events - incomplete events + duplicates + rejects + parts + evaluations"


def _log():
    """Two partitions; in the first, one segment and the beginning of the next."""
    first = [event(n, service=f"service-{n % 3}") for n in range(70)]
    failed = [event(SEGMENT_OFFSETS - 1, status="error"), event(SEGMENT_OFFSETS, status="error", test=True)]
    other = [
        event(
            n,
            event_id=f"other-{n}",
            source_partition=1,
            cost_usd=None,
            cache_read_input_tokens=7,
            tenant="t1",
        )
        for n in range(5)
    ]
    return first + failed + other


def _audit(database, **options):
    return run_audit(database.client, database.name, **options)


def _differences(report):
    return {
        result.check.name: [dict(zip(result.columns, row, strict=True)) for row in result.rows]
        for result in report.differences
    }


def test_a_good_log_agrees_and_its_totals_are_told(database):
    database.store(_log())
    report = _audit(database)
    assert report.agrees, _differences(report)
    totals = report.totals
    assert (totals.segments, totals.records, totals.items, totals.events) == (3, 77, 77, 77)
    assert (totals.event_rows, totals.window_calls, totals.test_events) == (77, 77, 1)
    assert totals.gaps == SEGMENT_OFFSETS - 71


def test_parts_incomplete_calls_and_evaluations_have_their_place_in_the_sum(database):
    log = [event(0), event(1, assembled_from="request+response"), event(1, event_id="x", source_index=-1)]
    log[2] |= {"assembled_from": "request", "incomplete": True}
    database.store(log, parts=3, evaluations=2, pending_offsets=[0], pending_items=[2])
    database.insert("llm_evaluations", evaluation_table([evaluation(0, source_index=n) for n in (1, 2)]))
    report = _audit(database)
    assert not _differences(report)
    totals = report.totals
    assert (totals.items, totals.events, totals.incomplete_events) == (7, 3, 1)
    assert (totals.parts, totals.evaluations) == (3, 2)
    assert (totals.event_rows, totals.window_calls) == (3, 3)
    # The same event_id at two places: two in the ledger, one in the view.
    assert totals.evaluation_rows == 1


def test_an_evaluation_that_was_never_inserted_is_missed_in_its_segment(database):
    database.store([event(0), event(SEGMENT_OFFSETS)], evaluations=2)
    stored = [(0, 1), (0, 2), (SEGMENT_OFFSETS, 1)]
    database.insert(
        "llm_evaluations",
        evaluation_table([evaluation(n, event_id=f"{n}/{i}", source_index=i) for n, i in stored]),
    )
    found = _differences(_audit(database))
    (row,) = found["audit_evaluations"]
    assert (row["segment"], row["ledger_evaluations"], row["evaluation_rows"]) == (1, 2, 1)
    assert "audit_rows" not in found


def test_evaluations_of_a_log_that_no_ledger_knows_are_found(database):
    database.insert("llm_evaluations", evaluation_table([evaluation(0)]))
    (row,) = _differences(_audit(database))["audit_evaluations"]
    assert (row["ledger_evaluations"], row["evaluation_rows"]) == (0, 1)


def test_an_evaluation_stored_twice_counts_once(database):
    database.store([event(0)], evaluations=1)
    for _ in range(2):
        database.insert("llm_evaluations", evaluation_table([evaluation(0, source_index=1)]))
    assert _audit(database).agrees


@pytest.mark.parametrize(("days", "differs"), [(2, False), (4, True), (0, True)])
def test_evaluations_are_missed_until_their_retention_has_ended(new_database, days, differs):
    database = new_database()
    migrate(database.client, database.name, retention=Retention(events_days=days, windows_days=0))
    rows = ledger_table([event(0)], evaluations=3)
    stored = pa.array([datetime.now(UTC) - timedelta(days=3)], pa.timestamp("ms", "UTC"))
    database.insert("llm_ledger", rows.append_column("stored_at", stored))
    assert ("audit_evaluations" in _differences(_audit(database))) is differs


def test_an_empty_database_agrees(database):
    report = _audit(database)
    assert report.agrees
    assert set(astuple(report.totals)) == {0}


def test_storing_everything_twice_changes_nothing(database):
    for _ in range(2):
        database.store(_log())
    assert _audit(database).agrees


@pytest.mark.parametrize(
    ("bent", "rule", "expected", "found"),
    [
        ({"records": 4}, "offsets read = records + gaps", 5, 4),
        ({"items": 9}, ITEMS, 9, 5),
        ({"items": 5, "parts": 2, "evaluations": 1}, ITEMS, 5, 8),
        ({"items": 5, "incomplete_events": 1}, ITEMS, 5, 4),
        ({"items": -1, "incomplete_events": 6}, "incomplete events are events", 6, 5),
        (
            {"pending_offsets": [3, 4], "pending_items": [0]},
            "each waiting part has offset and position",
            2,
            1,
        ),
        ({"pending_offsets": [5, 3], "pending_items": [0, 0]}, "waiting parts have been read", 5, 6),
        ({"parts": -1}, "nothing is negative", 0, 1),
        (
            {"items": 7, "rejects": 2, "rejects_by_reason": [("not_json", 1)]},
            "rejects = sum of the reasons",
            2,
            1,
        ),
        ({"test_events": 6}, "test events are events", 6, 5),
        ({"lost": -1}, "nothing is negative", 0, 1),
    ],
)
def test_a_ledger_row_that_does_not_add_up_is_named_with_the_rule(database, bent, rule, expected, found):
    log = [event(n) for n in range(5)]
    database.insert("llm_events", event_table(log))
    database.insert("llm_windows", partial_table(log))
    database.insert("llm_ledger", ledger_table(log, **bent))
    (row,) = _differences(_audit(database))["audit_ledger"]
    assert (row["source"], row["segment"], row["rule"], row["expected"], row["found"]) == (
        SOURCE,
        0,
        rule,
        expected,
        found,
    )


def test_a_segment_that_nobody_read_is_a_hole(database):
    log = [event(SEGMENT_OFFSETS - 1), event(2 * SEGMENT_OFFSETS)]
    database.store(log)
    (row,) = _differences(_audit(database))["audit_segments"]
    assert (row["segment"], row["next_segment"], row["missing"]) == (0, 2, SEGMENT_OFFSETS)


def test_a_segment_left_before_its_end_is_a_hole(database):
    database.store([event(9), event(SEGMENT_OFFSETS)])
    (row,) = _differences(_audit(database))["audit_segments"]
    assert (row["read_up_to"], row["next_first_offset"], row["missing"]) == (
        10,
        SEGMENT_OFFSETS,
        SEGMENT_OFFSETS - 10,
    )


def test_what_retention_took_is_known_and_no_hole(database):
    """Offsets 10 to 99 were gone before they were read: a second span of the segment begins behind them."""
    before, after = [event(9)], [event(100)]
    database.insert("llm_events", event_table(before + after))
    database.insert("llm_ledger", ledger_table(before))
    place = {"source": SOURCE, "source_partition": 0, "segment": 0, "fold": 11}
    second = ledger_row(**place, events=after, first_offset=100, lost=90)
    database.insert("llm_ledger", pa.Table.from_pylist([second], schema=LEDGER_ROWS))
    database.insert("llm_windows", partial_table(before))
    spans = partial_table(after).to_pylist()[0] | {"first_offset": 100}
    database.insert("llm_windows", pa.Table.from_pylist([spans], schema=partial_table(after).schema))
    report = _audit(database)
    assert report.agrees, _differences(report)
    assert (report.totals.lost, report.totals.window_calls) == (90, 2)


def test_an_event_that_was_never_inserted_is_missed_in_its_segment_and_minute(database):
    log = [event(n, timestamp=START) for n in range(5)]
    database.insert("llm_events", event_table(log[:4]))
    database.insert("llm_windows", partial_table(log))
    database.insert("llm_ledger", ledger_table(log))
    found = _differences(_audit(database))
    (row,) = found["audit_rows"]
    assert (row["segment"], row["ledger_events"], row["occurrences"]) == (0, 5, 4)
    calls = next(row for row in found["audit_minutes"] if row["measure"] == "calls")
    assert (calls["window_start"], calls["in_windows"], calls["in_events"], calls["unexplained"]) == (
        MINUTE,
        5,
        4,
        1,
    )
    assert not _audit(database).is_explained_by_duplicates


def test_a_row_that_vanished_from_the_table_is_lost_at_its_offset(database):
    database.store([event(n, timestamp=START) for n in range(5)])
    database.do(
        "ALTER TABLE {database}.llm_events DELETE WHERE source_offset = 3 SETTINGS mutations_sync = 1"
    )
    found = _differences(_audit(database))
    assert "audit_rows" not in found
    assert [row["source_offset"] for row in found["audit_lost_rows"]] == [3]


def test_rows_of_a_log_that_no_ledger_knows_are_found(database):
    database.insert("llm_events", event_table([event(0)]))
    (row,) = _differences(_audit(database))["audit_rows"]
    assert (row["ledger_events"], row["occurrences"]) == (0, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("calls", 6),
        ("test_calls", 1),
        ("errors", 1),
        ("input_tokens", 501),
        ("output_tokens", 49),
        ("cache_read_input_tokens", 1),
        ("cost_usd", Decimal("0.007500000001")),
        ("priced_calls", 4),
    ],
)
def test_a_window_that_differs_in_one_unit_is_found_by_minute_and_series(database, column, value):
    log = [event(n, timestamp=START) for n in range(5)]
    database.store(log)
    right = partial_table(log).to_pylist()[0]
    wrong = right | {column: value, "version": right["version"] + 1}
    database.insert("llm_windows", pa.Table.from_pylist([wrong], schema=partial_table(log).schema))
    found = _differences(_audit(database))
    for check in ("audit_minutes", "audit_series"):
        (row,) = found[check]
        assert (row["measure"], row["in_windows"], row["in_events"]) == (column, value, right[column])
        assert row["unexplained"] == value - right[column]


def test_calls_counted_in_the_wrong_series_are_found_though_the_minute_agrees(database):
    log = [event(0, timestamp=START, service="right")]
    database.insert("llm_events", event_table(log))
    database.insert("llm_ledger", ledger_table(log))
    database.insert("llm_windows", partial_table([row | {"service": "wrong"} for row in log]))
    found = _differences(_audit(database))
    assert list(found) == ["audit_series"]
    calls = {row["service"]: row["unexplained"] for row in found["audit_series"] if row["measure"] == "calls"}
    assert calls == {"right": -1, "wrong": 1}


def test_dimensions_that_are_not_in_use_do_not_split_the_events(database):
    log = [event(n, timestamp=START, tenant=f"t{n}", feature="search") for n in range(4)]
    database.insert("llm_events", event_table(log))
    database.insert("llm_ledger", ledger_table(log))
    database.insert("llm_windows", partial_table(log, dimensions=DEFAULT_DIMENSIONS))
    assert _audit(database).agrees


def test_dimensions_in_use_are_compared(database):
    log = [event(n, timestamp=START, tenant=f"t{n}") for n in range(2)]
    database.insert("llm_events", event_table(log))
    database.insert("llm_ledger", ledger_table(log))
    swapped = [row | {"tenant": f"t{1 - n}", "input_tokens": 100 + n} for n, row in enumerate(log)]
    database.insert("llm_windows", partial_table(swapped, dimensions=(*DEFAULT_DIMENSIONS, "tenant")))
    tenants = {row["tenant"] for row in _differences(_audit(database))["audit_series"]}
    assert tenants == {"t0"}


def test_a_minute_with_the_overflow_series_is_compared_as_a_whole(database):
    log = [event(n, timestamp=START, service=f"s{n}") for n in range(3)]
    database.insert("llm_events", event_table(log))
    database.insert("llm_ledger", ledger_table(log))
    database.insert(
        "llm_windows", partial_table([log[0], *(row | {"service": "__other__"} for row in log[1:])])
    )
    assert _audit(database).agrees
    database.do("ALTER TABLE {database}.llm_events DELETE WHERE service = 's2' SETTINGS mutations_sync = 1")
    assert "audit_minutes" in _differences(_audit(database))


def _sent_twice():
    first = [event(n, timestamp=START, event_id=f"e{n}") for n in range(SEGMENT_OFFSETS - 4, SEGMENT_OFFSETS)]
    again = [row | {"source_offset": row["source_offset"] + 10} for row in first[:2]]
    elsewhere = [first[3] | {"source_partition": 1, "source_offset": 0}]
    return first, again, elsewhere


def test_events_sent_again_across_segments_or_partitions_are_told_apart_from_losses(database):
    first, again, elsewhere = _sent_twice()
    gap = {"first_offset": SEGMENT_OFFSETS}
    database.store(first + elsewhere)
    database.store(again, **gap)
    report = _audit(database)
    assert not report.agrees
    assert report.is_explained_by_duplicates
    columns = report.duplicates.columns
    duplicates = [dict(zip(columns, row, strict=True)) for row in report.duplicates.rows]
    # The lowest offset keeps the row: of the third event that is the one in the other partition.
    assert [(d["event_id"], d["source_offset"], d["kept_offset"]) for d in duplicates] == [
        (first[3]["event_id"], first[3]["source_offset"], 0),
        (first[0]["event_id"], again[0]["source_offset"], first[0]["source_offset"]),
        (first[1]["event_id"], again[1]["source_offset"], first[1]["source_offset"]),
    ]
    found = _differences(report)
    assert set(found) == {"audit_minutes", "audit_series"}
    calls = next(row for row in found["audit_minutes"] if row["measure"] == "calls")
    assert (calls["in_windows"], calls["in_events"], calls["in_duplicates"], calls["unexplained"]) == (
        7,
        4,
        3,
        0,
    )


def _sent_again_with(**changes):
    first, again, _ = _sent_twice()
    return first, [row | changes for row in again]


def test_an_event_sent_again_with_other_values_is_told_apart_from_a_defect(database):
    first, again = _sent_again_with(input_tokens=11, cost_usd=Decimal("0.25"))
    database.store(first)
    database.store(again, first_offset=SEGMENT_OFFSETS)
    report = _audit(database)
    assert (report.is_explained_by_duplicates, report.may_be_changed_duplicates) == (False, True)
    for check in ("audit_minutes", "audit_series"):
        rows = {row["measure"]: row for row in _differences(report)[check]}
        assert rows["calls"]["explanation"] == "sent again"
        assert rows["output_tokens"]["explanation"] == "sent again"
        tokens = rows["input_tokens"]
        assert (tokens["unexplained"], tokens["explanation"]) == (-178, "sent again with other values?")


def test_a_sum_that_differs_beside_a_call_too_many_is_no_changed_copy(database):
    first, again = _sent_again_with(input_tokens=11)
    database.insert("llm_events", event_table(first + again))
    database.insert("llm_ledger", ledger_table(first))
    database.insert("llm_ledger", ledger_table(again, first_offset=SEGMENT_OFFSETS))
    database.insert("llm_windows", partial_table(first))
    once_more = partial_table(again).to_pylist()[0] | {"first_offset": SEGMENT_OFFSETS, "calls": 3}
    database.insert("llm_windows", pa.Table.from_pylist([once_more], schema=partial_table(again).schema))
    report = _audit(database, max_rows=1)
    assert {row["explanation"] for row in _differences(report)["audit_minutes"]} == {"none"}
    assert not report.is_explained_by_duplicates
    assert not report.may_be_changed_duplicates


def test_what_is_not_explained_stands_before_what_is_and_is_not_cut(database):
    first, again = _sent_again_with(output_tokens=11)
    database.store(first)
    database.store(again, first_offset=SEGMENT_OFFSETS)
    report = _audit(database, max_rows=1)
    (row,) = _differences(report)["audit_minutes"]
    assert row["measure"] == "output_tokens"
    assert not report.is_explained_by_duplicates


def test_counts_are_whole_numbers_and_money_is_exact(database):
    first, again, elsewhere = _sent_twice()
    database.store(first + elsewhere)
    database.store(again, first_offset=SEGMENT_OFFSETS)
    rows = {row["measure"]: row for row in _differences(_audit(database))["audit_minutes"]}
    assert {type(rows["calls"][name]) for name in ("in_windows", "in_events", "unexplained")} == {int}
    assert type(rows["input_tokens"]["in_duplicates"]) is int
    assert rows["cost_usd"]["in_duplicates"] == Decimal("0.0045")
    assert type(rows["cost_usd"]["unexplained"]) is Decimal


def test_duplicates_do_not_excuse_a_loss(database):
    first, again, elsewhere = _sent_twice()
    database.store(first + elsewhere)
    database.store(again, first_offset=SEGMENT_OFFSETS)
    kept = first[2]["source_offset"]
    database.do(
        f"ALTER TABLE {{database}}.llm_events DELETE WHERE source_offset = {kept} SETTINGS mutations_sync = 1"
    )
    report = _audit(database)
    assert not report.is_explained_by_duplicates
    assert [row["source_offset"] for row in _differences(report)["audit_lost_rows"]] == [kept]


def test_windows_that_count_a_repeated_event_once_agree_after_a_repair(database):
    """Only the report of duplicates stays, and it says that it is none of the windows' business any more."""
    first, again, elsewhere = _sent_twice()
    database.insert("llm_events", event_table(first + again + elsewhere))
    database.insert("llm_windows", partial_table(first))
    database.insert("llm_ledger", ledger_table(first + elsewhere))
    database.insert("llm_ledger", ledger_table(again, first_offset=SEGMENT_OFFSETS))
    report = _audit(database)
    assert report.differences == ()
    assert len(report.duplicates.rows) == 3


def test_one_id_under_two_times_is_two_rows_and_is_named(database):
    database.store([event(0, event_id="same"), event(1, event_id="same")])
    (row,) = _differences(_audit(database))["audit_event_ids"]
    assert (row["event_id"], row["rows"]) == ("same", 2)


def test_only_the_time_asked_for_is_compared(database):
    log = [event(0, timestamp=START), event(1, timestamp=START + timedelta(minutes=5))]
    database.insert("llm_events", event_table(log))
    database.insert("llm_ledger", ledger_table(log))
    database.insert("llm_windows", partial_table(log[1:]))
    assert not _audit(database).agrees
    assert _audit(database, since=START + timedelta(minutes=1)).agrees
    assert not _audit(database, until=START + timedelta(minutes=1)).agrees


def test_rows_past_the_limit_are_cut_and_said_to_be(database):
    database.insert("llm_windows", partial_table(_log()))
    database.insert("llm_ledger", ledger_table(_log()))
    results = {result.check.name: result for result in _audit(database, max_rows=2).differences}
    assert len(results["audit_minutes"].rows) == 2
    assert results["audit_minutes"].is_cut


def test_rows_whose_retention_has_ended_are_no_difference(new_database):
    database = new_database()
    migrate(database.client, database.name, retention=Retention(events_days=2, windows_days=10))
    log = [event(n, timestamp=START) for n in range(5)]
    database.store(log)
    for table in ("llm_events", "llm_occurrences", "llm_windows"):
        database.do(
            f"ALTER TABLE {{database}}.{table} UPDATE stored_at = now64(3) - INTERVAL 3 DAY WHERE 1 SETTINGS mutations_sync = 1"
        )
    database.do("TRUNCATE TABLE {database}.llm_events")
    assert _audit(database).agrees, _differences(_audit(database))


def test_a_name_that_is_no_identifier_is_refused(engine):
    with pytest.raises(InvalidIdentifierError):
        run_audit(engine, "x; DROP TABLE y")


class RefusedSettingsError(Exception):
    """What ClickHouse says of a SETTINGS clause."""

    def __init__(self, code):
        self.code = code


class ConstrainedClient:
    """A user who may not change how much memory a query takes."""

    def __init__(self, client, code):
        self._client, self._code = client, code

    def query(self, text, parameters=None):
        if "SETTINGS" in text:
            raise RefusedSettingsError(self._code)
        return self._client.query(text, parameters)


@pytest.mark.parametrize("code", [164, 452])
def test_where_limits_may_not_be_set_the_servers_own_hold(database, code):
    database.store(_log())
    assert run_audit(ConstrainedClient(database.client, code), database.name) == _audit(database)


def test_other_refusals_are_errors(database):
    with pytest.raises(RefusedSettingsError):
        run_audit(ConstrainedClient(database.client, 241), database.name)
