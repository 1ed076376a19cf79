"""Incidents through the whole path: real workers, real brokers, ClickHouse; and an offline run over the view `windows`."""

from __future__ import annotations

import itertools
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.conftest import NewPipeline
from tests.support.pipeline import Pipeline
from tests.support.waiting import until
from tokentide.schemas.anomaly import Anomaly
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.messages import is_withdrawn, message
from tokentide.stream.detect.rules import DEFAULT_RULES
from tokentide.stream.detect.timeline import timeline

START = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
Event = dict[str, Any]


def minute(
    number: int, *, failing: bool = False, dear: bool = False, forgetful: bool = False
) -> Iterator[Event]:
    """Thirty calls of a minute; all but a few find their context, cost two cents and end well."""
    for call in range(30):
        yield {
            "schema_version": 1,
            "event_id": f"event-{number}-{call}",
            "timestamp": (START + timedelta(minutes=number, seconds=2 * call)).isoformat(),
            "service": "checkout",
            "provider": "openai",
            "response_model": "gpt-4o",
            "turn": 2,
            "status": "error" if failing and call % 2 else "ok",
            "cost_usd": "0.20" if dear else "0.02",
            "context": {"hit": call % 10 == 0 if forgetful else call % 10 != 0},
        }


def day() -> list[Event]:
    """Three hours: calls fail in minutes 30 to 39, are dear in 120 to 129, and forget in 150 to 159."""
    minutes = (
        minute(n, failing=30 <= n < 40, dear=120 <= n < 130, forgetful=150 <= n < 160) for n in range(180)
    )
    return list(itertools.chain.from_iterable(minutes))


def ship(running: Pipeline, events: Sequence[Event]) -> None:
    lines = "".join(json.dumps(event) + "\n" for event in events)
    running.run("ship", "-", "--quiet", input_=lines.encode())


def messages(running: Pipeline) -> list[Anomaly]:
    return [
        Anomaly.model_validate_json(record.value or b"")
        for record in running.broker.read_topic(f"{running.prefix}anomalies")
    ]


def examples(running: Pipeline) -> dict[str, list[str]]:
    return {found.rule: found.example_event_ids for found in messages(running) if found.example_event_ids}


def standing(said: Sequence[Anomaly]) -> dict[str, Anomaly]:
    """The last state of each incident that was not withdrawn, without what depends on the way there."""
    last = {anomaly.anomaly_id: anomaly for anomaly in sorted(said, key=lambda found: found.revision)}
    return {
        name: anomaly.model_copy(update={"revision": 1, "example_event_ids": []})
        for name, anomaly in last.items()
        if not is_withdrawn(anomaly)
    }


def offline(running: Pipeline) -> dict[str, Anomaly]:
    """The incidents of a run over the view `windows`, as it is now."""
    found: dict[str, Anomaly] = {}
    for rule in DEFAULT_RULES:
        dimensions = ", ".join(rule.group_by)
        rows = running.client.query(
            f"SELECT toUnixTimestamp(window_start), {dimensions}, sum(calls), sum(errors), sum(cancelled_calls),"
            f" sum(context_reported_calls), sum(context_hits), sum(cost_usd)"
            f" FROM windows GROUP BY window_start, {dimensions} HAVING sum(calls) > 0"
        ).result_rows
        windows: dict[tuple[str, ...], dict[int, Counts]] = defaultdict(dict)
        for start, *rest in rows:
            series, counts = tuple(rest[: len(rule.group_by)]), rest[len(rule.group_by) :]
            windows[series][start // 60] = Counts(*counts)
        for series, minutes in windows.items():
            newest = max(max(of_series) for other, of_series in windows.items() if other[:2] == series[:2])
            for incident in timeline(rule, minutes, newest_minute=newest):
                anomaly = message(rule, series, incident, revision=1)
                found[anomaly.anomaly_id] = anomaly
    return found


def agree(running: Pipeline) -> dict[str, Anomaly]:
    """Wait until topic and table say what an offline run says; return it."""
    running.wait()
    expected = offline(running)
    until(lambda: standing(messages(running)) == expected, what="the incidents of an offline run")
    states = {name: (anomaly.state, anomaly.severity) for name, anomaly in expected.items()}
    query = "SELECT anomaly_id, state, severity FROM anomalies WHERE resolved_at IS NULL OR resolved_at != started_at"
    until(
        lambda: (
            {name: (state, severity) for name, state, severity in running.client.query(query).result_rows}
            == states
        ),
        what="the same in ClickHouse",
    )
    return expected


def by_rule(incidents: dict[str, Anomaly]) -> dict[str, tuple[str, str, str, str | None]]:
    return {
        found.rule: (
            found.severity,
            found.state,
            found.started_at[11:16],
            found.resolved_at and found.resolved_at[11:16],
        )
        for found in incidents.values()
    }


EXPECTED = {
    # Spans of 150 calls. 15 of them fail in minute 30: a lower bound of 6 %; the last failing minute leaves with 44.
    "error_rate": ("critical", "resolved", "12:30", "12:45"),
    # Usually $3.00: one dear minute makes $8.40, two $13.80; the limit is $9.00, the recovery limit $6.03.
    "cost_spike": ("warning", "resolved", "14:01", "14:15"),
    # Usually 90 %: one forgetful minute makes 74 %, two 58 %; the limit is 70 %, and 80 % ends it.
    "context_hit_rate": ("warning", "resolved", "14:31", "14:45"),
}


def test_a_day_with_three_incidents_by_a_worker_for_each_stage(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(TOKENTIDE_WORKER_STAGES="ingest")
    running.start_workers(1)
    ship(running, day())
    running.wait()
    assert messages(running) == []

    running.environment["TOKENTIDE_WORKER_STAGES"] = "detect"
    running.start_workers(1)
    assert by_rule(agree(running)) == EXPECTED
    until(lambda: len(examples(running)) == 3, what="examples")
    assert all(len(event_ids) == 5 for event_ids in examples(running).values())
    assert running.stop() == [0, 0]


def test_three_workers_in_any_order_and_killed_say_the_same(new_pipeline: NewPipeline) -> None:
    running = new_pipeline()
    running.start_workers(3)
    events = day()
    random.Random(3).shuffle(events)
    ship(running, events[: len(events) // 2])
    running.kill_worker(0)
    ship(running, events[len(events) // 2 :])
    assert by_rule(agree(running)) == EXPECTED


def test_after_kill_9_nothing_is_repeated_and_what_was_open_goes_on(new_pipeline: NewPipeline) -> None:
    running = new_pipeline()
    running.start_workers(1)
    events = day()
    ship(running, events[: 30 * 36])  # ends within the errors
    assert by_rule(agree(running)) == {"error_rate": ("critical", "open", "12:30", None)}
    until(lambda: messages(running)[-1].example_event_ids, what="examples")
    before = messages(running)

    running.kill_worker(0)
    running.start_workers(1)
    until(lambda: running.logs().count("detection has caught up") >= 2, what="reading back")
    assert messages(running) == before

    ship(running, events[30 * 36 :])
    assert by_rule(agree(running)) == EXPECTED
    error_rate = [found for found in messages(running) if found.rule == "error_rate"]
    assert {found.anomaly_id for found in error_rate} == {before[0].anomaly_id}
    assert [found.revision for found in error_rate] == list(range(1, len(error_rate) + 1))
