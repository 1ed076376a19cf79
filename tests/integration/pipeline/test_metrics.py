"""A worker's own metrics and its alarm over refused events, asked of a real worker over HTTP."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from tests.integration.conftest import NewPipeline
from tests.support.brokers import Broker
from tests.support.pipeline import Pipeline, pipeline
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import HANGING_S, until

NOW_MS = int(time.time() * 1000)
CANARY = "canary-7c1e-prompt"
METRICS = {
    "TOKENTIDE_METRICS_PORT": "0",
    "TOKENTIDE_WORKER_STAGES": "ingest,detect",
    "TOKENTIDE_DEAD_LETTERS_ALARM_RUN": "10",
    "TOKENTIDE_LOG_FORMAT": "json",
}
LINE = re.compile(r"([a-z_]+(?:\{[^}]*\})?) ([0-9.e+-]+)")


def line(name: str, **fields: Any) -> bytes:
    return json.dumps({"event_id": name, "timestamp": NOW_MS, "service": "s", **fields}).encode()


def good(first: int, after: int) -> list[bytes | None]:
    return [
        line(f"e{n}", request_model="gpt-4o", input_tokens=1, output_tokens=1) for n in range(first, after)
    ]


def bad(count: int) -> list[bytes | None]:
    return [line(f"bad{n}", service=[CANARY]) for n in range(count)]


def produce(running: Pipeline, values: list[bytes | None]) -> None:
    running.broker.produce(f"{running.prefix}events", values, partition=0, key=b"k")


def said(running: Pipeline, worker: int = 0) -> list[dict[str, Any]]:
    text = (running.folder / f"worker-{worker}.log").read_text()
    return [json.loads(found) for found in text.splitlines() if found.startswith("{")]


def address(running: Pipeline, name: str, worker: int = 0) -> str:
    """Where a worker serves something, from its log."""
    found: list[str] = []

    def is_served() -> bool:
        found[:] = [entry[name] for entry in said(running, worker) if entry["event"] == "metrics are served"]
        return bool(found)

    until(is_served, what="serving metrics")
    return found[0]


def scrape(running: Pipeline, worker: int = 0) -> dict[str, float]:
    """By name and labels as they are written."""
    with urllib.request.urlopen(address(running, "metrics", worker), timeout=HANGING_S) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.read().decode()
    lines = [LINE.fullmatch(found) for found in text.splitlines() if not found.startswith("#")]
    return {found[1]: float(found[2]) for found in lines if found is not None}


def test_metrics_are_those_of_what_was_sent(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(**METRICS)
    running.start_workers(1)
    produce(running, [*good(0, 30), *good(0, 2), line("without-a-model", input_tokens=1), *bad(12), None])
    running.wait()
    assert urllib.request.urlopen(address(running, "health"), timeout=HANGING_S).read() == b"ok\n"

    end = f'tokentide_lag_records{{topic="{running.prefix}events",partition="0"}}'
    until(lambda: scrape(running).get(end) == 0, what="knowing the end of the partition")
    until(lambda: scrape(running)["tokentide_detection_caught_up"] == 1, what="catching up")
    until(lambda: scrape(running)["tokentide_detect_partials_total"] >= 2, what="reading the partials")
    found = scrape(running)
    expected = {
        "tokentide_records_read_total": 46,
        "tokentide_events_folded_total": 31,
        "tokentide_duplicates_total": 2,
        "tokentide_unpriced_events_total": 1,
        'tokentide_rejects_total{reason="wrong_type"}': 12,
        'tokentide_rejects_total{reason="empty"}': 1,
        'tokentide_rejects_total{reason="clock"}': 0,
        "tokentide_events_committed_total": 31,
        "tokentide_events_read_again_total": 0,
        "tokentide_held_rows": 0,
        "tokentide_held_bytes": 0,
        'tokentide_reject_alarm{kind="share"}': 1,
        'tokentide_reject_alarm{kind="run"}': 1,
        'tokentide_reject_alarms_total{kind="run"}': 1,
        "tokentide_detection_broken_partitions": 0,
        "tokentide_incident_messages_total": 0,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["tokentide_checkpoints_total"] >= 1
    assert found["tokentide_partials_published_total"] >= 2
    assert 0 < found["tokentide_checkpoint_duration_seconds"] < 60
    assert found["tokentide_last_commit_age_seconds"] < 120
    assert found["process_resident_memory_bytes"] > 10_000_000

    with pytest.raises(HTTPError, match="405"):
        urllib.request.urlopen(address(running, "metrics"), data=b"x", timeout=HANGING_S)
    assert running.stop() == [0]


def test_a_worker_that_takes_over_counts_what_is_new_and_apart_what_it_reads_again(
    new_pipeline: NewPipeline,
) -> None:
    running = new_pipeline(**METRICS)
    running.start_workers(1)
    produce(running, [*good(0, 30), *bad(12)])
    running.wait()
    running.kill_worker()
    running.start_workers(1)
    produce(running, good(30, 35))
    running.wait()
    found = scrape(running, worker=1)
    assert found["tokentide_events_read_again_total"] == 30
    assert found["tokentide_records_read_total"] == 5
    assert found["tokentide_events_committed_total"] == 5
    assert found['tokentide_rejects_total{reason="wrong_type"}'] == 0
    assert found['tokentide_reject_alarms_total{kind="run"}'] == 0


def test_too_many_refused_events_are_said_with_share_reasons_and_remedy_and_never_their_text(
    new_pipeline: NewPipeline,
) -> None:
    running = new_pipeline(**METRICS)
    running.start_workers(1)
    produce(running, [*good(0, 30), *bad(12), *good(30, 31)])
    running.wait()
    until(lambda: sum(entry.get("alarm") == "run" for entry in said(running)) == 2, what="the end of the run")
    alarms = [entry for entry in said(running) if "alarm" in entry]
    share, run, end = sorted(alarms, key=lambda entry: (entry["alarm"] != "share", entry["level"]))
    assert (share["level"], share["share"], share["reasons"]) == ("error", "27.9%", {"wrong_type": 12})
    assert (run["level"], run["in_a_row"]) == ("error", 12)
    assert (end["level"], end["event"]) == ("info", "the alarm over refused events is over")
    assert all("tokentide tail rejects" in entry["remedy"] for entry in (share, run))
    assert CANARY not in running.logs()
    running.stop()
    assert CANARY not in running.logs()


def test_a_port_that_is_taken_ends_the_worker_at_its_start(new_pipeline: NewPipeline) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = new_pipeline(**METRICS | {"TOKENTIDE_METRICS_PORT": str(port)})
        running.start_workers(1)
        assert running.workers[0].wait(HANGING_S) == 2
    (end,) = [entry for entry in said(running) if entry["event"] == "worker ended"]
    assert f"127.0.0.1:{port}: another program listens there" in end["error"]
    assert "metrics.port" in end["error"]


def test_without_a_port_nobody_listens(new_pipeline: NewPipeline) -> None:
    running = new_pipeline(**METRICS | {"TOKENTIDE_METRICS_PORT": ""})
    running.start_workers(1)
    until(lambda: "worker started" in running.logs(), what="the start")
    assert "metrics are served" not in running.logs()


@pytest.fixture
def way(clickhouse: str) -> Iterator[TcpProxy]:
    """The worker's way to ClickHouse."""
    with TcpProxy(urlsplit(clickhouse).port or 0) as proxy:
        yield proxy


