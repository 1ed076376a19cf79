"""Incidents in ClickHouse, and the search for events that show one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.clickhouse_rows import event, event_table
from tokentide.config.settings import ClickHouseSettings
from tokentide.schemas.anomaly import Anomaly
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.sinks.connection import open_client
from tokentide.sql.migrate import migrate
from tokentide.stream.detect.incident import Incident
from tokentide.stream.detect.messages import message
from tokentide.stream.detect.rules import ContextHitRate, CostSpike, ErrorRate, Examples, Reading, Rule
from tokentide.stream.detection_table import AnomalyTable
from tokentide.stream.store import ClickHouseStore

pytestmark = pytest.mark.embedded

START = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = int(START.timestamp()) // 60
SERIES = {"environment": "production", "service": "chat", "provider": "openai", "model": "gpt-4o"}


class Stand:
    def __init__(self, url: str, database: str) -> None:
        admin = open_client(ClickHouseSettings.model_validate({"url": f"{url}/default"}))
        migrate(admin, database)
        admin.close()
        settings = ClickHouseSettings.model_validate({"url": f"{url}/{database}"})
        self.client = open_client(settings)
        sink = ClickHouseSink.from_settings(settings)
        self.sink = sink
        self.store = ClickHouseStore(sink, lambda: open_client(settings), lambda _: None)
        self.table = AnomalyTable(self.store, lambda: open_client(settings))

    def close(self) -> None:
        self.table.close()
        self.store.close()
        self.sink.close()
        self.client.close()


@pytest.fixture(scope="module")
def migrated(clickhouse: str) -> Iterator[Stand]:
    stand = Stand(clickhouse, "detect_table")
    yield stand
    stand.close()


@pytest.fixture(params=["UTC", "Asia/Kolkata"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's time zone must not matter."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def stand(migrated: Stand, _zone: None) -> Stand:
    for table in ("llm_events", "llm_anomalies"):
        migrated.client.command(f"TRUNCATE TABLE {table}")
    return migrated


def anomaly(rule: Rule | None = None, *, revision: int = 1, started: int = MINUTE, **changes: Any) -> Anomaly:
    rule = rule or ErrorRate()
    reading = Reading(Decimal("0.341646"), Decimal("0.10"), Decimal("1.230000000001"), 401)
    incident = Incident(started, "critical", reading, started + 1, started + 1, started + 1)
    series = tuple(SERIES[name] for name in rule.group_by)
    return message(rule, series, incident._replace(**changes), revision=revision, examples=["a", "b"])


def test_incidents_are_read_back_as_they_were_written(stand: Stand) -> None:
    resolved = anomaly(started=MINUTE + 60, revision=3, resolved=MINUTE + 70)
    asyncio.run(stand.table.insert([anomaly(), resolved]))
    said = asyncio.run(stand.table.said())
    assert said.open == [anomaly()]
    assert said.revisions == {anomaly().anomaly_id: 1, resolved.anomaly_id: 3}
    (row,) = stand.client.query(
        "SELECT rule, value, `limit`, baseline, series['model'], toString(resolved_at), summary FROM anomalies WHERE state = 'resolved'"
    ).result_rows
    assert row == (
        "error_rate", Decimal("0.341646"), Decimal("0.1"), Decimal("1.230000000001"), "gpt-4o",
        "2024-03-01 13:10:00.000000", resolved.summary,
    )  # fmt: skip


def test_the_highest_revision_stands_whatever_the_order_of_writing(stand: Stand) -> None:
    for revision, resolved in ((2, MINUTE + 5), (1, None), (2, MINUTE + 5)):
        asyncio.run(stand.table.insert([anomaly(revision=revision, resolved=resolved)]))
    assert asyncio.run(stand.table.said()).open == []
    assert stand.client.query("SELECT revision, state FROM anomalies").result_rows == [(2, "resolved")]


def examples(stand: Stand, rule: Rule, kind: Examples, **changes: Any) -> list[str]:
    found = anomaly(rule, worst_end=MINUTE + 5)
    return asyncio.run(stand.table.examples(found.model_copy(update=changes), kind))


def at(second: float) -> dict[str, Any]:
    return {"timestamp": START + timedelta(seconds=second)}


def test_failed_calls_of_the_span_and_series_show_an_error_rate_the_earliest_first(stand: Stand) -> None:
    failed = {"status": "error"}
    rows = [
        *[event(n, **failed, **at(299 - n)) for n in range(7)],
        event(10, **at(1)),
        event(11, **failed, **at(-0.001)),
        event(12, **failed, **at(300)),
        event(13, **failed, model="gpt-4", **at(1)),
        event(14, **failed, service="other", **at(1)),
        event(15, **failed, test=True, **at(1)),
    ]
    stand.sink.insert("llm_events", event_table(rows))
    stand.sink.insert("llm_events", event_table(rows))  # stored twice and not merged yet
    assert examples(stand, ErrorRate(), "failed") == [f"event-{n}" for n in (6, 5, 4, 3, 2)]


def test_the_dearest_calls_show_a_cost_spike(stand: Stand) -> None:
    rows = [event(n, cost_usd=Decimal(n), **at(n)) for n in range(8)] + [event(9, cost_usd=None, **at(9))]
    stand.sink.insert("llm_events", event_table(rows))
    assert examples(stand, CostSpike(), "dearest") == [f"event-{n}" for n in (3, 4, 5, 6, 7)]


def test_multi_turn_calls_without_context_show_a_context_hit_rate(stand: Stand) -> None:
    rows = [
        event(0, turn=2, context_hit=True, **at(0)),
        event(1, turn=2, context_hit=False, **at(1)),
        event(2, turn=1, context_hit=False, **at(2)),
        event(3, turn=3, **at(3)),
    ]
    stand.sink.insert("llm_events", event_table(rows))
    assert examples(stand, ContextHitRate(), "without_context") == ["event-1"]


def test_a_dimension_that_is_not_in_use_filters_nothing(stand: Stand) -> None:
    stand.sink.insert("llm_events", event_table([event(0, status="error", **at(0))]))
    series = {**SERIES, "model": ""}
    assert examples(stand, ErrorRate(), "failed", series=series) == ["event-0"]


def test_names_are_values_never_sql(stand: Stand) -> None:
    name = "chat' OR 1=1 --"
    stand.sink.insert(
        "llm_events",
        event_table([event(0, status="error", service=name, **at(0)), event(1, status="error", **at(0))]),
    )
    assert examples(stand, ErrorRate(), "failed", series={**SERIES, "service": name}) == ["event-0"]
