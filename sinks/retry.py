"""Tries again, with exponential backoff and full jitter, until a deadline.

Full jitter (a delay drawn evenly from 0 up to the doubling bound) spreads workers that failed at the same moment;
see Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

STOP_CHECK_SECONDS: Final = 0.25
"""A long delay is slept in pieces of this length, so that a stop is heard soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long and how often an insert is tried."""

    first_delay_s: float = 0.1
    max_delay_s: float = 5.0
    deadline_s: float = 60.0
    """From the beginning of the insert to the beginning of its last try. The last try itself may take as long
    as the connection's request time-out."""

    def __post_init__(self) -> None:
        if not 0 < self.first_delay_s <= self.max_delay_s or self.deadline_s < 0:
            raise ValueError("first_delay_s must be above 0 and at most max_delay_s, deadline_s 0 or more")

    def bound_s(self, failures: int) -> float:
        """The longest delay after so many failures."""
        return min(self.max_delay_s, self.first_delay_s * 2.0 ** min(failures - 1, 60))


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world outside, so that tests need not wait."""

    clock: Callable[[], float]
    """Seconds, never running backwards."""
    sleep: Callable[[float], None]
    random: Callable[[], float]
    """Evenly from 0 up to 1."""
    should_stop: Callable[[], bool]


def delays(policy: RetryPolicy, surroundings: Surroundings, *, started: float) -> Iterator[float]:
    """Yield the delay after each failure; end where the next try would begin after the deadline."""
    failures = 0
    while True:
        failures += 1
        delay_s = policy.bound_s(failures) * surroundings.random()
        if surroundings.clock() + delay_s > started + policy.deadline_s:
            return
        yield delay_s


def sleep_unless_stopped(delay_s: float, surroundings: Surroundings) -> bool:
    """Sleep, in pieces; return False as soon as the caller wants to stop."""
    left_s = delay_s
    while not surroundings.should_stop():
        if left_s <= 0:
            return True
        piece_s = min(left_s, STOP_CHECK_SECONDS)
        surroundings.sleep(piece_s)
        left_s -= piece_s
    return False
