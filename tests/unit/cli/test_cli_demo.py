"""The demo's numbers and story; the whole of it runs in tests/integration/cli."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from decimal import Decimal

import pytest

from tokentide.cli.commands.demo import DESCRIPTION, audit_line
from tokentide.cli.demo import board as board_module
from tokentide.cli.demo import story
from tokentide.cli.demo.board import Board, IncidentRow, ServiceRow, read_board
from tokentide.cli.demo.story import NOTICED_AFTER_S, StoppableSink, incidents, live_phase
from tokentide.cli.demo.view import (
    clock,
    duration,
    incident_line,
    incident_lines,
    live_view,
    percent,
    plain_line,
    usd,
)
from tokentide.config import load_settings
from tokentide.schemas.aggregates import AGGREGATES, DIMENSIONS
from tokentide.sql.audit import Totals

INCIDENT = IncidentRow("ab" * 16, "open", "critical", "error_rate", "2024-05-01", "42 % of calls fail")
BOARD = Board(
    stored_events=12345,
    calls=200,
    errors=50,
    cost_usd=Decimal("1.5"),
    tokens=1_000_000,
    cache_hit_rate=0.5,
    coverage=None,
    services=(
        ServiceRow("chat", 150, 0.3, 1500.0, 900_000, Decimal("1.4")),
        ServiceRow("search", 50, 0.0, None, 100_000, Decimal("0.1")),
    ),
    incidents=(INCIDENT, INCIDENT._replace(state="resolved", severity="warning")),
)


class Answers:
    """ClickHouse, with one answer for each question."""

    def __init__(self, *, is_empty: bool) -> None:
        self._is_empty = is_empty

    def rows(self, sql: str, *, parameters: Mapping[str, str] | None = None) -> list[dict[str, object]]:
        assert parameters is None or parameters == {"minutes": "5"}
        if sql is board_module.TOTALS_SQL:
            names = ("total_calls", "total_errors", "total_cost_usd", "tokens", "cache_hit_rate", "coverage")
            empty = (0, 0, None, 0, None, None)
            return [
                dict(zip(names, empty if self._is_empty else ("200", "50", 1.5, "9", 0.5, 1.0), strict=True))
            ]
        if sql is board_module.STORED_SQL:
            return [{"events": "0" if self._is_empty else "12345"}]
        if self._is_empty:
            return []
        if sql is board_module.SERVICES_SQL:
            return [
                {
                    "service": "chat",
                    "total_calls": "150",
                    "error_rate": 0.3,
                    "p95_ms": None,
                    "tokens": "9",
                    "total_cost_usd": 1.4,
                }
            ]
        return [INCIDENT._asdict() | {"since": INCIDENT.started_at}]


def test_the_board_is_read_from_the_answers() -> None:
    board = read_board(Answers(is_empty=False))
    assert (board.stored_events, board.calls, board.error_rate) == (12345, 200, 0.25)
    assert board.services == (ServiceRow("chat", 150, 0.3, None, 9, Decimal("1.4")),)
    assert board.incidents == (INCIDENT,)


def test_an_empty_database_is_a_board_of_nothing() -> None:
    board = read_board(Answers(is_empty=True))
    assert (board.calls, board.error_rate, board.cost_usd, board.coverage) == (0, 0.0, Decimal(0), None)


def test_the_questions_name_columns_that_exist() -> None:
    known = {aggregate.name for aggregate in AGGREGATES} | set(DIMENSIONS)
    for sql in (board_module.TOTALS_SQL, board_module.SERVICES_SQL):
        for name in re.findall(r"(?:sum|sumMap)\((\w+)\)", sql):
            assert name in known


def test_a_line_says_what_matters() -> None:
    assert plain_line(BOARD, elapsed_s=65) == (
        "[1:05]  12,345 events stored  last 5 min: 200 calls  errors 25.0%  cost $1.50  prompt cache 50.0%  "
        "priced –  1 incident open"
    )
    assert incident_line(INCIDENT) == "  OPEN critical error_rate: 42 % of calls fail"


def test_the_table_shows_services_and_incidents() -> None:
    rich = pytest.importorskip("rich.console", reason="needs the extra [stream]")
    out = io.StringIO()
    rich.Console(file=out, width=100).print(live_view(BOARD, elapsed_s=65, note="sending"))
    shown = out.getvalue()
    for part in (
        "1:05",
        "sending",
        "12,345 events stored",
        "chat",
        "30.0%",
        "1.5 s",
        "$1.40",
        "● open",
        "● resolved",
    ):
        assert part in shown
    out.truncate(0)
    rich.Console(file=out, width=100).print(live_view(BOARD._replace(incidents=()), elapsed_s=0, note=""))
    assert "no incidents" in out.getvalue()


@pytest.mark.parametrize("live_s", [10.0, 60.0, 3600.0])
def test_both_incidents_begin_and_last_to_the_end(live_s: float) -> None:
    for incident in incidents(live_s):
        assert not incident.is_active(0)
        assert incident.is_active(live_s - 0.001)


def test_a_demo_that_is_too_short_for_its_incidents_does_not_promise_them() -> None:
    assert live_phase(60.0) == "sending live traffic with two incidents"
    assert "would take some 45 s to be noticed" in live_phase(20.0)
    assert f"after some {NOTICED_AFTER_S:.0f} seconds" in DESCRIPTION


def test_incidents_at_the_end_stand_under_a_heading() -> None:
    assert incident_lines(BOARD) == [
        "incidents, as they stand now:",
        "  OPEN critical error_rate: 42 % of calls fail",
        "  RESOLVED warning error_rate: 42 % of calls fail",
    ]
    assert incident_lines(BOARD._replace(incidents=())) == ["no incidents were noticed"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (clock(3725), "62:05"),
        (percent(None), "–"),
        (percent(0.0123), "1.2%"),
        (usd(Decimal("1234.5")), "$1,234.50"),
        (usd(Decimal("0.0123")), "$0.0123"),
        (usd(Decimal(0)), "$0.00"),
        (duration(None), "–"),
        (duration(12.3), "12 ms"),
        (duration(1234.0), "1.2 s"),
    ],
)
def test_numbers_are_written_for_people(shown: str, expected: str) -> None:
    assert shown == expected


class ListSink:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.lines: list[object] = []
        self.calls: list[str] = []

    @property
    def acknowledged(self) -> int:
        return len(self.lines)

    def send(self, event: object, event_id: str | None = None) -> None:
        self.lines.append((event, event_id))

    def send_alone(self, value: bytes) -> None:
        self.lines.append(value)

    def push(self) -> None:
        self.calls.append("push")

    def flush(self) -> None:
        self.calls.append("flush")

    def close(self) -> None:
        self.calls.append("close")


def test_a_sink_passes_everything_on_until_it_is_stopped() -> None:
    inner, is_stopped = ListSink(), threading.Event()
    sink = StoppableSink(inner, is_stopped)
    sink.send({"a": 1}, "id")
    sink.send_alone(b"x")
    for call in (sink.push, sink.flush, sink.close):
        call()
    assert (inner.lines, inner.calls) == ([({"a": 1}, "id"), b"x"], ["push", "flush", "close"])
    is_stopped.set()
    with pytest.raises(KeyboardInterrupt):
        sink.send({})
    with pytest.raises(KeyboardInterrupt):
        sink.send_alone(b"")
    assert sink.acknowledged == 2


def test_traffic_that_is_stopped_ends_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    sinks: list[ListSink] = []

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[ListSink]:
        sinks.append(ListSink())
        yield sinks[-1]

    monkeypatch.setattr(story, "opened_sink", opened)
    traffic = story.Traffic(load_settings(environ={}), history_s=1e8, live_s=60, seed=1)
    traffic.start()
    while not (sinks and sinks[0].lines):
        assert not traffic.is_done
    traffic.stop()
    assert traffic.is_done
    assert len(sinks) == 1, "it did not go on with the live part"
    assert sinks[0].calls == ["flush"]


def totals(**values: int) -> Totals:
    return Totals(**(dict.fromkeys((field.name for field in fields(Totals)), 0) | values))


def test_the_line_of_the_audit_is_a_sum_that_holds() -> None:
    calls = totals(items=1030, events=1025, duplicates=2, rejects=3, event_rows=1025, window_calls=1025)
    assert audit_line(calls) == (
        "audit: 1,030 items read = 1,025 accepted + 2 repeated + 3 refused; 1,025 events stored, 1,025 calls in windows"
    )
    mixed = replace(calls, items=1037, parts=6, evaluations=2, evaluation_rows=2, incomplete_events=1)
    assert audit_line(mixed) == (
        "audit: 1,037 items read = 1,025 accepted + 2 repeated + 3 refused + 6 parts of calls + 2 evaluations − 1 incomplete; "
        "1,025 events, 2 evaluations stored, 1,025 calls in windows"
    )
