"""The reference path: one record at a time through pydantic. Slow, and always right.

It defines what is accepted; the columnar path may only accept what this one accepts, with the same values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from tokentide.schemas.call import CallEvent
from tokentide.schemas.columns import call_columns
from tokentide.schemas.evaluation import EVALUATION, EvaluationEvent
from tokentide.schemas.limits import MAX_DEPTH, MAX_ITEMS_PER_RECORD, MAX_RECORD_BYTES
from tokentide.schemas.part import PART_TYPES, PartEvent
from tokentide.schemas.problems import Problem, kind_of, problem_of
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode.batch import WHOLE_RECORD

JsonObject = Mapping[str, Any]

Event = CallEvent | EvaluationEvent
"""A call, a part of one (`PartEvent` is a `CallEvent`), or an evaluation."""

_MODELS: Final[Mapping[str, type[Event]]] = {
    "": CallEvent,
    "call": CallEvent,
    **dict.fromkeys(PART_TYPES, PartEvent),
    EVALUATION: EvaluationEvent,
}
_KNOWN_TYPES: Final = ", ".join(f"`{name}`" for name in sorted(_MODELS) if name)


class Good(NamedTuple):
    """An accepted event."""

    item: int
    event: Event
    unknown_fields: int


class Bad(NamedTuple):
    """A refused item, or (`item` −1) a refused record."""

    item: int
    problem: Problem
    value: bytes | None


def decode_record(value: bytes | None) -> list[Good | Bad]:
    """Return the outcome of every item of a record, in order; a record that cannot be read is one `Bad`.

    A record is one JSON object, an array of objects, or objects one to a line (NDJSON).
    """
    if not value:
        return [
            Bad(
                WHOLE_RECORD,
                Problem(RejectReason.EMPTY, "the record has no value; send one JSON object"),
                value,
            )
        ]
    if len(value) > MAX_RECORD_BYTES:
        text = f"the record has {len(value)} bytes; at most {MAX_RECORD_BYTES} are read: send fewer events a record"
        return [Bad(WHOLE_RECORD, Problem(RejectReason.TOO_LARGE, text), value)]
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = Problem(
            RejectReason.NOT_UTF8, f"byte {error.start} is not UTF-8; encode the JSON text as UTF-8"
        )
        return [Bad(WHOLE_RECORD, problem, value)]
    try:
        parsed = from_json(value)
    except ValueError as error:
        return _decode_lines(value, text, error)
    if isinstance(parsed, list):
        return _decode_array(parsed, value, text)
    return [_decode_item(0, parsed, value)]


def _decode_lines(value: bytes, text: str, error: ValueError) -> list[Good | Bad]:
    """Objects one to a line. A line that is none does not take its neighbours with it; but one of them must be an object,
    so that a single document over several lines, or a damaged array, is one refusal and not one for each line.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    objects = sum(line.strip().startswith("{") for line in lines)
    refused: list[Good | Bad] = [Bad(WHOLE_RECORD, _not_json(error), value)]
    if len(lines) < 2 or not objects or text.lstrip().startswith("["):
        return refused
    if len(lines) > MAX_ITEMS_PER_RECORD:
        return [_too_many(len(lines), value)] if objects == len(lines) else refused
    if objects < len(lines) and not any(_is_object(line) for line in lines):
        return refused
    return [decode_line(index, line.encode()) for index, line in enumerate(lines)]


def _is_object(line: str | bytes) -> bool:
    try:
        return isinstance(from_json(line), dict)
    except ValueError:
        return False


def decode_line(index: int, line: bytes) -> Good | Bad:
    """Return the outcome of one item that is known to be one: its position in the record, and its own bytes."""
    try:
        parsed = from_json(line)
    except ValueError as error:
        return Bad(index, _not_json(error), line)
    return _decode_item(index, parsed, line)


def _decode_array(items: list[Any], value: bytes, text: str) -> list[Good | Bad]:
    if not items:
        return [
            Bad(WHOLE_RECORD, Problem(RejectReason.EMPTY, "the array holds no events; do not send it"), value)
        ]
    if len(items) > MAX_ITEMS_PER_RECORD:
        return [_too_many(len(items), value)]
    outcomes = [_decode_item(index, item, b"") for index, item in enumerate(items)]
    if all(isinstance(outcome, Good) for outcome in outcomes):
        return outcomes
    spans = _array_spans(text, len(items))
    return [
        outcome._replace(value=spans[outcome.item] if spans else value)
        if isinstance(outcome, Bad)
        else outcome
        for outcome in outcomes
    ]


def _decode_item(index: int, item: object, value: bytes) -> Good | Bad:
    problem = _envelope_problem(item)
    if problem is None and isinstance(item, dict):
        try:
            model = _MODELS[item.get("event_type") or ""]
            return Good(index, model.model_validate(item), count_unknown_fields(item))
        except ValidationError as error:
            problem = problem_of(error)
    assert problem is not None
    return Bad(index, problem, value)


