"""Waiting for what another thread or process does.

A wait ends as soon as its condition holds. Its limit is protection against hanging and nothing else: so long that no
machine is too slow for it, however busy with other things. No test measures how long something takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

HANGING_S: Final = 300.0
"""The limit of every wait in the tests, in seconds; also for what takes a time-out of its own, as `wait` and `get` do."""

Found = TypeVar("Found")


def until(condition: Callable[[], Found], what: str = "it", *, every_s: float = 0.05) -> Found:
    """Wait until a condition holds, looking so often; return what it found."""
    end = time.monotonic() + HANGING_S
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {HANGING_S:g} s"
        time.sleep(every_s)
    return found


def seconds_of(action: Callable[[], object]) -> float:
    """How long something took, in seconds: for lower bounds alone, which no machine is too slow for."""
    begin = time.monotonic()
    action()
    return time.monotonic() - begin
