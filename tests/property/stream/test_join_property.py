"""Joining parts: as a slow reference does it, however the log is cut, and from wherever it is read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokentide.schemas.part import PartType
from tokentide.stream.decode.batch import Flat, Other, OtherEvent
from tokentide.stream.join.batch import Records, arrived, join, parts_of
from tokentide.stream.join.waiting import JoinLimits, LogPlace, WaitingParts

ROOM = 16_100
LIMITS = JoinLimits(answer_wait_ms=100, request_wait_ms=30, room_bytes=ROOM)
"""Eight parts have room, of 2,000 bytes each and a few for their names."""
FIRST_OFFSET = 1_000


class Part(NamedTuple):
    kind: PartType
    request_id: str


class Record(NamedTuple):
    after_ms: int
    parts: Sequence[Part]


class Call(NamedTuple):
    """What is compared of a call."""

    place: tuple[int, int]
    made_of: str
    names: tuple[str, ...]
    """Of its parts."""


PARTS = st.builds(Part, st.sampled_from(["request", "response", "error"]), st.sampled_from("abcdefghijkl"))
RECORDS = st.lists(st.builds(Record, st.integers(-20, 40), st.lists(PARTS, max_size=3)), max_size=40)


@dataclass
class Side:
    kind: str
    sent_ms: int
    places: list[tuple[int, int]]
    names: list[str]

    @property
    def bytes(self) -> int:
        """With a service and a request id of one letter."""
        return 2_000 + 2 + len(self.names[-1]) + 150 * (len(self.places) - 1)


def reference(records: Sequence[Record]) -> tuple[list[Call], list[tuple[int, int]]]:
    """The calls in the order in which they come about, and the places of what waits at the end."""
    waiting: dict[str, Side] = {}
    calls: list[Call] = []
    now_ms = 0
    for row, record in enumerate(records):
        offset, now_ms, given_up = FIRST_OFFSET + row, now_ms + record.after_ms, 0

        def oldest() -> str | None:
            ends = {
                request_id: (side.sent_ms + (100 if side.kind == "request" else 30), side.places[0])
                for request_id, side in waiting.items()
            }
            return min(ends, key=lambda request_id: ends[request_id]) if ends else None

        def give_up(request_id: str, item: int, at: int = offset) -> None:
            side = waiting.pop(request_id)
            calls.append(Call((at, item), side.kind, tuple(sorted(side.names))))

        while (found := oldest()) is not None:
            side = waiting[found]
            if side.sent_ms + (100 if side.kind == "request" else 30) > now_ms:
                break
            given_up += 1
            give_up(found, -given_up)
        for item, part in enumerate(record.parts):
            name, side_of = f"{offset}.{item}", waiting.get(part.request_id)
            if side_of is None:
                waiting[part.request_id] = Side(part.kind, now_ms, [(offset, item)], [name])
            elif (side_of.kind == "request") == (part.kind == "request"):
                side_of.kind = part.kind
                side_of.places.append((offset, item))
                side_of.names.append(name)
            else:
                del waiting[part.request_id]
                answer = part.kind if side_of.kind == "request" else side_of.kind
                calls.append(Call((offset, item), f"request+{answer}", tuple(sorted([*side_of.names, name]))))
            while sum(side.bytes for side in waiting.values()) > ROOM:
                given_up += 1
                give_up(str(oldest()), -given_up)
    return calls, sorted(place for side in waiting.values() for place in side.places)


def values(part: Part, name: str) -> Flat:
    return {
        "event_id": name,
        "timestamp": 1_769_860_800_000_000,
        "service": "s",
        "request_id": part.request_id,
        "labels": {name: "x"},
    }


@dataclass
class LogOfParts:
    """The same records as the code under test sees them."""

    records: Sequence[Record]

    def __post_init__(self) -> None:
        self.offsets = np.arange(FIRST_OFFSET, FIRST_OFFSET + len(self.records))
        self.times_ms = np.cumsum([0, *(record.after_ms for record in self.records)])[1:].astype(np.int64)

    def parts(self, begin: int, end: int) -> list[Other]:
        return parts_of(
            [
                OtherEvent(row, item, part.kind, values(part, f"{FIRST_OFFSET + row}.{item}"), 0)
                for row in range(begin, end)
                for item, part in enumerate(self.records[row].parts)
            ]
        )

    def joined(self, waiting: WaitingParts, begin: int, end: int) -> list[Call]:
        rows = slice(begin, end)
        values = list[Flat]()
        log = Records(begin, self.offsets[rows], self.times_ms[rows])
        found = join(waiting, self.parts(begin, end), log, values.extend)
        assert found.refused == []
        calls = []
        for call, of_call in zip(found.calls, values, strict=True):
            labels = of_call["labels"]
            assert isinstance(labels, dict)
            assert call.assembled_from == of_call["assembled_from"]
            place = (FIRST_OFFSET + call.record, call.item)
            calls.append(Call(place, call.assembled_from, tuple(sorted(labels))))
        return calls

    def restored(self, places: Sequence[LogPlace], before: int) -> WaitingParts:
        """What a worker holds that begins in the middle, and knows only the places of what waits."""
        waiting = WaitingParts(LIMITS)
        for part in self.parts(0, before):
            offset = int(self.offsets[part.record])
            if LogPlace(offset, part.item) in places:
                waiting.restore(arrived(part, offset, int(self.times_ms[part.record])))
        return waiting


@given(RECORDS, st.lists(st.integers(1, 9)), st.sets(st.integers(0, 40)))
def test_calls_are_those_of_the_reference_however_the_log_is_cut_and_read_again(
    records: list[Record], sizes: list[int], restarts: set[int]
) -> None:
    log, waiting = LogOfParts(records), WaitingParts(LIMITS)
    calls: list[Call] = []
    begin = 0
    for size in [*sizes, len(records) + 1]:
        end = min(begin + size, len(records))
        if begin in restarts:
            waiting = log.restored(waiting.places(), begin)
        calls += log.joined(waiting, begin, end)
        begin = end
    expected, still_waiting = reference(records)
    assert sorted(calls) == sorted(expected)
    assert waiting.places() == still_waiting


@given(RECORDS)
def test_every_part_is_in_one_call_or_waits(records: list[Record]) -> None:
    log, waiting = LogOfParts(records), WaitingParts(LIMITS)
    calls = log.joined(waiting, 0, len(records))
    in_calls = [name for call in calls for name in call.names]
    waits = [f"{offset}.{item}" for offset, item in waiting.places()]
    assert sorted(in_calls + waits) == sorted(
        str(part.values["event_id"]) for part in log.parts(0, len(records))
    )
    assert len({call.place for call in calls}) == len(calls)
