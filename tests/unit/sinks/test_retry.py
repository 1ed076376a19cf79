"""When an insert is tried again, and for how long."""

from __future__ import annotations

import itertools

import pytest

from tokentide.sinks.retry import RetryPolicy, Surroundings, delays, sleep_unless_stopped


class ManualWorld:
    """A clock that only sleeping moves, and a chosen jitter."""

    def __init__(self, jitter=1.0, stop_after_sleeps=None):
        self.now = 100.0
        self.slept = []
        self.jitter = jitter
        self.stop_after_sleeps = stop_after_sleeps

    def surroundings(self):
        return Surroundings(
            clock=lambda: self.now,
            sleep=self._sleep,
            random=lambda: self.jitter,
            should_stop=lambda: (
                self.stop_after_sleeps is not None and len(self.slept) >= self.stop_after_sleeps
            ),
        )

    def _sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def _take(policy, world, number):
    waits = []
    for wait in itertools.islice(delays(policy, world.surroundings(), started=world.now), number):
        waits.append(wait)
        world.now += wait
    return waits


def test_the_bound_doubles_up_to_the_longest_delay():
    policy = RetryPolicy(first_delay_s=0.1, max_delay_s=1.0, deadline_s=1e9)
    assert _take(policy, ManualWorld(jitter=1.0), 6) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_full_jitter_draws_from_zero_to_the_bound():
    policy = RetryPolicy(first_delay_s=0.1, max_delay_s=1.0, deadline_s=1e9)
    assert _take(policy, ManualWorld(jitter=0.0), 3) == [0.0, 0.0, 0.0]
    assert _take(policy, ManualWorld(jitter=0.5), 3) == pytest.approx([0.05, 0.1, 0.2])


def test_no_try_begins_after_the_deadline():
    policy = RetryPolicy(first_delay_s=1.0, max_delay_s=1.0, deadline_s=3.5)
    assert _take(policy, ManualWorld(), 100) == [1.0, 1.0, 1.0]


def test_time_that_the_tries_took_counts_too():
    policy = RetryPolicy(first_delay_s=1.0, max_delay_s=1.0, deadline_s=3.5)
    world = ManualWorld()
    waits = delays(policy, world.surroundings(), started=world.now)
    world.now += 3
    assert list(waits) == []


def test_a_thousand_failures_do_not_overflow():
    assert RetryPolicy(max_delay_s=5.0).bound_s(10_000) == 5.0


def test_a_long_delay_is_slept_in_pieces_so_that_a_stop_is_heard():
    world = ManualWorld(stop_after_sleeps=2)
    assert not sleep_unless_stopped(10.0, world.surroundings())
    assert sum(world.slept) == 0.5


def test_an_undisturbed_delay_is_slept_whole():
    world = ManualWorld()
    assert sleep_unless_stopped(1.1, world.surroundings())
    assert sum(world.slept) == pytest.approx(1.1)


@pytest.mark.parametrize(
    "wrong", [{"first_delay_s": 0}, {"first_delay_s": 2, "max_delay_s": 1}, {"deadline_s": -1}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="first_delay_s"):
        RetryPolicy(**wrong)
