"""When a child is started again, by the clock of the test."""

from __future__ import annotations

from tokentide.embedded.restarts import RestartHistory, RestartPolicy

POLICY = RestartPolicy(max_restarts=4, window_s=60, first_delay_s=0.5, max_delay_s=2)


def delays(history: RestartHistory, *deaths_s: float) -> list[float | None]:
    return [history.delay_after_death(now_s) for now_s in deaths_s]


def test_each_death_within_the_window_doubles_the_pause_up_to_a_limit():
    assert delays(RestartHistory(POLICY), 0, 1, 2, 3) == [0.5, 1.0, 2.0, 2.0]


def test_the_death_after_the_last_allowed_restart_ends_it():
    assert delays(RestartHistory(POLICY), 0, 1, 2, 3, 4) == [0.5, 1.0, 2.0, 2.0, None]


def test_deaths_long_ago_are_forgotten():
    history = RestartHistory(POLICY)
    assert delays(history, 0, 1, 2, 3) == [0.5, 1.0, 2.0, 2.0]
    assert delays(history, 61.5) == [2.0]  # those at 0 and 1 are out of the window, two remain
    assert delays(history, 1000) == [0.5]


def test_a_child_that_dies_once_in_a_while_is_started_for_ever():
    assert delays(RestartHistory(POLICY), *range(0, 2000, 20)).count(None) == 0


def test_the_deaths_that_counted_are_told():
    history = RestartHistory(POLICY)
    delays(history, 0, 1, 2, 3, 4)
    assert history.recent_deaths == 5
