"""The queue between the application's threads and the sender: bounded by events and by bytes.

`put` is all that runs in the caller's thread besides the encoding: one lock, one append. It wakes the
sender only when the queue stops being empty and when a record's worth has come together, so that a busy
application does not pay for a context switch per event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from threading import Condition, Event, RLock
from typing import Literal

Put = Literal["taken", "full", "closed"]


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
        self._room = Condition(self._lock)
        self._events: deque[bytes] = deque()
        self._closed = False
        self.bytes = 0
        self.offered = 0
        """Events that `put` was asked to take."""
        self.oldest_at: float | None = None
        """When the oldest event came, in seconds of `monotonic`; None: empty."""
        self.wake = Event()
        """Set when the sender has something to do."""

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: bytes, wait_s: float = 0.0) -> Put:
        """Take one event, or say why not. With `wait_s`, wait so long for room."""
        size = len(event)
        with self._lock:
            self.offered += 1
            events, before = self._events, self.bytes
            # One event always fits, whatever its size.
            if self._closed or (
                events and (len(events) >= self._max_events or before + size > self._max_bytes)
            ):
                if not self._waited(size, wait_s):
                    return "closed" if self._closed else "full"
                before = self.bytes
            events.append(event)
            self.bytes = after = before + size
            count = len(events)
            if count == 1:
                self.oldest_at = self._monotonic()
        if count in (1, self._wake_events) or before < self._wake_bytes <= after:
            self.wake.set()
        return "taken"

    def _waited(self, size: int, wait_s: float) -> bool:
        """Wait for room, if that is wanted; return whether there is some. The lock is held."""
        if wait_s and not self._closed:
            self.wake.set()
            self._room.wait_for(lambda: self._closed or self._has_room(size), wait_s)
        return not self._closed and self._has_room(size)

    def take(self, max_events: int) -> list[bytes]:
        """Return and forget the oldest events, at most so many."""
        with self._lock:
            events = list(islice(self._events, max_events))
            for _ in events:
                self._events.popleft()
            self.bytes -= sum(map(len, events))
            self.oldest_at = self._monotonic() if self._events else None
            self._room.notify_all()
        return events

    def close(self) -> None:
        """Take nothing more; what is inside can still be taken out."""
        with self._lock:
            self._closed = True
            self._room.notify_all()
        self.wake.set()

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
