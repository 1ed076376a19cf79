"""Made-up traffic over three workers of which one is killed: no file of recorded traces is needed to prove the totals.

What was sent is read back from the topic and counted here, with nothing of the product's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.integration.conftest import NewPipeline
from tests.integration.pipeline.killing import (
    SETTINGS,
    Fed,
    kill_with_work_in_hand,
    read_again,
    start_ready_workers,
)
from tests.support.pipeline import Pipeline

NEW = 1_800
PAST = 2_000
REPEATED = 300

SUMS = ", ".join(
    f"ifNull(sumIf({name}, {name}_source = 'reported'), 0)" for name in ("input_tokens", "output_tokens")
)


class Sums(NamedTuple):
    """Of one service; tokens as far as the sender told them."""

    calls: int
    errors: int
    input_tokens: int
    output_tokens: int


def sent(running: Pipeline) -> Iterator[dict[str, Any]]:
    """Every event in the topic, as often as it is there; a record is one event or an array of them."""
    for record in running.broker.read_topic(f"{running.prefix}events"):
        found = json.loads(record.value or b"null")
        yield from found if isinstance(found, list) else [found]


def sums_of(events: list[dict[str, Any]]) -> dict[str, Sums]:
    by_service: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_service.setdefault(event["service"], []).append(event)
    return {
        service: Sums(
            calls=len(found),
            errors=sum(event["status"] == "error" for event in found),
            input_tokens=sum(event.get("input_tokens", 0) for event in found),
            output_tokens=sum(event.get("output_tokens", 0) for event in found),
        )
        for service, found in by_service.items()
    }


def past(count: int) -> list[str]:
    """The same seed at the same start makes the same events, with the same ids."""
    return [
        "simulate", "--seed", "7", "--quiet", "--count", str(count),
        "--no-live", "--history", "20m", "--start", "2024-05-01T12:00:00Z",
    ]  # fmt: skip


@pytest.mark.on_apache_kafka
def test_three_workers_one_killed_and_events_sent_twice(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(**SETTINGS)
    start_ready_workers(running, 3)
    made = running.run(
        "simulate", "--seed", "11", "--quiet", "--count", str(NEW),
        "--no-live", "--history", "5m", "--environment", "live", "--stdout",
    )  # fmt: skip
    running.run(*past(PAST))
    with running.in_background("ship", "-", "--quiet") as ship:
        fed = Fed(ship, made.encode().splitlines(keepends=True))
        found = kill_with_work_in_hand(running, range(3), [fed], {})
        running.start_workers(1)
        running.run(*past(REPEATED))
        fed.send_rest()
    running.wait()

    everything = list(sent(running))
    by_id = {event["event_id"]: event for event in everything}
    events = list(by_id.values())
    assert len(everything) - len(events) == REPEATED
    assert 0 < sum(found.stored.values()) < len(events)

    rows = running.client.query(
        f"SELECT service, count(), countIf(status = 'error'), {SUMS} FROM events GROUP BY service"
    ).result_rows
    assert {service: Sums(*map(int, numbers)) for service, *numbers in rows} == sums_of(events)
    ids = running.client.query("SELECT event_id FROM events").result_rows
    assert Counter(str(event_id) for (event_id,) in ids) == Counter(by_id.keys())

    # Windows leave tests out.
    minutes = Counter(
        (event["service"], event["timestamp"][:16], event["status"] == "error")
        for event in events
        if not event.get("test")
    )
    rows = running.client.query(
        "SELECT service, formatDateTime(window_start, '%FT%H:%i') AS minute, sum(calls), sum(errors) FROM windows "
        "GROUP BY service, minute"
    ).result_rows
    in_windows: Counter[tuple[str, str, bool]] = Counter()
    for service, minute, calls, errors in rows:
        in_windows[service, minute, True] += int(errors)
        in_windows[service, minute, False] += int(calls) - int(errors)
    assert +in_windows == minutes

    ((duplicates,),) = running.client.query("SELECT sum(duplicates) FROM ledger").result_rows
    assert duplicates == REPEATED
    assert read_again(running) > 0
    running.run("audit")
