from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from tokentide.schemas.rejects import RejectReason
from tokentide.sinks.clickhouse import FailedTry
from tokentide.sinks.errors import RetriableSinkError
from tokentide.stream import counts as counts_module
from tokentide.stream.counts import FailedTries, IngestCounts
from tokentide.stream.reject_alarm import RejectAlarm
from tokentide.stream.taken import Runs, Taken

P0, P1 = ("llm.events", 0), ("llm.events", 1)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock: Clock) -> IngestCounts:
    return IngestCounts(RejectAlarm(share=0.01, run=100), clock=clock)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What is logged; the module's logger may have been used, and so fixed, before."""
    with capture_logs() as captured:
        monkeypatch.setattr(counts_module, "log", structlog.get_logger())
        yield captured


def refused(count: int, reason: RejectReason = RejectReason.NOT_JSON, *, accepted: int = 0) -> Taken:
    run = 1 if accepted else count
    return Taken(events=accepted, refused={reason: count}, runs=Runs(0 if accepted else count, run, run))


def test_batches_add_up(counts: IngestCounts) -> None:
    counts.took(P0, Taken(records=5, events=3, duplicates=1, unpriced=2, again=7))
    counts.took(P1, Taken(records=2, events=1, refused={RejectReason.CLOCK: 1}, runs=Runs(0, 1, 1)))
    counts.took(P1, refused(2, RejectReason.CLOCK))
    assert (counts.records, counts.events, counts.events_again) == (7, 4, 7)
    assert (counts.duplicates, counts.unpriced) == (1, 2)
    assert counts.rejects == {RejectReason.CLOCK: 3}


def test_series_beyond_the_cap_are_counted_and_said_once(counts: IngestCounts, lines: list[Any]) -> None:
    counts.took(P0, Taken(records=5, events=5))
    assert lines == []
    for _ in range(3):
        counts.took(P0, Taken(records=5, events=5, overflowed=2))
    assert counts.overflowed == 6
    (line,) = lines
    assert line["log_level"] == "warning"
    assert "windows.series_cap" in line["event"]


def test_the_age_of_the_last_commit_counts_from_the_start_at_first(
    counts: IngestCounts, clock: Clock
) -> None:
    clock.now_s += 4
    assert counts.commit_age_s == 4
    counts.committed(events=9, seconds=0.25)
    clock.now_s += 1.5
    assert counts.commit_age_s == 1.5
    assert (counts.checkpoints, counts.committed_events, counts.last_checkpoint_s) == (1, 9, 0.25)


def test_a_share_is_said_with_reasons_figures_and_remedy(counts: IngestCounts, lines: list[Any]) -> None:
    counts.took(P0, refused(60, RejectReason.MISSING_FIELD, accepted=900))
    counts.took(P0, refused(40, RejectReason.CLOCK, accepted=0))
    counts.say_alarms([P0])
    (line,) = lines
    assert line["log_level"] == "error"
    assert line["event"] == "too many events are refused"
    assert (line["share"], line["refused"], line["accepted"]) == ("10.0%", 100, 900)
    assert line["reasons"] == {"missing_field": 60, "clock": 40}
    assert "tokentide tail rejects" in line["remedy"]
    assert "dead_letters.alarm_share" in line["remedy"]


def test_a_run_is_said_with_its_length(counts: IngestCounts, lines: list[Any]) -> None:
    counts.took(P1, refused(120))
    counts.say_alarms([P1])
    (line,) = [line for line in lines if line["alarm"] == "run"]
    assert (line["log_level"], line["in_a_row"], line["reasons"]) == ("error", 120, {"not_json": 120})
    assert "dead_letters.alarm_run" in line["remedy"]


def test_its_end_is_said_calmly(counts: IngestCounts, clock: Clock, lines: list[Any]) -> None:
    counts.took(P0, refused(100, accepted=900))
    counts.say_alarms([P0])
    clock.now_s += 400
    counts.say_alarms([P0])
    assert [line["log_level"] for line in lines] == ["error", "info"]


def test_nothing_is_said_twice_within_the_pause(counts: IngestCounts, clock: Clock, lines: list[Any]) -> None:
    for _ in range(100):
        counts.took(P0, refused(100))
        counts.say_alarms([P0])
        clock.now_s += 0.5
    assert len(lines) == 2  # the share and the run


@pytest.mark.usefixtures("lines")
def test_while_the_group_assigns_anew_runs_are_kept(counts: IngestCounts) -> None:
    counts.took(P0, refused(60))
    counts.say_alarms([])
    counts.took(P0, refused(60))
    assert counts.alarm.is_on("run")
    counts.say_alarms([P1])
    assert not counts.alarm.is_on("run")


def test_failed_tries_are_counted_by_table_and_error() -> None:
    tries = FailedTries()
    tries.failed(FailedTry("llm_events", 10, 252, "TOO_MANY_PARTS", 1, 0.1))
    tries.failed(FailedTry("llm_events", 10, 252, "TOO_MANY_PARTS", 2, 0.2))
    for code in (252, None, 99_999):
        tries.given_up(RetriableSinkError("", table="llm_events", rows=10, code=code, tries=3))
    assert tries.by_table_and_error() == {
        ("llm_events", "TOO_MANY_PARTS"): 3,
        ("llm_events", "NO_ANSWER"): 1,
        ("llm_events", "UNLISTED"): 1,
    }
