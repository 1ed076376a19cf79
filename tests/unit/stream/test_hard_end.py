from __future__ import annotations

import threading

from tests.support.waiting import HANGING_S
from tokentide.stream.hard_end import HardEnd


def test_the_process_ends_with_its_code_when_its_time_is_over() -> None:
    ended, codes = threading.Event(), list[int]()

    def exit_now(code: int) -> None:
        codes.append(code)
        ended.set()

    HardEnd(0.01, exit_now=exit_now).begin(20)
    assert ended.wait(HANGING_S)
    assert codes == [20]


def test_asked_twice_it_ends_at_once() -> None:
    codes: list[int] = []
    HardEnd(3_600, exit_now=codes.append).now(0)
    assert codes == [0]


def test_nothing_waits_for_the_end_that_was_not_needed() -> None:
    others = set(threading.enumerate())
    HardEnd(3_600, exit_now=lambda _: None).begin(0)
    timers = [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, threading.Timer) and thread not in others
    ]
    assert timers
    assert all(timer.daemon for timer in timers)
    for timer in timers:
        timer.cancel()
