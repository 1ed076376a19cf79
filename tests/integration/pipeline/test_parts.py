"""Calls sent in parts, and evaluations: over a segment's end, a worker that is killed, and one that begins after it."""

from __future__ import annotations

import json
import time
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType

from bench.load import load
from tests.integration.conftest import NewPipeline
from tests.support.pipeline import Pipeline
from tokentide.schemas.aggregates import SEGMENT_OFFSETS

NOON_MS = 1_769_860_800_000
WAIT_MS = 900_000


def event(kind: str, request_id: str, *, at_s: float = 0, **fields: Any) -> dict[str, Any]:
    return {
        "event_type": kind,
        "event_id": f"{kind}-{request_id}",
        "timestamp": NOON_MS / 1_000 + at_s,
        "service": "shop",
        "request_id": request_id,
        **fields,
    }


def send(running: Pipeline, *events: dict[str, Any], at_ms: int = NOON_MS + 60_000) -> None:
    """One record each, with this record time."""
    with running.broker.producer() as producer:
        for each in events:
            key = str(each.get("request_id", "")).encode()
            producer.send(
                f"{running.prefix}events", key=key, value=json.dumps(each).encode(), timestamp_ms=at_ms
            )
        producer.flush()


def let_senders_date_records(running: Pipeline) -> None:
    """Else the broker stamps them, and a test waits as long as a request does; the embedded broker never stamps."""
    if running.broker.kind == "apache_kafka":
        configs = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        with running.broker.admin() as admin:
            admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, f"{running.prefix}events", configs)]
            )


def of_one_partition(new_pipeline: NewPipeline, **settings: str) -> Pipeline:
    """Its records have the times that senders give them; a killed worker's partition is free after three seconds."""
    running = new_pipeline(
        TOKENTIDE_TOPICS_PARTITIONS="1",
        TOKENTIDE_WORKER_SESSION_TIMEOUT_SECONDS="3",
        TOKENTIDE_WORKER_HEARTBEAT_SECONDS="1",
        **settings,
    )
    let_senders_date_records(running)
    return running


