"""What became of every event: counters by reason, and one log line a minute about what went wrong.

The books balance at any time: emitted = delivered + dropped + held (in the queue, on the way, on disk).
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from threading import RLock
from typing import Final, Literal, NamedTuple

log: Final = logging.getLogger("tokentide")

MOST_NAMES: Final = 100
"""Told once each; an event made of arbitrary names may not fill the memory or the log."""
LONGEST_WAIT_S: Final = 0.05
"""For the books, by those who want to read them."""


class Drop(StrEnum):
    """Why an event was given up."""

    INVALID = "invalid"
    """It cannot be sent as it is; the log names the field."""
    QUEUE_FULL = "queue_full"
    """Emitted faster than it could be sent or spooled."""
    CLOSED = "closed"
    """Emitted after the producer was closed."""
    TOO_LARGE = "too_large"
    """The broker does not take a record of its size, alone."""
    REFUSED = "refused"
    """The broker refuses the record itself for good."""
    SPOOL_FULL = "spool_full"
    """The oldest events of the spool made room for newer ones."""
    SPOOL_DAMAGED = "spool_damaged"
    """Their bytes in the spool are damaged."""
    NOT_DELIVERED = "not_delivered"
    """Still unsent at the end of the process, with no spool to keep them."""


_REMEDIES: Final[Mapping[Drop, str]] = {
    Drop.QUEUE_FULL: "raise queue_max_events and queue_max_bytes, or emit less",
    Drop.CLOSED: "close the producer last",
    Drop.TOO_LARGE: "shorten input and output, or raise max.message.bytes of the topic",
    Drop.REFUSED: "check the settings of the topic",
    Drop.SPOOL_FULL: "raise the spool's size, or bring Kafka back sooner",
    Drop.SPOOL_DAMAGED: "check the disk",
    Drop.NOT_DELIVERED: "give close() more time, or switch the spool on",
}


@dataclass(frozen=True, slots=True)
class ProducerStats:
    """Counters since the producer was made (in a forked child: since the fork); events, not records."""

    emitted: int
    """Calls of `emit`, whatever became of them."""
    delivered: int
    """Acknowledged by Kafka, those that an earlier process left in the spool included."""
    recovered: int
    """Taken over from the spool of an earlier process."""
    spooled: int
    """Written to the spool, whether or not they have been sent since."""
    dropped: Mapping[str, int]
    """By reason, see `Drop`."""
    mended: int
    """Sent with one field corrected, such as NaN sent as unknown."""
    suspect: int
    """Of the sampled events: sent, but the worker will refuse them."""
    in_queue: int
    in_flight: int
    in_spool: int
    queue_bytes: int
    spool_bytes: int
    connected: bool
    """Kafka answers."""
    problem: str | None
    """Why it does not, where known."""

    @property
    def held(self) -> int:
        """Events that are neither delivered nor dropped yet."""
        return self.in_queue + self.in_flight + self.in_spool


class _Note(NamedTuple):
    """Something that went wrong, as it is handed in."""

    kind: Drop | Literal["mended", "suspect", "trouble"]
    events: int
    text: str | None


@dataclass(slots=True)
class _Minute:
    """What has gone wrong since the last line."""

    dropped: Counter[Drop] = field(default_factory=Counter)
    mended: int = 0
    suspect: int = 0
    troubles: dict[str, None] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)


class Counts:
    """The counters of one producer; safe to share between threads and with signal handlers.

    Notes are handed in without a lock and entered in the books by one thread at a time; whoever finds the books
    in use leaves the notes to the next, so that the sender never waits for an interrupted thread.

    Args:
        monotonic: seconds, for the minute between two lines.
        every_s: seconds between two lines; the first problem is logged at once.
    """

    def __init__(self, monotonic: Callable[[], float], *, every_s: float = 60.0) -> None:
        self._notes: deque[_Note] = deque()
        self._named: set[str] = set()
        self._books = RLock()  # re-entrant only so that a handler finds `_is_entering` instead of waiting
        self._is_entering = False
        self._monotonic = monotonic
        self._every_s = every_s
        self._next_line = monotonic()
        self._minute = _Minute()
        self._dropped: Counter[Drop] = Counter()
        self._mended = 0
        self._suspect = 0
        self.delivered = 0
        self.recovered = 0
        self.spooled = 0

    @property
    def dropped(self) -> Counter[Drop]:
        """Events given up so far, by reason."""
        self._enter(wait=True)
        return self._dropped.copy()

    @property
    def mended(self) -> int:
        """Events sent with a field corrected."""
        self._enter(wait=True)
        return self._mended

    @property
    def suspect(self) -> int:
        """Sampled events that the worker will refuse."""
        self._enter(wait=True)
        return self._suspect

    def drop(self, reason: Drop, events: int = 1, *, detail: str | None = None) -> None:
        """Count events that are given up; `detail` names the field and never holds a value."""
        self._notes.append(_Note(reason, events, detail))
        self.report()

    def mend(self, detail: str) -> None:
        """Count an event that was sent with a field corrected."""
        self._notes.append(_Note("mended", 1, detail))
        self.report()

    def suspicion(self, detail: str) -> None:
        """Count a sampled event that the worker will refuse."""
        self._notes.append(_Note("suspect", 1, detail))
        self.report()

    def trouble(self, text: str) -> None:
        """Have a state of affairs logged that costs no event yet, such as a full disk."""
        self._notes.append(_Note("trouble", 0, text))
        self.report()

    def unknown(self, field: str, problem: str) -> None:
        """Have a field that the contract does not know logged, once for each name; its event is sent all the same."""
        if field in self._named or len(self._named) >= MOST_NAMES:
            return
        self._named.add(field)
        self.trouble(f"{field} is sent unchanged, but {problem}")

    def report(self, *, last: bool = False) -> None:
        """Log what went wrong, if a minute has passed since the last line, or if this is the last."""
        lines = self._enter(wait=last, last=last)
        for line in lines:
            log.warning("%s", line)

    def _enter(self, *, wait: bool, last: bool | None = None) -> list[str]:
        """Enter the notes; with `last` given return the lines that are due."""
        if not self._books.acquire(timeout=LONGEST_WAIT_S if wait else 0):
            return []
        try:
            if self._is_entering:
                return []
            self._is_entering = True
            try:
                while self._notes:
                    self._enter_one(self._notes.popleft())
                return [] if last is None else self._due(last=last)
            finally:
                self._is_entering = False
        finally:
            self._books.release()

    def _enter_one(self, note: _Note) -> None:
        minute, text = self._minute, note.text
        if note.kind == "trouble":
            minute.troubles[text or ""] = None
            return
        if note.kind == "mended":
            self._mended += 1
            minute.mended += 1
        elif note.kind == "suspect":
            self._suspect += 1
            minute.suspect += 1
        else:
            self._dropped[note.kind] += note.events
            minute.dropped[note.kind] += note.events
        if text:
            minute.first.setdefault(note.kind, text)

    def _due(self, *, last: bool) -> list[str]:
        now = self._monotonic()
        if now < self._next_line and not last:
            return []
        minute, self._minute = self._minute, _Minute()
        lines = _lines(minute)
        if lines:
            self._next_line = now + self._every_s
        return lines


def _lines(minute: _Minute) -> list[str]:
    lines = list(minute.troubles)
    lines += [_dropped(reason, count, minute) for reason, count in minute.dropped.items()]
    if minute.mended:
        lines.append(f"{minute.mended} events sent with a correction; first: {minute.first['mended']}")
    if minute.suspect:
        lines.append(
            f"{minute.suspect} of the sampled events will be refused by the worker; "
            f"first: {minute.first['suspect']}"
        )
    return lines


def _dropped(reason: Drop, count: int, minute: _Minute) -> str:
    line = f"{count} events dropped ({reason})"
    if reason in minute.first:
        line += f"; first: {minute.first[reason]}"
    if reason in _REMEDIES:
        line += f"; {_REMEDIES[reason]}"
    return line
