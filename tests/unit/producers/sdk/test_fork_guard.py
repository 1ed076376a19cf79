from __future__ import annotations

import threading

from tests.support.waiting import HANGING_S
from tokentide.producers import fork_guard
from tokentide.producers.fork_guard import _Guard, no_fork


def test_a_fork_waits_until_the_loading_is_over(monkeypatch):
    guard = _Guard()
    monkeypatch.setattr(fork_guard, "_guard", guard)
    order = []

    def fork() -> None:
        guard.before_fork()
        order.append("forked")
        guard.after_fork_in_parent()

    with no_fork():
        forking = threading.Thread(target=fork)
        forking.start()
        forking.join(0.2)
        order.append("loaded")
    forking.join(HANGING_S)
    assert order == ["loaded", "forked"]
    with no_fork():  # and the parent can load again afterwards
        pass


def test_a_loading_that_hangs_does_not_hold_a_fork_up_for_ever(monkeypatch):
    guard = _Guard()
    monkeypatch.setattr(fork_guard, "_guard", guard)
    monkeypatch.setattr(fork_guard, "LONGEST_WAIT_S", 0.05)
    with no_fork():
        guard.before_fork()
        guard.after_fork_in_parent()


def test_the_child_can_load_although_the_parent_was_loading(monkeypatch):
    guard = _Guard()
    monkeypatch.setattr(fork_guard, "_guard", guard)
    monkeypatch.setattr(fork_guard, "LONGEST_WAIT_S", 0.05)
    with no_fork():
        guard.before_fork()
        guard.after_fork_in_child()
        with no_fork():
            pass
