"""Calls made of parts and judgements that come later: the tables, the views, and databases that knew neither."""

from __future__ import annotations

import re
from datetime import timedelta

import pyarrow as pa
import pytest

from tests.support.clickhouse_rows import (
    SOURCE,
    START,
    evaluation,
    evaluation_table,
    event,
    event_table,
    ledger_table,
    partial_table,
)
from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.schemas.arrow import EVENT_ROWS, LEDGER_ROWS
from tokentide.sql.audit import run_audit
from tokentide.sql.catalogue import Catalogue, catalogue
from tokentide.sql.migrate import migrate
from tokentide.sql.retention import Retention, current_days
from tokentide.sql.statements import split_statements

MIGRATION = "0008_parts_and_evaluations"
JUDGED = START + timedelta(days=1)


def _judge(database, *evaluations):
    database.insert("llm_evaluations", evaluation_table(evaluations))


def _call(offset, request=None, **fields):
    return event(offset, request_id=f"request-{offset if request is None else request}", **fields)


# calls made of parts


def test_a_call_says_what_it_was_made_of_and_whether_a_part_is_missing(database):
    database.insert(
        "llm_events",
        event_table(
            [
                event(0),
                event(1, assembled_from="request+response", incomplete=None),
                event(2, assembled_from="request", incomplete=True, source_index=-1),
            ]
        ),
    )
    assert database.ask(
        "SELECT assembled_from, incomplete FROM {database}.events ORDER BY source_offset"
    ) == [
        ("", None),
        ("request+response", None),
        ("request", True),
    ]


def _given_up(*indexes, at=5):
    return [
        event(at, event_id=f"given-up{index}", source_index=index, incomplete=True, assembled_from="request")
        for index in indexes
    ]


def test_calls_given_up_at_one_record_have_places_of_their_own_beside_its_events(database):
    """The lowest place that 32 bits hold, too."""
    log = [event(5), event(5, event_id="second", source_index=1), *_given_up(-1, -2, -(2**31))]
    for _ in range(2):
        database.insert("llm_events", event_table(log))
    database.do("OPTIMIZE TABLE {database}.llm_occurrences FINAL")
    places = [(5, -(2**31)), (5, -2), (5, -1), (5, 0), (5, 1)]
    for table in ("llm_occurrences", "events"):
        assert (
            database.ask(f"SELECT source_offset, source_index FROM {{database}}.{table} ORDER BY ALL")
            == places
        )


def test_a_call_that_was_given_up_and_is_lost_is_named_by_its_place(database):
    log = [event(5), *_given_up(-1, -2)]
    database.store(log, parts=2)
    assert run_audit(database.client, database.name).agrees
    database.do(
        "ALTER TABLE {database}.llm_events DELETE WHERE source_index = -2 SETTINGS mutations_sync = 1"
    )
    lost = next(
        result
        for result in run_audit(database.client, database.name).differences
        if result.check.name == "audit_lost_rows"
    )
    assert [row[:4] for row in lost.rows] == [(SOURCE, 0, 5, -2)]


def test_the_ledger_shows_where_parts_still_wait(database):
    waiting = {"parts": 3, "pending_offsets": [2, 7, 7], "pending_items": [0, 0, 4]}
    database.insert("llm_ledger", ledger_table([event(9)], **waiting))
    query = "SELECT parts, pending_offsets, pending_items, items FROM {database}.ledger"
    assert database.ask(query) == [(3, [2, 7, 7], [0, 0, 4], 4)]


# evaluations


def test_an_evaluation_inserted_twice_is_one_row(database):
    for _ in range(2):
        _judge(database, evaluation(0), evaluation(1, quality_score=None, quality_label="thumbs_up"))
    assert database.ask(
        "SELECT event_id, quality_score, quality_label FROM {database}.evaluations ORDER BY event_id"
    ) == [("evaluation-0", 0.5, ""), ("evaluation-1", None, "thumbs_up")]


