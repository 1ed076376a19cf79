"""The parts of one partition that wait for their partner, and what becomes of them. Pure: a function of the log.

A request waits for its answer for 15 minutes, an answer for a request that comes late for one; both in the log's own
time, Kafka's time of the records. A part is given up at the first record that is so much younger than its own. What waits is
bounded in bytes too: beyond that, the oldest is given up early. These limits are no settings, since what is stored of a call
that was given up depends on them: changing one changes the fold.

Where the log is read again from a point in its middle, `restore` puts back what waited there.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final, NamedTuple

from tokentide.schemas.part import PartType
from tokentide.schemas.problems import Problem
from tokentide.stream.decode.batch import Flat
from tokentide.stream.join.call import (
    contradiction,
    crowded_out_request,
    lone_answer,
    lone_request,
    merged,
    whole_call,
)

ROOM_BYTES: Final = 67_108_864
"""What may wait in one partition: 64 MiB, some 30,000 parts without texts."""
_PART_BYTES: Final = 2_000
"""About what a part takes beside its texts."""
_PLACE_BYTES: Final = 150


class LogPlace(NamedTuple):
    """Where an event stands in its partition."""

    offset: int
    item: int
    """In its record, from 0; negative: it stands in none, and the record only ended its wait."""


class JoinLimits(NamedTuple):
    """How long parts wait, in milliseconds of the log's own time."""

    answer_wait_ms: int = 900_000
    """A request, for its answer. AWS lets a function run for 15 minutes at most; OpenAI's client gives up after 10."""
    request_wait_ms: int = 60_000
    """An answer, for a request that two senders have brought out of order."""
    room_bytes: int = ROOM_BYTES


class Arrived(NamedTuple):
    """A part and where it came from."""

    place: LogPlace
    sent_ms: int
    """Kafka's time of its record."""
    kind: PartType
    values: Flat


class Joined(NamedTuple):
    """A call made of parts, at the place that completed it or gave it up."""

    place: LogPlace
    values: Flat

    is_crowded_out: bool = False
    """It was given up early, for want of room."""


@dataclass(slots=True)
class _Waiting:
    """The parts of one side of a call."""

    values: Flat
    kind: PartType
    sent_ms: int
    """Of the first part."""
    deadline_ms: int
    places: list[LogPlace]
    bytes: int

    @property
    def is_request(self) -> bool:
        return self.kind == "request"