def fill(running: Pipeline, records: int) -> None:
    """Records up to an offset: calls of another service."""
    filler = [
        json.dumps({"event_id": f"f{number}", "timestamp": NOON_MS // 1_000, "service": "filler"}).encode()
        for number in range(records)
    ]
    load(running.broker.bootstrap_servers, f"{running.prefix}events", filler, partitions=1)


COLUMNS = "request_id, event_id, assembled_from, incomplete, status, error_class, duration_ms, output_tokens, source_offset, source_index"


def rows(running: Pipeline) -> list[tuple[Any, ...]]:
    found = running.client.query(
        f"SELECT {COLUMNS} FROM events WHERE service = 'shop' ORDER BY source_offset, source_index"
    ).result_rows
    return [tuple(row) for row in found]


def test_parts_are_joined_over_a_segments_end_by_a_worker_that_never_saw_them_arrive(
    new_pipeline: NewPipeline,
) -> None:
    running = of_one_partition(new_pipeline)
    end = SEGMENT_OFFSETS
    fill(running, end - 4)
    requests = [event("request", name, request_model="gpt-4o-mini") for name in ("a", "b", "c")]
    send(running, *requests, event("evaluation", "a", quality={"score": 0.5}))
    running.start_workers(1)
    running.wait()
    running.kill_worker(0)
    ((pending, items),) = running.client.query(
        "SELECT pending_offsets, pending_items FROM ledger WHERE segment = 0"
    ).result_rows
    assert (list(pending), list(items)) == ([end - 4, end - 3, end - 2], [0, 0, 0])
    assert rows(running) == []

    running.start_workers(1)
    send(running, event("response", "a", at_s=1.5, output_tokens=7), event("error", "b", at_s=2))
    running.wait()
    joined = [
        ("a", "response-a", "request+response", None, "ok", "", 1500.0, 7, end, 0),
        ("b", "error-b", "request+error", None, "error", "other", 2000.0, None, end + 1, 0),
    ]
    assert rows(running) == joined
    running.kill_worker(1)

    # Whoever folds the new segment again begins with what waited at its start, and joins it again.
    running.start_workers(1)
    late = {"event_id": "late", "timestamp": NOON_MS / 1_000, "service": "shop"}
    send(running, late, at_ms=NOON_MS + 60_000 + WAIT_MS)
    running.wait()
    assert rows(running) == [
        *joined,
        ("c", "request-c", "request", True, "error", "timeout", None, None, end + 2, -1),
        ("", "late", "", None, "ok", "", None, None, end + 2, 0),
    ]
    counted = running.one(
        "SELECT sum(items) AS items, sum(events) AS events, sum(parts) AS parts, sum(evaluations) AS evaluations, "
        "sum(incomplete_events) AS incomplete FROM ledger"
    )
    expected = {"items": end + 3, "events": end, "parts": 3, "evaluations": 1, "incomplete": 1}
    assert {name: int(number) for name, number in counted.items()} == expected
    windows = running.one(
        "SELECT sum(calls) AS calls, sum(errors) AS errors FROM windows WHERE service = 'shop'"
    )
    assert (int(windows["calls"]), int(windows["errors"])) == (4, 2)
    judged = running.one("SELECT call_event_id, quality_score, model FROM evaluated_calls")
    assert judged == {"call_event_id": "response-a", "quality_score": 0.5, "model": "gpt-4o-mini"}
    running.run("audit")


def test_a_request_that_waits_far_back_is_found_without_reading_all_that_lies_between(
    new_pipeline: NewPipeline,
) -> None:
    """Fetches are so small that the segment takes ten of them; all but the first and the last are left out."""
    running = of_one_partition(new_pipeline, TOKENTIDE_WORKER_FETCH_MAX_PARTITION_BYTES="65536")
    now_ms = round(time.time() * 1_000)  # as the filler, which it must not outwait
    send(running, event("request", "a", request_model="gpt-4o-mini"), at_ms=now_ms)
    fill(running, SEGMENT_OFFSETS + 100)
    running.start_workers(1)
    running.wait()
    running.kill_worker(0)
    ((pending,),) = running.client.query("SELECT pending_offsets FROM ledger WHERE segment = 0").result_rows
    assert list(pending) == [0]

    send(running, event("response", "a", at_s=1.5, output_tokens=7), at_ms=now_ms + 1_000)
    running.start_workers(1)
    running.wait()
    place = SEGMENT_OFFSETS + 101
    assert rows(running) == [("a", "response-a", "request+response", None, "ok", "", 1500.0, 7, place, 0)]
    running.run("audit")


def test_parts_through_the_sdk_meet_over_several_partitions_and_workers(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(TOKENTIDE_TOPICS_PARTITIONS="4")
    running.start_workers(2)
    names = [f"r{number}" for number in range(200)]
    shipped = [
        event(kind, name, at_s=seconds, **fields)
        for kind, seconds, fields in (
            ("request", 0, {"request_model": "gpt-4o-mini", "input_tokens": 10}),
            ("response", 2, {"output_tokens": 5}),
            ("evaluation", 3, {"quality": {"label": "thumbs_up"}}),
        )
        for name in names
    ]
    running.run("ship", "-", "--quiet", input_="\n".join(map(json.dumps, shipped)).encode())
    running.wait()
    found = running.one(
        "SELECT count() AS calls, uniqExact(request_id) AS requests, sum(input_tokens) AS input, sum(output_tokens) AS output, "
        "uniqExact(source_partition) AS partitions, countIf(cost_source = 'calculated') AS priced, groupUniqArray(duration_ms) "
        "AS durations, groupUniqArray(assembled_from) AS made_of FROM events"
    )
    assert {name: found[name] if isinstance(found[name], list) else int(found[name]) for name in found} == {
        "calls": 200,
        "requests": 200,
        "input": 2000,
        "output": 1000,
        "partitions": 4,
        "priced": 200,
        "durations": [2000.0],
        "made_of": ["request+response"],
    }
    judged = running.one(
        "SELECT count() AS judged, countIf(call_event_id != '') AS known FROM evaluated_calls"
    )
    assert (int(judged["judged"]), int(judged["known"])) == (200, 200)
    running.run("audit")