def test_failures_of_clickhouse_and_what_waits_for_it_are_seen(
    broker: Broker, clickhouse: str, way: TcpProxy, tmp_path: Path
) -> None:
    with pipeline(broker, clickhouse, tmp_path, **METRICS) as running:
        direct = running.environment["TOKENTIDE_CLICKHOUSE_URL"]
        running.environment["TOKENTIDE_CLICKHOUSE_URL"] = direct.replace(
            f":{way.server_port}/", f":{way.port}/"
        )
        running.start_workers(1)
        running.environment["TOKENTIDE_CLICKHOUSE_URL"] = direct
        produce(running, good(0, 5))
        running.wait()
        way.is_refusing = True
        way.reset_all()
        produce(running, good(5, 25))
        failed = 'tokentide_clickhouse_failed_tries_total{table="llm_events",error="NO_ANSWER"}'
        until(lambda: scrape(running).get(failed, 0) >= 2, what="failed tries")
        until(lambda: scrape(running)["tokentide_held_rows"] == 20, what="holding the rows")
        assert scrape(running)["tokentide_events_committed_total"] == 5
        assert scrape(running)["tokentide_held_bytes"] > 1_000
        way.heal()
        running.wait()
        until(lambda: scrape(running)["tokentide_events_committed_total"] == 25, what="the commit")
        assert scrape(running)["tokentide_held_rows"] == 0