@pytest.mark.parametrize("later_first", [False, True])
def test_of_an_evaluation_at_several_places_the_first_in_the_log_is_shown_in_any_order(database, later_first):
    def place(offset, partition, index):
        return evaluation(
            offset,
            event_id="judged",
            request_id="r",
            source_partition=partition,
            source_index=index,
            quality_label=f"{offset}/{partition}/{index}",
        )

    places = [place(7, 1, 3), place(7, 1, 4), place(7, 2, 0), place(SEGMENT_OFFSETS, 0, 0)]
    for row in reversed(places) if later_first else places:
        _judge(database, row)
    assert database.ask("SELECT event_id, quality_label FROM {database}.evaluations") == [("judged", "7/1/3")]


def test_a_filter_that_the_first_place_does_not_meet_shows_no_other_place(database):
    _judge(database, evaluation(0, event_id="judged", service="first"))
    _judge(database, evaluation(1, event_id="judged", service="second"))
    of_service = "SELECT event_id FROM {database}.evaluations WHERE service = {s:String}"
    assert database.ask(of_service, s="first") == [("judged",)]
    assert database.ask(of_service, s="second") == []


def test_every_judgement_of_a_call_stands_beside_it(database):
    call = _call(3, prompt_name="summary", prompt_version="2", variant="b", environment="staging")
    database.insert("llm_events", event_table([call]))
    _judge(
        database,
        evaluation(3, event_id="by-user", quality_label="thumbs_down", quality_score=None),
        evaluation(4, event_id="by-model", request_id="request-3", timestamp=JUDGED + timedelta(hours=1)),
    )
    common = {
        "timestamp": call["timestamp"].replace(tzinfo=None),
        "service": "chat",
        "environment": "staging",
        "model": "gpt-4o",
        "prompt_name": "summary",
        "prompt_version": "2",
        "variant": "b",
        "request_id": "request-3",
        "call_event_id": "event-3",
        "test": None,
    }
    judged = JUDGED.replace(tzinfo=None)
    by_user = {"evaluation_id": "by-user", "quality_score": None, "quality_label": "thumbs_down"}
    by_model = {"evaluation_id": "by-model", "quality_score": 0.5, "quality_label": ""}
    assert database.dicts("SELECT * FROM {database}.evaluated_calls ORDER BY evaluated_at") == [
        common | by_user | {"evaluated_at": judged},
        common | by_model | {"evaluated_at": judged + timedelta(hours=1)},
    ]


def test_a_judgement_without_a_call_is_shown_with_what_it_knows(database):
    database.insert(
        "llm_events",
        event_table([_call(0, service="other"), _call(1), event(2), event(3, request_id="")]),
    )
    _judge(database, evaluation(0, environment="staging"))
    (row,) = database.dicts("SELECT * FROM {database}.evaluated_calls")
    assert (row["call_event_id"], row["timestamp"], row["model"], row["test"]) == ("", None, "", None)
    assert (row["service"], row["environment"], row["request_id"]) == ("chat", "staging", "request-0")
    assert (row["evaluation_id"], row["quality_score"]) == ("evaluation-0", 0.5)


def test_the_same_request_id_in_two_services_is_two_requests(database):
    calls = [_call(n, request=0, service=service) for n, service in ((1, "chat"), (2, "search"))]
    database.insert("llm_events", event_table(calls))
    _judge(
        database,
        *(evaluation(0, event_id=s, source_index=n, service=s) for n, s in enumerate(["search", "chat"])),
    )
    assert database.ask(
        "SELECT evaluation_id, service, call_event_id FROM {database}.evaluated_calls ORDER BY service"
    ) == [("chat", "chat", "event-1"), ("search", "search", "event-2")]


def test_of_several_calls_of_a_request_the_latest_is_judged_and_each_judgement_is_one_row(database):
    calls = [_call(offset, request=0, timestamp=START + timedelta(minutes=offset)) for offset in (1, 3, 2)]
    database.insert("llm_events", event_table(calls))
    _judge(database, evaluation(0))
    assert database.ask("SELECT evaluation_id, call_event_id FROM {database}.evaluated_calls") == [
        ("evaluation-0", "event-3")
    ]


def test_a_filter_that_the_judged_call_does_not_meet_shows_no_other_call(database):
    calls = [_call(offset, request=0, timestamp=START + timedelta(minutes=offset)) for offset in (1, 3)]
    database.insert("llm_events", event_table(calls))
    _judge(database, evaluation(0))
    earlier = START + timedelta(minutes=2)
    query = f"SELECT call_event_id FROM {{database}}.evaluated_calls WHERE timestamp %s '{earlier:%Y-%m-%d %H:%M:%S}'"
    assert database.ask(query % ">") == [("event-3",)]
    assert database.ask(query % "<") == []