def _envelope_problem(item: object) -> Problem | None:
    if not isinstance(item, dict):
        text = f"an event must be a JSON object, this is {kind_of(item)}"
        return Problem(RejectReason.WRONG_TYPE, text)
    if is_too_deep(item):
        return Problem(
            RejectReason.TOO_LARGE, f"the event is nested more than {MAX_DEPTH} levels deep; flatten it"
        )
    kind = item.get("event_type")
    if kind is None or (isinstance(kind, str) and kind in _MODELS):
        return None
    text = (
        f"event_type: is {kind_of(kind)} and not known; use one of {_KNOWN_TYPES}, or leave it out for a call"
    )
    return Problem(RejectReason.UNKNOWN_EVENT_TYPE, text, "event_type")


def is_too_deep(event: object) -> bool:
    """Whether it has more than `MAX_DEPTH` levels, of which the event itself is the first. Looks breadth first, so that a
    deep value cannot exhaust the stack.
    """
    layer: list[object] = [event]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                inner += [child for child in item.values() if isinstance(child, dict | list)]
            elif isinstance(item, list):
                inner += [child for child in item if isinstance(child, dict | list)]
        if not inner:
            return False
        layer = inner
    return True


def _not_json(error: ValueError) -> Problem:
    # The parser's message holds positions and its own words only, never the text.
    return Problem(
        RejectReason.NOT_JSON, f"not JSON: {error}; send one JSON object, an array, or one object a line"
    )


def _too_many(count: int, value: bytes) -> Bad:
    text = f"the record holds {count} events; at most {MAX_ITEMS_PER_RECORD} are read: send more records"
    return Bad(WHOLE_RECORD, Problem(RejectReason.TOO_LARGE, text), value)


def _array_spans(text: str, count: int) -> list[bytes] | None:
    """The bytes of each element of a JSON array, or None where the standard parser reads it differently."""
    try:
        spans = list(_scan(text))
    except (ValueError, RecursionError):
        return None
    return spans if len(spans) == count else None


class ItemBytes:
    """The bytes of single items of records that were accepted. Each record is split once, however many are asked for."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        self._values = values
        self._record = -1
        self._items: Sequence[bytes] = ()

    def of(self, record: int, item: int) -> bytes | None:
        """The bytes of an item, or of the record where they cannot be told."""
        if record != self._record:
            self._record, self._items = record, _items_of(self._values[record])
        # An event was read from it, so it is an object; where it is none, the lines are those of one object.
        if not 0 <= item < len(self._items) or not _is_object(self._items[item]):
            return self._values[record]
        return self._items[item]


def _items_of(value: bytes | None) -> Sequence[bytes]:
    """The items of an array, or the lines if there are several; none where they cannot be told."""
    text = (value or b"").decode("utf-8", "replace")
    if text.lstrip().startswith("["):
        try:
            return list(_scan(text))
        except (ValueError, RecursionError, IndexError):
            return ()
    lines = [line.encode() for line in text.split("\n") if line.strip()]
    return lines if len(lines) > 1 else ()


def _scan(text: str) -> Iterator[bytes]:
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    while True:
        while text[position] in " \t\r\n,":
            position += 1
        if text[position] == "]":
            return
        _, end = decoder.raw_decode(text, position)
        yield text[position:end].encode()
        position = end


def _known_tree() -> dict[str, Any]:
    tree: dict[str, Any] = {"event_type": None, "schema_version": None}
    for column in call_columns():
        node = tree
        for part in column.path[:-1]:
            node = node.setdefault(part, {})
        node[column.path[-1]] = None
    return tree


_KNOWN: Final = _known_tree()


def count_unknown_fields(item: JsonObject) -> int:
    """Count the non-null fields, at the top and in the contract's own objects, that it does not name."""
    count = 0
    for name, value in item.items():
        if value is None:
            continue
        if name not in _KNOWN:
            count += 1
        elif isinstance(known := _KNOWN[name], dict) and isinstance(value, dict):
            count += sum(1 for key, inner in value.items() if key not in known and inner is not None)
    return count


def flat_values(event: Event) -> dict[str, object]:
    """The event's columns by flat name, as `batch.Flat` describes them; without defaults, and without what is empty."""
    values: dict[str, object] = {}
    given = event.model_fields_set
    for attribute, names in _COLUMN_NAMES.items():
        if attribute not in given:
            continue
        value = getattr(event, attribute)
        if isinstance(names, str):
            _put(values, names, value)
        elif value is not None:
            for inner in value.model_fields_set:
                _put(values, names[inner], getattr(value, inner))
    for name in ("input", "output"):
        if isinstance(content := values.get(name), list):
            values[name] = to_json(content).decode()
            values[f"{name}_is_messages"] = True
    for name in WITH_DEFAULT:
        if values.get(name) == "default":
            del values[name]
    return values


def _put(values: dict[str, object], name: str, value: object) -> None:
    if value is not None and value not in ("", [], {}):
        values[name] = value


def _column_names() -> Mapping[str, str | Mapping[str, str]]:
    """The flat name of each attribute of the model, or of each attribute of the object that it is."""
    names: dict[str, str | dict[str, str]] = {}
    for column in call_columns():
        *outer, inner = ("class_" if part == "class" else part for part in column.path)
        if not outer:
            names[inner] = column.name
            continue
        nested = names.setdefault(outer[0], {})
        assert isinstance(nested, dict)
        nested[inner] = column.name
    return names


_COLUMN_NAMES: Final = _column_names()
WITH_DEFAULT: Final = frozenset({"environment", "region"})
"""Attributes, and columns, that have a value where the event has none: `default`."""
