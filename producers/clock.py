"""The two clocks of the SDK, as parameters, so that tests own the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple


class Clock(NamedTuple):
    """Where times come from."""

    monotonic: Callable[[], float]
    """Seconds, never backwards: durations and waiting."""
    time_ns: Callable[[], int]
    """Nanoseconds since 1970: when an event happened."""


SYSTEM_CLOCK: Final = Clock(time.monotonic, time.time_ns)
