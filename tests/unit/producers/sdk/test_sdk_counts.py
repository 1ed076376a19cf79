from __future__ import annotations

import pytest

from tokentide.producers.counts import _REMEDIES, Counts, Drop, ProducerStats


@pytest.fixture
def counts(clock) -> Counts:
    return Counts(clock.monotonic)


def test_the_first_problem_is_logged_at_once_and_the_next_after_a_minute(counts, clock, caplog):
    counts.drop(Drop.INVALID, detail="user_id: holds a object, which JSON cannot")
    counts.drop(Drop.INVALID, detail="other: not the first")
    clock.advance(59)
    counts.drop(Drop.QUEUE_FULL, 3)
    assert caplog.messages == [
        "1 events dropped (invalid); first: user_id: holds a object, which JSON cannot"
    ]
    clock.advance(1)
    counts.report()
    assert caplog.messages[1:] == [
        "1 events dropped (invalid); first: other: not the first",
        "3 events dropped (queue_full); raise queue_max_events and queue_max_bytes, or emit less",
    ]


def test_nothing_is_logged_when_nothing_went_wrong(counts, clock, caplog):
    for _ in range(5):
        clock.advance(100)
        counts.report()
    counts.report(last=True)
    assert caplog.messages == []


def test_the_last_report_does_not_wait_for_its_minute(counts, caplog):
    counts.drop(Drop.CLOSED)
    counts.drop(Drop.CLOSED, 2)
    counts.report(last=True)
    assert caplog.messages[1:] == ["2 events dropped (closed); close the producer last"]


def test_a_state_of_affairs_is_told_once_however_often_it_is_met(counts, clock, caplog):
    counts.trouble("first")
    for _ in range(10):
        counts.trouble("the disk is full")
    clock.advance(60)
    counts.report()
    assert caplog.messages == ["first", "the disk is full"]


def test_drops_are_counted_by_reason(counts):
    counts.drop(Drop.SPOOL_FULL, 5)
    counts.drop(Drop.SPOOL_FULL, 2)
    counts.drop(Drop.TOO_LARGE)
    assert counts.dropped == {Drop.SPOOL_FULL: 7, Drop.TOO_LARGE: 1}


def test_every_reason_but_the_one_that_names_a_field_has_a_remedy():
    assert set(_REMEDIES) == set(Drop) - {Drop.INVALID}


def test_held_events_are_those_in_memory_on_the_way_and_on_disk():
    stats = ProducerStats(
        emitted=10, delivered=1, recovered=0, spooled=3, dropped={}, mended=0, suspect=0,
        in_queue=1, in_flight=2, in_spool=3, queue_bytes=0, spool_bytes=0, connected=False, problem=None,
    )  # fmt: skip
    assert stats.held == 6
