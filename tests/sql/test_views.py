"""The views over rows that each test makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.support.clickhouse_rows import START, event, event_table, ledger_table, partial_table
from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.schemas.anomaly import Anomaly
from tokentide.schemas.sketch import bucket_key, bucket_value
from tokentide.sinks.anomaly_rows import anomaly_rows
from tokentide.sql.catalogue import named_query


def test_an_event_inserted_twice_is_one_row(database):
    rows = event_table([event(0), event(1)])
    database.insert("llm_events", rows)
    database.insert("llm_events", rows)
    assert database.ask("SELECT event_id FROM {database}.events ORDER BY event_id") == [
        ("event-0",),
        ("event-1",),
    ]


def test_an_event_repeated_inside_one_insert_is_one_row(database):
    database.insert("llm_events", event_table([event(0), event(0)]))
    assert database.ask("SELECT count() FROM {database}.events") == [(1,)]


def test_the_same_record_inserted_again_under_other_prices_replaces_its_row(database):
    for cost in ("0.5", "0.25"):
        database.insert("llm_events", event_table([event(0, cost_usd=cost, model=f"priced-at-{cost}")]))
    assert database.ask("SELECT cost_usd, model FROM {database}.events") == [
        (Decimal("0.25"), "priced-at-0.25")
    ]


@pytest.mark.parametrize("later_first", [False, True])
def test_of_an_event_sent_twice_the_first_place_in_the_log_stays_in_any_order(database, later_first):
    first = event(7, event_id="twice", timestamp=START)
    later = event(SEGMENT_OFFSETS + 3, event_id="twice", timestamp=START)
    for row in [later, first] if later_first else [first, later]:
        database.insert("llm_events", event_table([row]))
    assert database.ask("SELECT source_offset FROM {database}.events") == [(7,)]


def test_at_the_same_offset_of_two_partitions_the_lower_partition_stays(database):
    for partition in (1, 0, 2):
        database.insert("llm_events", event_table([event(7, event_id="twice", source_partition=partition)]))
    assert database.ask("SELECT source_partition FROM {database}.events") == [(0,)]


def test_merging_in_the_background_gives_what_the_view_gave(database):
    for offset, cost in ((9, "1"), (4, "2"), (4, "3")):
        row = event(offset, event_id="same", timestamp=START, cost_usd=cost)
        database.insert("llm_events", event_table([row]))
    before = database.ask("SELECT * FROM {database}.events")
    database.do("OPTIMIZE TABLE {database}.llm_events FINAL")
    assert database.ask("SELECT source_offset, cost_usd FROM {database}.llm_events") == [(4, Decimal(3))]
    assert database.ask("SELECT * FROM {database}.events") == before


def test_every_place_of_an_event_is_kept_apart_from_its_row(database):
    for offset in (0, 5, 5):
        database.insert("llm_events", event_table([event(offset, event_id="same", timestamp=START)]))
    places = "SELECT source_offset, window_start FROM {database}.llm_occurrences FINAL ORDER BY ALL"
    minute = START.replace(tzinfo=None)
    assert database.ask(places) == [(0, minute), (5, minute)]


def test_windows_add_segments_and_partitions(database):
    log = [
        event(0, timestamp=START, duration_ms=100.0),
        event(SEGMENT_OFFSETS, timestamp=START, duration_ms=400.0, status="error", error_class="timeout"),
        event(1, event_id="p1", source_partition=1, timestamp=START, status="error", error_class="server"),
    ]
    database.store(log)
    assert database.dicts(
        "SELECT window_start, service, calls, errors, errors_by_class, cost_usd, duration_max_us, duration_ms_sketch "
        "FROM {database}.windows"
    ) == [
        {
            "window_start": START.replace(tzinfo=None),
            "service": "chat",
            "calls": 3,
            "errors": 2,
            "errors_by_class": {"timeout": 1, "server": 1},
            "cost_usd": Decimal("0.0045"),
            "duration_max_us": 400_000,
            "duration_ms_sketch": {bucket_key(100.0): 1, bucket_key(250.0): 1, bucket_key(400.0): 1},
        }
    ]


def test_only_the_highest_version_of_a_partial_counts_in_any_order(database):
    log = [event(offset, timestamp=START) for offset in range(5)]
    database.insert("llm_ledger", ledger_table(log))
    for read_up_to in (3, 5, 2, 5):
        database.insert("llm_windows", partial_table(log[:read_up_to], version=read_up_to))
    assert database.ask("SELECT calls FROM {database}.windows") == [(5,)]


def test_partials_count_only_with_the_fold_that_the_ledger_names(database):
    log = [event(offset, timestamp=START) for offset in range(5)]
    dearer = [row | {"cost_usd": Decimal(1), "model": "gpt-4o-new-name"} for row in log]
    database.store(log[:3], fold=1)
    database.insert("llm_windows", partial_table(dearer, fold=2))
    totals = "SELECT sum(calls), sum(cost_usd), groupUniqArray(model) FROM {database}.windows"
    assert database.ask(totals) == [(3, Decimal("0.0045"), ["gpt-4o"])]

    database.insert("llm_ledger", ledger_table(dearer, fold=2))
    assert database.ask(totals) == [(5, Decimal(5), ["gpt-4o-new-name"])]


def test_a_new_fold_of_one_segment_leaves_the_other_segments_alone(database):
    first, second = event(0, timestamp=START), event(SEGMENT_OFFSETS, timestamp=START)
    database.store([first, second], fold=1)
    database.insert("llm_windows", partial_table([second | {"cost_usd": Decimal(7)}], fold=2))
    database.insert("llm_ledger", ledger_table([second], fold=2))
    assert database.ask("SELECT calls, cost_usd FROM {database}.windows") == [(2, Decimal("7.0015"))]


@pytest.mark.parametrize("seconds", [61, 30, 7 * 60, 172_800])
def test_windows_of_a_length_that_does_not_divide_a_day_are_refused(database, seconds):
    database.store([event(0)])
    for view in ("windows_every", "costs_every", "latency_every"):
        with pytest.raises(DatabaseError, match="multiple of 60 that divides a day"):
            database.ask(f"SELECT * FROM {{database}}.{view}(seconds = {seconds})")


def test_partials_without_a_ledger_row_do_not_count(database):
    database.insert("llm_windows", partial_table([event(0)]))
    assert database.ask("SELECT count() FROM {database}.windows") == [(0,)]


def test_windows_of_five_minutes_begin_at_full_five_minutes(database):
    database.store([event(n, timestamp=START + timedelta(minutes=n)) for n in range(12)])
    assert database.ask(
        "SELECT window_start, calls FROM {database}.windows_every(seconds = 300) ORDER BY window_start"
    ) == [
        (datetime(2024, 3, 1, 12, 0), 5),  # noqa: DTZ001 - the client returns UTC without a zone
        (datetime(2024, 3, 1, 12, 5), 5),  # noqa: DTZ001
        (datetime(2024, 3, 1, 12, 10), 2),  # noqa: DTZ001
    ]


def test_windows_of_a_day_begin_at_midnight_utc(database):
    late = datetime(2024, 3, 1, 23, 59, 30, tzinfo=UTC)
    database.store([event(0, timestamp=late), event(1, timestamp=late + timedelta(minutes=1))])
    assert database.ask(
        "SELECT toString(window_start), calls FROM {database}.windows_every(seconds = 86400) ORDER BY 1"
    ) == [("2024-03-01 00:00:00", 1), ("2024-03-02 00:00:00", 1)]


def test_error_rates_leave_cancelled_calls_and_tests_out(database):
    database.store(
        [
            event(0, timestamp=START, status="error", error_class="timeout", error_owner="provider"),
            event(
                1, timestamp=START, status="error", error_class="invalid_request", error_owner="application"
            ),
            event(2, timestamp=START),
            event(3, timestamp=START),
            event(4, timestamp=START, status="cancelled"),
            event(5, timestamp=START, status="error", test=True),
        ]
    )
    (row,) = database.dicts("SELECT * FROM {database}.error_rates")
    assert (row["calls"], row["cancelled_calls"], row["finished_calls"], row["errors"]) == (5, 1, 4, 2)
    assert (row["error_rate"], row["availability"]) == (0.5, 0.5)
    assert (row["provider_errors"], row["provider_error_rate"]) == (1, 0.25)
    assert (row["application_errors"], row["user_errors"], row["user_error_rate"]) == (1, 0, 0.0)
    assert row["error_rate_by_class"] == {"timeout": 0.25, "invalid_request": 0.25}


def test_rates_are_null_where_nothing_was_counted(database):
    database.store([event(0, status="cancelled", duration_ms=None, cost_usd=None, input_tokens=None)])
    (errors,) = database.dicts("SELECT * FROM {database}.error_rates")
    assert (errors["errors"], errors["finished_calls"], errors["error_rate"]) == (0, 0, None)
    (costs,) = database.dicts("SELECT * FROM {database}.costs")
    assert (costs["calls"], costs["priced_calls"], costs["coverage"]) == (1, 0, 0.0)
    assert (costs["cost_usd"], costs["cost_per_call_usd"], costs["estimated_share"]) == (None, None, None)
    (latency,) = database.dicts("SELECT * FROM {database}.latency")
    assert (latency["duration_mean_ms"], latency["duration_p95_ms"], latency["duration_max_ms"]) == (
        None,
        None,
        None,
    )
    (cache,) = database.dicts("SELECT * FROM {database}.prompt_cache_hit_rates")
    assert (cache["input_tokens"], cache["prompt_cache_hit_rate"]) == (0, None)


def test_costs_are_exact_and_say_how_much_they_cover(database):
    database.store(
        [
            event(0, timestamp=START, cost_usd="0.000000000001"),
            event(1, timestamp=START, cost_usd="0.1"),
            event(2, timestamp=START, cost_usd=None),
        ]
    )
    (row,) = database.dicts("SELECT * FROM {database}.costs")
    assert row["cost_usd"] == Decimal("0.100000000001")
    assert row["cost_per_call_usd"] == Decimal("0.050000000000")  # rounded down to 12 decimals
    assert (row["priced_calls"], row["calls"], row["coverage"]) == (2, 3, 2 / 3)


def test_context_hit_rate_is_a_share_of_what_was_reported(database):
    reports = (True, True, True, False, None)
    database.store(
        [event(n, timestamp=START, turn=2, context_hit=hit) for n, hit in enumerate(reports)]
        + [event(9, timestamp=START, turn=1, context_hit=False)]
    )
    (row,) = database.dicts("SELECT * FROM {database}.context_hit_rates")
    assert (row["multi_turn_calls"], row["context_reported_calls"], row["context_hits"]) == (5, 4, 3)
    assert (row["reported_share"], row["context_hit_rate"]) == (0.8, 0.75)


def test_prompt_cache_hit_rate_is_weighted_by_tokens(database):
    database.store(
        [
            event(0, timestamp=START, input_tokens=900, cache_read_input_tokens=450),
            event(1, timestamp=START, input_tokens=100),
        ]
    )
    (row,) = database.dicts("SELECT * FROM {database}.prompt_cache_hit_rates")
    assert (row["cache_read_input_tokens"], row["input_tokens"], row["prompt_cache_hit_rate"]) == (
        450,
        1000,
        0.45,
    )


def test_latency_quantiles_are_the_nearest_rank_of_the_sketch(database):
    database.store([event(n, timestamp=START, duration_ms=float(n + 1)) for n in range(100)])
    (row,) = database.dicts("SELECT * FROM {database}.latency")
    assert row["duration_calls"] == 100
    assert row["duration_mean_ms"] == 50.5
    assert row["duration_max_ms"] == 100.0
    for percent in (50, 90, 95, 99):
        assert row[f"duration_p{percent}_ms"] == bucket_value(bucket_key(float(percent)))


def test_a_quantile_is_never_above_the_maximum(database):
    """The middle of the bucket of 105 ms lies above 105 ms."""
    assert bucket_value(bucket_key(105.0)) > 105.0
    database.store(
        [
            event(0, timestamp=START, duration_ms=105.0),
            event(1, timestamp=START, service="other", duration_ms=None),
        ]
    )
    columns = ", ".join(f"duration_p{percent}_ms" for percent in (50, 90, 95, 99))
    rows = database.ask(
        f"SELECT {columns}, duration_max_ms FROM {{database}}.latency ORDER BY duration_calls"
    )
    assert rows == [(None,) * 5, (105.0,) * 5]


def test_latency_quantiles_of_several_rows_come_from_their_merged_sketches(database):
    database.store(
        [event(n, timestamp=START + timedelta(minutes=n % 3), duration_ms=float(n + 1)) for n in range(100)]
    )
    merged = "SELECT tokentide_quantile(sumMap(duration_ms_sketch), 0.9) FROM {database}.latency"
    assert database.ask(merged) == [(bucket_value(bucket_key(90.0)),)]
    by_hour = "SELECT duration_p90_ms FROM {database}.latency_every(seconds = 3600)"
    assert database.ask(by_hour) == [(bucket_value(bucket_key(90.0)),)]


def test_the_stages_and_the_unaccounted_add_up_to_the_whole(database):
    database.insert("llm_ledger", ledger_table([event(0)]))
    partial = partial_table([event(0)]).to_pylist()[0] | {
        "staged_calls": 2,
        "staged_duration_us": 1_000_000,
        "staged_stages_us": 800_000,
        "stages_model_calls": 2,
        "stages_model_us": 700_000,
        "stages_model_ms_sketch": [(bucket_key(350.0), 2)],
        "stages_queue_calls": 1,
        "stages_queue_us": 100_000,
        "stages_queue_ms_sketch": [(bucket_key(100.0), 1)],
    }
    database.insert("llm_windows", partial_table([]).from_pylist([partial], schema=partial_table([]).schema))
    rows = database.ask(
        "SELECT stage, stage_calls, stage_total_ms, stage_mean_ms, stage_p95_ms, whole_ms, share "
        "FROM {database}.latency_breakdown ORDER BY share DESC"
    )
    assert rows == [
        ("model", 2, 700.0, 350.0, bucket_value(bucket_key(350.0)), 1000.0, 0.7),
        ("unaccounted", 2, 200.0, 100.0, None, 1000.0, 0.2),
        ("queue", 1, 100.0, 100.0, bucket_value(bucket_key(100.0)), 1000.0, 0.1),
    ]


def test_the_ledger_shows_the_newest_state_of_a_segment(database):
    log = [event(offset) for offset in range(5)]
    for read_up_to in (5, 3):
        database.insert("llm_ledger", ledger_table(log[:read_up_to]))
    assert database.ask("SELECT segment, version, events FROM {database}.ledger") == [(0, 5, 5)]


def test_an_unknown_fraction_is_an_error_not_a_number(database):
    with pytest.raises(DatabaseError) as caught:
        database.ask("SELECT tokentide_quantile(map(toInt16(1), toInt64(1)), 1.5)")
    assert caught.value.code == 395


def _incident(revision, **changes):
    fields = {
        "anomaly_id": "a" * 32,
        "revision": revision,
        "state": "open",
        "rule": "error_rate",
        "metric": "error_rate",
        "unit": "ratio",
        "severity": "warning",
        "series": {"service": "chat"},
        "started_at": "2024-03-01T12:00:00Z",
        "updated_at": f"2024-03-01T12:0{revision}:00Z",
        "window_start": "2024-03-01T12:00:00Z",
        "window_seconds": 300,
        "value": f"0.{revision}",
        "limit": "0.05",
        "samples": 20,
        "summary": "errors",
    }
    return Anomaly.model_validate(fields | changes)


def test_an_incident_is_shown_in_its_latest_state_in_any_order(database):
    resolved = _incident(3, state="resolved", resolved_at="2024-03-01T12:03:00Z")
    for anomaly in (_incident(1), resolved, _incident(2)):
        database.insert("llm_anomalies", anomaly_rows([anomaly]))
    assert database.ask("SELECT revision, state, value, `limit`, series FROM {database}.anomalies") == [
        (3, "resolved", Decimal("0.3"), Decimal("0.05"), {"service": "chat"})
    ]


def test_an_occurrence_is_stored_at_the_same_moment_as_its_row(database):
    """Retention tells by it whether a row must still be there."""
    database.insert("llm_events", event_table([event(0), event(1)]))
    events = database.ask("SELECT source_offset, stored_at FROM {database}.llm_events ORDER BY ALL")
    assert (
        database.ask("SELECT source_offset, stored_at FROM {database}.llm_occurrences ORDER BY ALL") == events
    )


def test_the_query_of_latency_by_service_merges_the_sketches_of_all_series(database):
    database.store(
        [event(n, timestamp=START, model=f"model-{n % 4}", duration_ms=float(n + 1)) for n in range(100)]
    )
    (row,) = database.dicts(
        named_query("latency_by_service"),
        since="2024-03-01 00:00:00",
        until="2024-03-02 00:00:00",
        seconds=3600,
    )
    assert (row["service"], row["duration_calls"], row["duration_mean_ms"]) == ("chat", 100, 50.5)
    assert row["duration_p95_ms"] == bucket_value(bucket_key(95.0))


def test_the_query_of_costs_by_day_adds_all_series_and_names_the_coverage(database):
    database.store(
        [
            event(n, timestamp=START + timedelta(hours=n), service=f"s{n}", cost_usd=cost)
            for n, cost in enumerate(["1.5", "2.25", None])
        ]
    )
    rows = database.dicts(
        named_query("costs_by_day"), since="2024-03-01 00:00:00", until="2024-03-02 00:00:00"
    )
    assert [(str(row["day"]), row["calls"], row["priced_calls"], row["cost_usd"]) for row in rows] == [
        ("2024-03-01", 3, 2, Decimal("3.75"))
    ]
