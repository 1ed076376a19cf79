"""The reference path: one record at a time through pydantic. Slow, and always right.

It defines what is accepted; the columnar path may only accept what this one accepts, with the same values. It also reads
the records that the columnar path cannot take whole: then `taken` says of each item whether that path has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
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


Taken = Callable[[int, JsonObject], bool]
"""Whether an item, by its position and what was read, is somebody else's: it then has no outcome here."""


def _none_taken(_: int, __: JsonObject) -> bool:
    return False


def decode_record(value: bytes | None, taken: Taken = _none_taken) -> list[Good | Bad]:
    """Return the outcome of every item of a record but the `taken` ones, in order; a record that cannot be read is one `Bad`.

    A record is one JSON object, an array of objects, or objects one to a line (NDJSON). `taken` is asked once about each item
    that is an object of a known type and not nested too deeply.
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
        return _decode_lines(value, text, error, taken)
    if isinstance(parsed, list):
        return _decode_array(parsed, value, taken)
    return _decode_item(0, parsed, value, taken)


def _decode_lines(value: bytes, text: str, error: ValueError, taken: Taken) -> list[Good | Bad]:
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
    return [
        outcome for index, line in enumerate(lines) for outcome in decode_line(index, line.encode(), taken)
    ]


def _is_object(line: str | bytes) -> bool:
    try:
        return isinstance(from_json(line), dict)
    except ValueError:
        return False


def decode_line(index: int, line: bytes, taken: Taken = _none_taken) -> list[Good | Bad]:
    """The outcome, or none if it is `taken`, of one item that is known to be one: its position in the record and its own bytes."""
    try:
        parsed = from_json(line)
    except ValueError as error:
        return [Bad(index, _not_json(error), line)]
    return _decode_item(index, parsed, line, taken)


def _decode_array(items: list[Any], value: bytes, taken: Taken) -> list[Good | Bad]:
    if not items:
        return [
            Bad(WHOLE_RECORD, Problem(RejectReason.EMPTY, "the array holds no events; do not send it"), value)
        ]
    if len(items) > MAX_ITEMS_PER_RECORD:
        return [_too_many(len(items), value)]
    outcomes = [
        outcome for index, item in enumerate(items) for outcome in _decode_item(index, item, b"", taken)
    ]
    if all(isinstance(outcome, Good) for outcome in outcomes):
        return outcomes
    spans = _array_spans(value, len(items))
    return [
        outcome._replace(value=spans[outcome.item] if spans else value)
        if isinstance(outcome, Bad)
        else outcome
        for outcome in outcomes
    ]


def _decode_item(index: int, item: object, value: bytes, taken: Taken) -> list[Good | Bad]:
    """Its outcome, or none where it is taken."""
    problem = _envelope_problem(item)
    if problem is None and isinstance(item, dict):
        if taken(index, item):
            return []
        try:
            model = _MODELS[item.get("event_type") or ""]
            return [Good(index, model.model_validate(item), count_unknown_fields(item))]
        except ValidationError as error:
            problem = problem_of(error)
    assert problem is not None
    return [Bad(index, problem, value)]


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
    layer: list[Any] = [event]
    for _ in range(MAX_DEPTH):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if inner.__class__ is dict or inner.__class__ is list  # a third of the time of isinstance
        ]
        if not layer:
            return False
    return True


def _not_json(error: ValueError) -> Problem:
    # The parser's message holds positions and its own words only, never the text.
    return Problem(
        RejectReason.NOT_JSON, f"not JSON: {error}; send one JSON object, an array, or one object a line"
    )


def _too_many(count: int, value: bytes) -> Bad:
    text = f"the record holds {count} events; at most {MAX_ITEMS_PER_RECORD} are read: send more records"
    return Bad(WHOLE_RECORD, Problem(RejectReason.TOO_LARGE, text), value)


_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])


def _array_spans(value: bytes, count: int) -> list[bytes] | None:
    """The bytes of each element of a JSON array, or None where other parsers than pydantic's read it differently."""
    spans = _elements(value)
    return spans if len(spans) == count else None


def _elements(value: bytes) -> list[bytes]:
    """The bytes of each element of a JSON array; none where they cannot be told."""
    try:
        return [bytes(element) for element in _ELEMENTS.decode(value)]
    except (msgspec.MsgspecError, RecursionError):  # it has NaN or Infinity, which are no JSON
        try:
            return list(_scan(value.decode()))
        except (ValueError, RecursionError, IndexError):
            return []


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
        return _elements(value or b"")
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


_KNOWN: Final = frozenset({"event_type", "schema_version", *(column.path[0] for column in call_columns())})
_KNOWN_INSIDE: Final = {
    column.path[0]: frozenset(other.path[1] for other in call_columns() if other.path[0] == column.path[0])
    for column in call_columns()
    if len(column.path) > 1
}


def count_unknown_fields(item: JsonObject) -> int:
    """Count the non-null fields, at the top and in the contract's own objects, that it does not name."""
    count = _unknown(item, _KNOWN)
    for name, known in _KNOWN_INSIDE.items():
        inner = item.get(name)
        if isinstance(inner, dict):
            count += _unknown(inner, known)
    return count


def _unknown(fields: JsonObject, known: frozenset[str]) -> int:
    if fields.keys() <= known:
        return 0
    return sum(fields[name] is not None for name in fields.keys() - known)


def flat_values(event: Event) -> dict[str, object]:
    """The event's columns by flat name, as `batch.Flat` describes them; without defaults, and without what is empty."""
    values: dict[str, object] = {}
    for attribute, value in event.__dict__.items():
        if value is None or attribute not in _COLUMN_NAMES:
            continue
        names = _COLUMN_NAMES[attribute]
        if isinstance(names, str):
            values[names] = value
        else:
            for inner, inner_value in value.__dict__.items():
                if inner_value is not None:
                    values[names[inner]] = inner_value
    for name in [
        name for name, value in values.items() if not value and isinstance(value, str | list | dict)
    ]:
        del values[name]
    for name in ("input", "output"):
        if isinstance(content := values.get(name), list):
            values[name] = to_json(content).decode()
            values[f"{name}_is_messages"] = True
    for name in WITH_DEFAULT:
        if values.get(name) == "default":
            del values[name]
    return values


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
