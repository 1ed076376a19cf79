"""UUIDv7 ids of events (RFC 9562, section 5.7): sorted by time, and never the same twice in one process.

Layout of the 128 bits: 48 of Unix milliseconds, version 7, 12 + 62 of which the variant takes none:
together a 74-bit number that starts at random in each millisecond and counts up within it (method 2,
"monotonic random", of section 6.2). Ids of one process therefore rise strictly, also when the clock
steps back; ids of two processes in one millisecond meet with a chance of about 10⁻²².
"""

from __future__ import annotations

import os
import time
from threading import RLock
from typing import Final

_COUNTER_BITS: Final = 74
_START_BITS: Final = 73
"""The counter starts below half of its range, so that it cannot run over within a millisecond."""
_LOW_BITS: Final = 62
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_VERSION: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62


class Uuid7:
    """A source of ids; safe to share between threads. A forked child must `reset` it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the counter, so that a forked process does not repeat its parent's ids."""
        self._lock = RLock()  # a signal handler may emit while its own thread takes an id
        self._ms = -1
        self._counter = 0

    def next(self, time_ns: int) -> str:
        """Return the next id as text, for the wall clock `time_ns` (nanoseconds since 1970)."""
        ms = time_ns // 1_000_000
        start = int.from_bytes(os.urandom(10), "big") >> (80 - _START_BITS) if ms > self._ms else 0
        with self._lock:
            # No calls in here: at the end of one a signal handler could run, and take an id in between.
            if ms > self._ms and start:
                self._ms = ms
                self._counter = start
            else:  # the same millisecond, or a clock that stepped back
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._ms += 1
                    self._counter = 0
            ms, counter = self._ms, self._counter
        bits = ms << 80 | _VERSION | counter >> _LOW_BITS << 64 | _VARIANT | counter & _LOW_MASK
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_ids: Final = Uuid7()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.reset)


def uuid7(time_ns: int | None = None) -> str:
    """Return a new id, above all ids of this process before it."""
    return _ids.next(time.time_ns() if time_ns is None else time_ns)