class WaitingParts:
    """What waits in one partition. Give it every part in the order of the log, and before the parts of a record the
    record's time where that is past `earliest_deadline_ms`.
    """

    def __init__(self, limits: JoinLimits) -> None:
        self._limits = limits
        self._waiting: dict[tuple[object, object], _Waiting] = {}
        self._by_age: list[tuple[int, LogPlace, tuple[object, object]]] = []
        """A heap of deadlines; may hold what does not wait any more."""
        self._bytes = 0
        self._gave_up = LogPlace(-1, 0)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def earliest_deadline_ms(self) -> int | None:
        """Record time from which on something is given up; None: nothing waits."""
        self._drop_stale()
        return self._by_age[0][0] if self._by_age else None

    @property
    def is_overfull(self) -> bool:
        """Whether the oldest have to be given up for want of room."""
        return self._bytes > self._limits.room_bytes

    @property
    def least_wait_ms(self) -> int:
        """No part that arrives from now on is given up earlier than that after its own record."""
        return min(self._limits.answer_wait_ms, self._limits.request_wait_ms)

    def places(self) -> list[LogPlace]:
        """Where all that waits stands, in the order of the log."""
        return sorted(place for waiting in self._waiting.values() for place in waiting.places)

    def restore(self, part: Arrived) -> None:
        """Put back a part that is known to wait; in the order of the log."""
        key = _key(part.values)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._add(key, part)
        else:
            self._extend(waiting, part, merged(waiting.values, part.values))

    def take(self, part: Arrived) -> Joined | Problem | None:
        """Take a part. Return the call that it completes, why it cannot be joined, or None: it waits."""
        key = _key(part.values)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._add(key, part)
            return None
        if waiting.is_request == (part.kind == "request"):
            values = merged(waiting.values, part.values)
            if problem := contradiction(waiting.values, part.values, values):
                return problem
            self._extend(waiting, part, values)
            return None
        call = (
            whole_call(waiting.values, part.values, part.kind)
            if waiting.is_request
            else whole_call(part.values, waiting.values, waiting.kind)
        )
        if problem := contradiction(waiting.values, part.values, call):
            return problem
        self._remove(key)
        return Joined(part.place, call)

    def give_up(self, offset: int, sent_ms: int) -> list[Joined]:
        """The calls of all parts that have waited too long for a record of this place and time, or have no room."""
        given_up: list[Joined] = []
        while (deadline_ms := self.earliest_deadline_ms) is not None:
            is_early = deadline_ms > sent_ms
            if is_early and not self.is_overfull:
                break
            _, _, key = self._by_age[0]
            values = self._alone(self._waiting[key], sent_ms, is_early=is_early)
            given_up.append(Joined(self._next_place(offset), values, is_early))
            self._remove(key)
        return given_up

    def _alone(self, waiting: _Waiting, sent_ms: int, *, is_early: bool) -> Flat:
        if not waiting.is_request:
            return lone_answer(waiting.values, waiting.kind)
        if is_early:
            return crowded_out_request(waiting.values, max(0, sent_ms - waiting.sent_ms))
        return lone_request(waiting.values, self._limits.answer_wait_ms)

    def _next_place(self, offset: int) -> LogPlace:
        """-1, -2, … at each record."""
        item = self._gave_up.item - 1 if self._gave_up.offset == offset else -1
        self._gave_up = LogPlace(offset, item)
        return self._gave_up

    def _add(self, key: tuple[object, object], part: Arrived) -> None:
        is_request = part.kind == "request"
        wait_ms = self._limits.answer_wait_ms if is_request else self._limits.request_wait_ms
        size = _size(part.values)
        waiting = _Waiting(part.values, part.kind, part.sent_ms, part.sent_ms + wait_ms, [part.place], size)
        self._waiting[key] = waiting
        self._bytes += size
        heapq.heappush(self._by_age, (waiting.deadline_ms, part.place, key))

    def _extend(self, waiting: _Waiting, part: Arrived, values: Flat) -> None:
        """Another part of the same side: the later one's values count."""
        size = _size(values) + len(waiting.places) * _PLACE_BYTES
        self._bytes += size - waiting.bytes
        waiting.values, waiting.kind, waiting.bytes = values, part.kind, size
        waiting.places.append(part.place)

    def _remove(self, key: tuple[object, object]) -> None:
        self._bytes -= self._waiting.pop(key).bytes

    def _drop_stale(self) -> None:
        """What is not waited for any more leaves the heap when it comes to its top, or when it is most of it."""
        if len(self._by_age) > 2 * len(self._waiting) + 1_000:
            self._by_age = [entry for entry in self._by_age if self._is_fresh(entry)]
            heapq.heapify(self._by_age)
        while self._by_age and not self._is_fresh(self._by_age[0]):
            heapq.heappop(self._by_age)

    def _is_fresh(self, entry: tuple[int, LogPlace, tuple[object, object]]) -> bool:
        waiting = self._waiting.get(entry[2])
        return waiting is not None and waiting.places[0] == entry[1]


def _key(values: Flat) -> tuple[object, object]:
    return values["service"], values["request_id"]


def _size(values: Flat) -> int:
    """About what it takes in memory; the same on every machine, because what is given up follows from it."""
    texts = [value for value in values.values() if type(value) is str]
    together = "".join(texts)
    if together.isascii():
        return _PART_BYTES + len(together)
    return _PART_BYTES + sum(len(text) if text.isascii() else 4 * len(text) for text in texts)
