from __future__ import annotations

import json

import pytest

from tokentide.producers.packing import Packed, halves, pack, packs, unpack

EVENTS = [b'{"event_id":"%d","input":"},\\\\n{"}' % number for number in range(7)]


def test_one_event_is_the_bare_object():
    assert pack([b'{"a":1}']) == Packed(b'{"a":1}', 1)


def test_several_events_are_an_array_with_a_newline_between_objects_and_nowhere_else():
    assert pack([b'{"a":1}', b'{"b":2}', b'{"c":3}']) == Packed(b'[{"a":1},\n{"b":2},\n{"c":3}]', 3)


def test_a_pack_is_a_json_array_of_its_events_in_order():
    assert json.loads(pack(EVENTS).value) == [json.loads(event) for event in EVENTS]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_unpacking_gives_the_events_back(count):
    assert unpack(pack(EVENTS[:count])) == EVENTS[:count]


def test_no_pack_has_more_events_than_allowed():
    made = list(packs(EVENTS, max_events=3, max_bytes=10_000))
    assert [record.events for record in made] == [3, 3, 1]
    assert [event for record in made for event in unpack(record)] == EVENTS


def test_no_pack_is_larger_than_allowed_and_the_bound_is_used():
    three = len(pack(EVENTS[:3]).value)
    assert [record.events for record in packs(EVENTS, max_events=50, max_bytes=three)] == [3, 3, 1]
    assert [record.events for record in packs(EVENTS, max_events=50, max_bytes=three - 1)] == [2, 2, 2, 1]


def test_an_event_larger_than_the_bound_is_alone():
    large = b'{"input":"' + b"x" * 100 + b'"}'
    made = list(packs([EVENTS[0], large, EVENTS[1]], max_events=50, max_bytes=60))
    assert made == [pack([EVENTS[0]]), pack([large]), pack([EVENTS[1]])]


def test_parts_and_evaluations_are_records_of_their_own_in_order_and_calls_are_packed_as_without_them():
    parts = [
        b'{"event_type":"%s","event_id":"%d"}' % (kind, number)
        for number, kind in enumerate([b"request", b"response", b"error", b"evaluation"])
    ]
    unknown = b'{"event_type":"unheard-of"}'
    mixed = [EVENTS[0], parts[0], parts[1], EVENTS[1], unknown, parts[2], EVENTS[2], parts[3]]
    made = list(packs(mixed, max_events=3, max_bytes=10_000))
    calls = [EVENTS[0], EVENTS[1], unknown, EVENTS[2]]
    assert [record for record in made if record.value in parts] == [Packed(part, 1) for part in parts]
    assert [record for record in made if record.value not in parts] == [pack(calls[:3]), pack(calls[3:])]


def test_nothing_to_pack_gives_no_record():
    assert list(packs([], max_events=5, max_bytes=100)) == []


@pytest.mark.parametrize("count", [2, 3, 7])
def test_halves_hold_all_events_in_order_and_neither_is_empty(count):
    first, second = halves(pack(EVENTS[:count]))
    assert unpack(first) + unpack(second) == EVENTS[:count]
    assert first.events > 0
    assert second.events > 0