def test_an_answer_is_judged_before_the_request_that_was_given_up_after_it(database):
    """Given up, a request counts at the end of its wait: later than the answer that came too late for it."""
    answer = _call(1, request=0, timestamp=START, assembled_from="response", incomplete=True)
    request = _call(
        2, request=0, timestamp=START + timedelta(minutes=15), assembled_from="request", incomplete=True
    )
    database.insert("llm_events", event_table([answer, request]))
    _judge(database, evaluation(0))
    assert database.ask("SELECT call_event_id FROM {database}.evaluated_calls") == [("event-1",)]


def test_a_request_that_nothing_answered_is_judged_if_there_is_nothing_else(database):
    database.insert("llm_events", event_table([_call(1, request=0, assembled_from="request")]))
    _judge(database, evaluation(0))
    assert database.ask("SELECT call_event_id FROM {database}.evaluated_calls") == [("event-1",)]


def test_a_judged_test_call_can_be_left_out(database):
    database.insert("llm_events", event_table([_call(0, test=True), _call(1)]))
    _judge(database, evaluation(0), evaluation(1))
    counted = "SELECT evaluation_id FROM {database}.evaluated_calls WHERE NOT ifNull(test, false)"
    assert database.ask(counted) == [("evaluation-1",)]


def test_judgements_are_in_no_window(database):
    database.store([_call(0)], evaluations=1)
    _judge(database, evaluation(0))
    assert database.ask("SELECT calls, quality_scored_calls FROM {database}.windows") == [(1, 0)]


@pytest.fixture(scope="module")
def many(engine):
    """100,000 calls, and as many evaluations of the first 5 of them; each table in one part, so that only an index leaves rows out."""
    name = "many_evaluations"
    migrate(engine, name)
    evaluations = "INSERT INTO {}.llm_evaluations (source, source_offset, event_id, service, request_id) SELECT 'log', number, {}"
    engine.command(
        evaluations.format(
            name, "toString(number), 'chat', toString(intDiv(number, 20000)) FROM numbers(100000)"
        )
    )
    calls = "INSERT INTO {}.llm_events (source, source_offset, event_id, service, request_id, timestamp) SELECT 'log', number, {}"
    values = (
        f"toString(number), 'chat', toString(number), toDateTime64('{START:%Y-%m-%d}', 6, 'UTC') + number"
    )
    engine.command(calls.format(name, f"{values} FROM numbers(100000)"))
    yield name
    engine.command(f"DROP DATABASE {name} SYNC")


def _share_read(engine, query, table):
    """Of the granules of a table, by the reading of it that reads the least."""
    plan = "\n".join(row[0] for row in engine.query(f"EXPLAIN indexes = 1 {query}").result_rows)
    readings = [text for text in plan.split("ReadFromMergeTree (")[1:] if text.startswith(table)]
    steps = [re.findall(r"Granules: (\d+)/(\d+)", text) for text in readings]
    return min(int(of_reading[-1][0]) / int(of_reading[0][1]) for of_reading in steps)


def test_the_judgements_of_a_request_are_found_by_its_index(engine, many):
    query = f"SELECT event_id FROM {many}.evaluations WHERE request_id = '3'"
    assert _share_read(engine, query, f"{many}.llm_evaluations") < 0.5
    assert len(engine.query(query).result_rows) == 20_000


def test_the_judged_call_of_a_request_is_found_by_its_index(engine, many):
    query = f"SELECT call_event_id FROM {many}.evaluated_calls WHERE request_id = '3'"
    assert _share_read(engine, query, f"{many}.llm_events") < 0.5
    assert engine.query(query).result_rows == [("3",)] * 20_000


def test_calls_that_nobody_judged_are_not_read(engine, many):
    query = f"SELECT call_event_id FROM {many}.evaluated_calls"
    assert _share_read(engine, query, f"{many}.llm_events") < 0.5
    assert len(set(engine.query(query).result_rows)) == 5


# databases that knew neither


