from __future__ import annotations

import pytest

from tokentide.producers.health import Health


@pytest.fixture
def health() -> Health:
    made = Health(patience_s=3.0, now=100.0)
    made.look(is_up=True, problem=None, is_wanted=True, now=100.0)
    return made


def test_in_the_beginning_it_can_be_reached_when_there_is_a_connection():
    health = Health(patience_s=3.0, now=100.0)
    assert not health.can_reach(100.0)
    health.look(is_up=True, problem=None, is_wanted=True, now=100.0)
    assert health.can_reach(100.0)
    assert not health.is_one_by_one


def test_it_is_away_when_something_has_waited_for_a_connection_too_long():
    health = Health(patience_s=3.0, now=100.0)
    for now in (100.0, 101.0, 102.9):
        health.look(is_up=False, problem="why", is_wanted=True, now=now)
    assert not health.is_away(None, 102.9)
    assert health.is_away(None, 103.0)
    assert health.problem == "why"


def test_it_is_not_away_when_nothing_wants_to_be_sent():
    health = Health(patience_s=3.0, now=100.0)
    health.look(is_up=False, problem=None, is_wanted=False, now=100.0)
    assert not health.is_away(None, 200.0)


def test_a_connection_that_comes_up_ends_the_waiting():
    health = Health(patience_s=3.0, now=100.0)
    health.look(is_up=False, problem=None, is_wanted=True, now=100.0)
    health.look(is_up=True, problem=None, is_wanted=True, now=102.0)
    assert not health.is_away(None, 110.0)


def test_it_is_stalled_when_the_oldest_record_and_the_last_answer_are_long_ago(health):
    health.answered(102.0)
    assert not health.is_stalled(101.0, 104.9)
    assert health.is_stalled(101.0, 105.0)
    assert not health.is_stalled(103.0, 105.9)
    assert not health.is_stalled(None, 999.0)


def test_pauses_after_failures_double_and_an_answer_ends_them(health):
    pauses = []
    now = 100.0
    for _ in range(9):
        health.failed("time-out", since=now, now=now)
        began = now
        while not health.can_reach(now):
            now += 0.125
        pauses.append(now - began)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    health.answered(now)
    health.failed("time-out", since=now, now=now)
    assert health.can_reach(now + 0.25)


def test_many_records_that_fail_together_are_one_failure(health):
    for _ in range(5):
        health.failed("time-out", since=99.0, now=100.0)
    assert health.can_reach(100.25)


def test_after_a_failure_and_until_an_answer_records_go_one_by_one(health):
    health.failed("time-out", since=99.0, now=100.0)
    assert health.is_one_by_one
    health.answered(101.0)
    assert not health.is_one_by_one
    assert health.problem is None


def test_suspects_go_one_by_one_and_no_more_than_they(health):
    health.go_singly(2)
    health.answered(100.0)
    assert health.is_one_by_one
    health.answered(100.0)
    assert not health.is_one_by_one


def test_the_connection_is_spent_when_a_probe_fails(health):
    health.failed("time-out", since=99.0, now=100.0)
    assert not health.is_spent
    health.failed("time-out", since=100.5, now=101.0)
    assert health.is_spent
    health.reconnecting()
    assert not health.is_spent
    assert not health.can_reach(200.0)


def test_a_failure_without_a_reason_still_has_a_problem(health):
    health.failed(None, since=99.0, now=100.0)
    assert health.problem == "not acknowledged"
