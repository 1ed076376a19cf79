"""ClickHouse away for longer than memory lasts: windows go on, and once it is back all rows are there, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.brokers import Broker
from tests.support.pipeline import Pipeline, pipeline
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import HANGING_S, until
from tokentide.stream.kafka_out import decode_partials

EVENTS = 6_000


@pytest.fixture
def line(clickhouse: str) -> Iterator[TcpProxy]:
    """The way from the worker to ClickHouse."""
    with TcpProxy(urlsplit(clickhouse).port or 0) as proxy:
        yield proxy


@pytest.fixture
def running(broker: Broker, clickhouse: str, line: TcpProxy, tmp_path: Path) -> Iterator[Pipeline]:
    """A worker with little memory, which alone comes through the proxy."""
    small = {
        "TOKENTIDE_WORKER_EVENT_ROWS_MAX_BYTES": "1048576",
        "TOKENTIDE_WORKER_FETCH_MAX_PARTITION_BYTES": "200000",
    }
    with pipeline(broker, clickhouse, tmp_path, **small) as made:
        with made.clickhouse_at(line.port):
            made.start_workers(1)
        yield made


def ship(running: Pipeline, first: int, after: int) -> None:
    lines = [
        json.dumps(
            {
                "schema_version": 1,
                "event_id": f"e{number}",
                "timestamp": f"2026-01-31T12:{number % 60:02d}:00Z",
                "service": f"service-{number % 7}",
                "request_model": "gpt-4o",
                "provider": "openai",
                "conversation_id": f"{number:0200d}",
                "input_tokens": number,
                "output_tokens": 1,
            }
        ).encode()
        for number in range(first, after)
    ]
    running.run("ship", "-", input_=b"\n".join(lines))


def published_calls(running: Pipeline) -> int:
    """Calls in the windows topic: the highest version of each partial counts."""
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in running.broker.read_topic(f"{running.prefix}windows"):
        for partial in decode_partials(record.value or b"").to_pylist():
            key = tuple(partial[name] for name in ("source_partition", "segment", "window_start", "service"))
            if key not in newest or newest[key]["version"] <= partial["version"]:
                newest[key] = partial
    return sum(partial["calls"] for partial in newest.values())


def through(running: Pipeline, line: TcpProxy, **settings: str) -> None:
    """Start a worker that comes through the proxy."""
    with running.clickhouse_at(line.port):
        running.environment |= settings
        running.start_workers(1)


def test_windows_go_on_in_an_outage_and_afterwards_every_row_is_there_once(
    running: Pipeline, line: TcpProxy
) -> None:
    ship(running, 0, 500)
    running.wait()
    line.is_refusing = True
    line.reset_all()
    ship(running, 500, 501)  # what the insert fails with
    until(lambda: "clickhouse does not take rows" in running.logs(), what="noticing the outage")
    ship(running, 501, EVENTS)
    until(lambda: "rows are let go" in running.logs(), what="letting go")
    until(lambda: published_calls(running) == EVENTS, "publishing all windows")

    line.heal()
    running.wait()
    assert "read again what was let go" in running.logs()
    events = running.one(
        "SELECT count() AS calls, sum(input_tokens) AS input, sum(cost_usd) AS cost FROM events"
    )
    assert (int(events["calls"]), int(events["input"])) == (EVENTS, sum(range(EVENTS)))
    windows = running.one(
        "SELECT sum(calls) AS calls, sum(input_tokens) AS input, sum(cost_usd) AS cost FROM windows"
    )
    assert windows == events
    priced = running.one("SELECT countIf(cost_usd > 0) AS calls FROM events")
    assert int(priced["calls"]) == EVENTS
    running.run("audit")
    assert running.stop() == [0]


def test_a_worker_that_starts_in_an_outage_waits_for_its_end(running: Pipeline, line: TcpProxy) -> None:
    running.wait()
    line.is_refusing = True
    line.reset_all()
    running.kill_worker()
    ship(running, 0, 100)
    before = line.connections
    through(running, line)
    until(lambda: "cannot be asked where to begin" in running.logs(), what="asking for the ledger")
    line.heal()
    running.wait()
    assert line.connections > before
    assert int(running.one("SELECT count() AS n FROM events")["n"]) == 100


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_slow_store_is_waited_for_at_the_start_and_afterwards(running: Pipeline, line: TcpProxy) -> None:
    """Each request takes longer than the group's session; opening a connection takes three of them, the ledger one a partition."""
    running.wait()
    running.kill_worker()
    ship(running, 0, 50)
    line.to_server.delay_s = 7.0
    through(running, line)
    log = running.folder / "worker-1.log"
    until(lambda: "partitions assigned" in log.read_text(), "joining")
    ship(running, 50, 100)
    stored = "SELECT count() AS n FROM events"
    until(lambda: int(running.one(stored)["n"]) == 100, "storing all events")
    assert log.read_text().count("partitions assigned") == 1, "the group has taken it for dead"
    assert "clickhouse takes long; it is waited for" in log.read_text()
    line.heal()
    running.wait()  # for its commit
    running.run("audit")
    assert running.stop()[-1] == 0


@pytest.mark.timeout(600)
def test_incidents_are_noticed_when_all_workers_start_in_an_outage(running: Pipeline, line: TcpProxy) -> None:
    ship(running, 0, 500)
    running.wait()
    running.kill_worker()
    ship(running, 500, 3_000)
    line.is_refusing = True
    line.reset_all()
    for _ in range(2):
        through(running, line)
    until(lambda: "incidents are noticed without it" in running.logs(), "joining without clickhouse")
    until(lambda: published_calls(running) == 3_000, "publishing all windows")
    ship(running, 3_000, EVENTS)
    until(lambda: published_calls(running) == EVENTS, "publishing all windows")
    assert int(running.one("SELECT count() AS n FROM events")["n"]) == 500

    line.heal()
    running.wait()
    events = running.one(
        "SELECT count() AS calls, sum(input_tokens) AS input, sum(cost_usd) AS cost FROM events"
    )
    assert (int(events["calls"]), int(events["input"])) == (EVENTS, sum(range(EVENTS)))
    windows = "SELECT sum(calls) AS calls, sum(input_tokens) AS input, sum(cost_usd) AS cost FROM windows"
    assert running.one(windows) == events
    running.run("audit")
    assert running.stop()[-2:] == [0, 0]


def test_a_wrong_password_ends_a_worker_that_started_in_an_outage(running: Pipeline, line: TcpProxy) -> None:
    running.wait()
    line.is_refusing = True
    running.kill_worker()
    direct = running.environment["TOKENTIDE_CLICKHOUSE_URL"]
    running.environment["TOKENTIDE_CLICKHOUSE_URL"] = direct.replace("http://", "http://nobody:wrong@")
    through(running, line)
    running.environment["TOKENTIDE_CLICKHOUSE_URL"] = direct
    until(lambda: "cannot be asked where to begin" in running.logs(), what="asking for the ledger")
    line.heal()
    assert running.workers[-1].wait(HANGING_S) == 21
    assert "user or password of clickhouse.url are wrong" in running.logs()