@pytest.fixture
def older(new_database):
    """A database as it was before, with what a worker left in it."""
    database = new_database()
    before = tuple(file for file in catalogue().migrations if file.name < MIGRATION)
    migrate(database.client, database.name, schema=Catalogue(before, (), ()))
    log = [event(n, error_class="timeout", status="error") for n in range(3)]
    for table, rows in (
        ("llm_events", event_table(log)),
        ("llm_windows", partial_table(log)),
        ("llm_ledger", ledger_table(log)),
    ):
        known = [name for name in rows.column_names if name in _columns(database, table)]
        database.insert(table, rows.select(known))
    return database


def _columns(database, table):
    query = (
        "SELECT name FROM system.columns WHERE database = {d:String} AND table = {t:String} ORDER BY position"
    )
    return [name for (name,) in database.ask(query, d=database.name, t=table)]


def test_an_older_database_gets_the_columns_once_and_where_the_contract_has_them(older):
    assert "parts" not in _columns(older, "llm_ledger")
    steps = [step.name for step in migrate(older.client, older.name) if step.kind == "migration"]
    assert steps[0] == MIGRATION
    assert _columns(older, "llm_ledger") == [*LEDGER_ROWS.names, "stored_at"]
    assert _columns(older, "llm_events") == [*EVENT_ROWS.names, "stored_at", "occurrence_rank"]
    assert migrate(older.client, older.name) == []


def test_the_migration_may_be_cut_short_and_run_again(older):
    (file,) = (file for file in catalogue().migrations if file.name == MIGRATION)
    first, *_ = split_statements(file.text)
    older.do(first)
    assert MIGRATION in [step.name for step in migrate(older.client, older.name)]
    for statement in split_statements(file.text):
        older.do(statement)
    assert _columns(older, "llm_ledger") == [*LEDGER_ROWS.names, "stored_at"]


def test_rows_of_an_older_release_are_whole_calls_and_still_add_up(older):
    migrate(older.client, older.name)
    report = run_audit(older.client, older.name)
    assert report.agrees
    assert (report.totals.events, report.totals.parts, report.totals.evaluations) == (3, 0, 0)
    assert older.ask("SELECT DISTINCT assembled_from, incomplete FROM {database}.events") == [("", None)]
    older.store([event(SEGMENT_OFFSETS, assembled_from="request+response")], parts=1)
    assert older.ask("SELECT segment, items, pending_offsets FROM {database}.ledger ORDER BY segment") == [
        (0, 3, []),
        (1, 2, []),
    ]
    assert older.ask("SELECT sum(calls) FROM {database}.windows") == [(4,)]


def test_an_older_worker_may_go_on_writing_after_the_migration(older):
    ledger = ledger_table([event(SEGMENT_OFFSETS)])
    known = [name for name in ledger.column_names if name in _columns(older, "llm_ledger")]
    migrate(older.client, older.name)
    older.insert("llm_ledger", ledger.select(known))
    assert older.ask("SELECT items, parts, pending_items FROM {database}.ledger WHERE segment = 1") == [
        (1, 0, [])
    ]


def test_what_a_migration_says_anew_changes_no_type_and_no_codec(older):
    def layout():
        return older.ask(
            "SELECT table, name, type, compression_codec FROM system.columns "
            "WHERE database = {d:String} AND table LIKE 'llm\\_%'",
            d=older.name,
        )

    before = layout()
    assert before
    migrate(older.client, older.name)
    assert set(before) <= set(layout())


def test_evaluations_are_kept_as_long_as_events_from_their_storing_on(new_database):
    database = new_database()
    migrate(database.client, database.name, retention=Retention(events_days=1, windows_days=9))
    assert current_days(database.client, database.name)["llm_evaluations"] == 1
    _judge(database, evaluation(0, event_id="stays", timestamp=START - timedelta(days=4000)))
    rows = evaluation_table([evaluation(1, event_id="goes")])
    long_ago = pa.array([START], pa.timestamp("ms", "UTC"))
    database.insert("llm_evaluations", rows.append_column("stored_at", long_ago))
    database.do("OPTIMIZE TABLE {database}.llm_evaluations FINAL")
    assert database.ask("SELECT event_id FROM {database}.llm_evaluations") == [("stays",)]
