"""The queue between the application's threads and the sender: bounded by events and by bytes.

`put` is all that runs in the caller's thread besides the encoding: one lock, one append. It wakes the
sender only when the queue stops being empty and when a record's worth has come together, so that a busy
application does not pay for a context switch per event.

The lock is between the callers alone; the sender takes events out without it. So whoever is interrupted inside
`put` by a signal handler can wait in there for the sender to end, and does not wait for itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import RLock
from typing import Final, Literal

from tokentide.producers.bell import Bell

Event = bytes
"""One event, encoded."""
Put = Literal["taken", "full", "closed"]

POLL_S: Final = 0.005
"""How often someone who may wait looks for room. Waiting to be told would need a lock that the sender takes."""


class EventBuffer:
    """Encoded events, first in, first out.

    Args:
        max_events: events held at most.
        max_bytes: bytes held at most.
        wake_events: how many events make the sender come early.
        wake_bytes: how many bytes do.
        monotonic: seconds; tells how long the oldest event has waited.
    """

    def __init__(
        self,
        *,
        max_events: int,
        max_bytes: int,
        wake_events: int,
        wake_bytes: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._wake_events = wake_events
        self._wake_bytes = wake_bytes
        self._monotonic = monotonic
        # Re-entrant: a signal handler or a destructor may emit while its own thread is inside `put`.
        self._lock = RLock()
        self._events: deque[Event] = deque()
        self._closed = False
        self._put_bytes = 0  # changed by callers only
        self._taken_bytes = 0  # changed by the sender only
        self._oldest_at = 0.0
        self.offered = 0
        """Events that `put` was asked to take."""
        self.wake = Bell()
        """Rings when the sender has something to do."""

    def __len__(self) -> int:
        return len(self._events)

    @property
    def bytes(self) -> int:
        """Bytes of the events in it."""
        return self._put_bytes - self._taken_bytes

    @property
    def oldest_at(self) -> float | None:
        """When the oldest event came, in seconds of `monotonic`; None: empty."""
        return self._oldest_at if self._events else None

    def put(self, event: Event, wait_s: float = 0.0) -> Put:
        """Take one event, or say why not. With `wait_s`, wait so long for room."""
        put = self._put(event, offers=1)
        if put == "full" and wait_s:
            deadline = time.monotonic() + wait_s
            while put == "full" and time.monotonic() < deadline:
                self.wake.ring()
                time.sleep(POLL_S)
                put = self._put(event, offers=0)
        return put

    def _put(self, event: Event, *, offers: int) -> Put:
        size = len(event)
        with self._lock:
            # Each sum is read and written back with nothing between where a signal handler could run.
            self.offered += offers
            if self._closed:
                return "closed"
            if not self._has_room(size):
                return "full"
            self._put_bytes += size
            after = self.bytes
            self._events.append(event)
            count = len(self._events)
            if count == 1:
                self._oldest_at = self._monotonic()
            if self.is_closed and self._withdraw(event, size):  # by a handler, and its sender is gone
                return "closed"
        if count in (1, self._wake_events) or after - size < self._wake_bytes <= after:
            self.wake.ring()
        return "taken"

    def _withdraw(self, event: Event, size: int) -> bool:
        """Take an event back; return False where it has been taken out."""
        try:
            self._events.remove(event)
        except ValueError:
            return False
        self._put_bytes -= size
        return True

    def take(self, max_events: int) -> list[Event]:
        """Return and forget the oldest events, at most so many. For one thread, the sender's."""
        events = [self._events.popleft() for _ in range(min(max_events, len(self._events)))]
        self._taken_bytes += sum(map(len, events))
        self._oldest_at = self._monotonic()
        return events

    def close(self) -> None:
        """Take nothing more; what is inside can still be taken out."""
        with self._lock:
            self._closed = True
        self.wake.ring()

    def _has_room(self, size: int) -> bool:
        return not self._events or (
            len(self._events) < self._max_events and self.bytes + size <= self._max_bytes
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def fill(self) -> float:
        """How full the queue is, 0 … 1, by the tighter of the two bounds."""
        return max(len(self._events) / self._max_events, self.bytes / self._max_bytes)
