from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.decode_traffic import Traffic
from tokentide.schemas.limits import MAX_DEPTH
from tokentide.stream.decode.reference import (
    Bad,
    Good,
    _array_spans,
    _scan,
    count_unknown_fields,
    decode_record,
    is_too_deep,
)

EVENT = {"event_id": "a", "timestamp": 1769860800, "service": "s"}


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_an_event_may_have_so_many_levels() -> None:
    assert not is_too_deep({"x": nested(MAX_DEPTH - 1)})
    assert is_too_deep({"x": nested(MAX_DEPTH), "y": 1})


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 0),
        ({"x": 1, "y": None, "z": []}, 2),
        ({"error": {"class": "other", "class_": "other", "new": None}}, 1),
        ({"stages": [{"x": 1}]}, 0),
        ({"labels": {"x": "y"}, "event_type": "call", "schema_version": 1}, 0),
    ],
)
def test_fields_that_the_contract_does_not_name_are_counted(more: dict[str, Any], count: int) -> None:
    assert count_unknown_fields({**EVENT, **more}) == count


def test_a_time_of_four_hundred_digits_is_refused_as_others_are() -> None:
    """As a float it would be too large, which is another error than the one of a wrong value."""
    (outcome,) = decode_record(json.dumps({**EVENT, "timestamp": 10**400}).encode())
    assert isinstance(outcome, Bad)
    assert outcome.problem.field == "timestamp"


def test_items_that_are_taken_have_no_outcome_and_are_asked_about_once() -> None:
    asked = []

    def taken(item: int, event: Any) -> bool:
        asked.append((item, event["event_id"]))
        return event["event_id"] == "a"

    bad = {**EVENT, "event_id": "b", "turn": 0}
    for record in (
        json.dumps([EVENT, 5, bad]).encode(),
        b"\n".join(json.dumps(item).encode() for item in (EVENT, 5, bad)),
    ):
        asked.clear()
        outcomes = decode_record(record, taken)
        assert [(outcome.item, type(outcome)) for outcome in outcomes] == [(1, Bad), (2, Bad)]
        assert asked == [(0, "a"), (2, "b")]
    assert isinstance(decode_record(json.dumps(EVENT).encode())[0], Good)


def test_the_elements_of_an_array_are_found_as_the_standard_parser_finds_them() -> None:
    found = 0
    for seed in range(300):
        for value in Traffic(seed, oddity=0.0).batch():
            if value and value.lstrip()[:1] == b"[" and decode_record(value)[0].item == 0:
                spans = _array_spans(value, len(decode_record(value)))
                assert spans == list(_scan(value.decode()))
                found += 1
    assert found > 100


def test_the_elements_are_found_beside_what_is_no_json() -> None:
    assert _array_spans(b'[{"a":NaN} ,\n{"b":[1]}]', 2) == [b'{"a":NaN}', b'{"b":[1]}']
