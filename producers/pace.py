"""When to send the next event: by event time, times a speed, against a clock that tests can turn by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

LONGEST_SLEEP_S: Final = 0.5
"""Sleep in pieces, so that progress is refreshed while nothing is due."""
WORTH_PUSHING_S: Final = 0.02
"""Before a longer wait, events held back for packing are sent: live traffic is to arrive live."""


class Clock(Protocol):
    """Wall clock, steady clock, and the way to wait."""

    def now_us(self) -> int:
        """Wall clock, microseconds since 1970 UTC."""

    def steady_s(self) -> float:
        """Seconds since some moment; never goes back."""

    def sleep(self, duration_s: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        """Wall clock, microseconds since 1970 UTC."""
        return time.time_ns() // 1000

    def steady_s(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Wait."""
        time.sleep(duration_s)


class ManualClock:
    """A clock that is turned by hand, or by sleeping: for tests, and for seeing what a pace would do."""

    def __init__(self, now_us: int = 1_800_000_000_000_000) -> None:
        self._started_us = now_us
        self._passed_s = 0.0

    def now_us(self) -> int:
        """Wall clock."""
        return self._started_us + round(self._passed_s * 1e6)

    def steady_s(self) -> float:
        """Seconds slept so far."""
        return self._passed_s

    def sleep(self, duration_s: float) -> None:
        """Be later at once."""
        self._passed_s += duration_s


class Pacer:
    """Waits until an event is due; the first one is due at once, and so is one that goes back in time.

    `speed` is how many seconds of event time pass in a second; None: everything is due at once. With
    `anchor_us` events are due when the clock shows their time, as if the first were at that one, now.
    """

    def __init__(self, clock: Clock, speed: float | None, *, anchor_us: int | None = None) -> None:
        self._clock = clock
        self._speed = speed
        self._first = None if anchor_us is None else (clock.steady_s(), anchor_us)

    def wait_for(self, timestamp_us: int, *, push: Callable[[], None], tick: Callable[[], None]) -> None:
        """Return when the event is due; calls `push` before a wait worth it, and `tick` while waiting."""
        if self._speed is None:
            return
        if self._first is None:
            self._first = (self._clock.steady_s(), timestamp_us)
        started_s, first_us = self._first
        due_s = started_s + (timestamp_us - first_us) / 1e6 / self._speed
        left_s = due_s - self._clock.steady_s()
        if left_s > WORTH_PUSHING_S:
            push()
        while left_s > 0:
            self._clock.sleep(min(left_s, LONGEST_SLEEP_S))
            tick()
            left_s = due_s - self._clock.steady_s()


def parse_speed(text: str) -> float | None:
    """`max` → None; a number of 0.001 or more → itself.

    Raises:
        ValueError: it is neither.
    """
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0.001 <= speed <= 1e9:
        raise ValueError(f"speed {text!r} is neither `max` nor a number such as 1, 10 or 0.5")
    return speed
