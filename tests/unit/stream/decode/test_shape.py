from __future__ import annotations

import pyarrow as pa
import pytest

from tokentide.schemas.columns import call_columns
from tokentide.stream.decode.shape import COLUMNS, MOST_LABEL_KEYS, Shape, full_shape

BASE = {"event_id": "e", "timestamp": "2026-01-31T12:00:00Z", "service": "s"}


def learned(*events: object) -> Shape:
    shape = Shape()
    shape.learn(events)
    return shape


def test_a_shape_is_the_fields_that_were_seen() -> None:
    shape = learned(
        {**BASE, "turn": 1, "stages": {"model_ms": 1.5}, "stream": True, "finish_reasons": ["stop"]}
    )
    assert shape.schema() == pa.schema(
        [
            ("event_id", pa.string()),
            ("timestamp", pa.string()),
            ("service", pa.string()),
            ("turn", pa.int64()),
            ("stream", pa.bool_()),
            ("finish_reasons", pa.list_(pa.string())),
            ("stages", pa.struct([("model_ms", pa.float64())])),
        ]
    )


def test_learning_says_whether_anything_was_new_and_forgets_nothing() -> None:
    shape = Shape()
    assert shape.learn([BASE])
    assert not shape.learn([BASE])
    assert shape.learn([{"turn": 2}])
    assert not shape.learn([BASE, {"turn": 3}])
    assert set(shape.forms) == {("event_id",), ("timestamp",), ("service",), ("turn",)}


@pytest.mark.parametrize(
    "event", [None, 5, "text", ["list"], {"brand_new": 1}, {"stages": {"brand_new": 1}}, {"turn": None}]
)
def test_what_tells_nothing_about_the_contract_is_not_learned(event: object) -> None:
    shape = Shape()
    assert not shape.learn([event])
    assert shape == Shape()


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["2026-01-31T12:00:00Z"], "string"),
        ([1_769_860_800], "integer"),
        ([1_769_860_800.5], "float"),
        ([1_769_860_800, 1_769_860_800.5], "float"),
        ([1_769_860_800.5, 1_769_860_800], "float"),  # a whole number is a float too, not the other way round
        (["2026-01-31T12:00:00Z", 1_769_860_800], "integer"),
        ([1_769_860_800, "2026-01-31T12:00:00Z"], "string"),
    ],
)
def test_the_newest_form_of_a_time_wins(values: list[object], form: str) -> None:
    shape = Shape()
    for value in values:
        shape.learn([{"timestamp": value}])
    assert shape.forms["timestamp",] == form


def test_keys_of_labels_are_collected() -> None:
    shape = learned({"labels": {"b": "1"}}, {"labels": {"a": "2", "b": "3"}})
    assert shape.schema().field("labels").type == pa.struct([("a", pa.string()), ("b", pa.string())])


def test_past_the_most_keys_of_labels_none_is_added() -> None:
    shape = learned({"labels": {f"k{n}": "v" for n in range(MOST_LABEL_KEYS)}})
    assert len(shape.label_keys) == MOST_LABEL_KEYS
    assert not shape.learn([{"labels": {"one_more": "v"}}])
    assert not shape.learn([{"labels": "no object"}])


def test_fields_that_were_noticed_are_taken_in_their_first_form() -> None:
    shape = learned({"timestamp": 5})
    shape.learn_paths([("turn",), ("error", "class"), ("timestamp",), ("event_type",)])
    assert (shape.forms["turn",], shape.forms["error", "class"]) == ("integer", "string")
    assert shape.forms["timestamp",] == "integer"  # what was learned stays
    assert shape.envelope == {("event_type",)}


def test_the_whole_contract_keeps_what_was_learned_and_leaves_out_labels() -> None:
    shape = learned({"timestamp": 5, "labels": {"a": "b"}})
    whole = full_shape(shape)
    assert whole.forms["timestamp",] == "integer"
    assert set(whole.forms) == {column.path for column in call_columns() if column.kind != "labels"}
    assert shape.label_keys == {"a"}  # the learned one is not changed
    assert ("labels",) in shape.forms


def test_every_column_has_a_form_that_arrow_can_read() -> None:
    shape = Shape()
    shape.learn_paths(COLUMNS)
    assert {path for path in COLUMNS if path[0] not in shape.schema().names} == set()


def names(shape: Shape) -> list[str]:
    return list(shape.schema().names)


def test_fields_stand_in_the_order_of_the_events() -> None:
    event = {"service": "s", "stages": {"model_ms": 1.5}, "schema_version": 1, "event_id": "e", "turn": 1}
    shape = learned(event)
    shape.learn_order([event])
    assert names(shape) == ["service", "stages", "schema_version", "event_id", "turn"]


def test_a_field_that_comes_later_stands_behind_the_one_it_follows() -> None:
    first, second = {"event_id": "e", "turn": 1}, {"service": "s", "event_id": "e", "stream": True, "turn": 1}
    shape = learned(first, second)
    shape.learn_order([first])
    shape.learn_order([second, "no event"])
    assert names(shape) == ["service", "event_id", "stream", "turn"]


def test_names_outside_the_contract_have_no_place() -> None:
    shape = Shape()
    shape.learn_order([{"event_id": "e", **{f"x{number}": 1 for number in range(1_000)}}])
    assert shape.order == ["event_id"]
