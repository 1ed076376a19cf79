"""Events as msgspec reads them: types made from the contract's columns.

They may only be stricter than the models of pydantic, never laxer: what they refuse, the reference path decides. What no type
can say (dates, numbers that contradict each other, depth) is looked at by the column, in `columnar`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tokentide.schemas.columns import Column, call_columns
from tokentide.schemas.limits import (
    MAX_COST_USD,
    MAX_ITEMS_PER_RECORD,
    MAX_LABEL_KEY,
    MAX_LABELS,
    MAX_LIST,
    SCHEMA_VERSION,
)

Row = msgspec.Struct
"""One event, in the layout of `_FIELDS`; both types that are made here have it."""

_COLUMNS: Final[Mapping[tuple[str, ...], Column]] = {column.path: column for column in call_columns()}
_NESTED: Final[Mapping[str, Sequence[Column]]] = {
    path[0]: [column for column in call_columns() if column.path[0] == path[0]]
    for path in _COLUMNS
    if len(path) > 1
}
_REQUIRED: Final = [column.path[0] for column in call_columns() if column.required]
_ENVELOPE: Final[Mapping[str, Any]] = {
    "event_type": Literal["call", ""],
    "schema_version": Literal[SCHEMA_VERSION],
}
_FIELDS: Final = list(dict.fromkeys((*_REQUIRED, *_ENVELOPE, *(path[0] for path in _COLUMNS))))


def _type_of(column: Column) -> Any:
    """The type of a field that is there; limits of texts are in characters here and there."""
    if column.choices:
        return Literal[(*column.choices, "")]  # "" is absence
    bounds = Meta(ge=column.minimum, le=column.limit)
    match column.kind:
        case "text" | "id":
            length = None if column.limit is None else int(column.limit)
            return Annotated[str, Meta(min_length=column.minimum, max_length=length)]
        case "count":
            return Annotated[int, bounds] | Annotated[float, bounds]  # `10.0` is a whole number
        case "ms" | "fraction":
            return Annotated[float, bounds]
        case "number":
            return float
        case "money":
            amount = Meta(ge=0, le=MAX_COST_USD)
            return Annotated[int, amount] | Annotated[float, amount] | str
        case "flag":
            return bool
        case "timestamp":
            return str | int | float
        case "texts":
            text = _short(column)
            return Annotated[list[text], Meta(max_length=MAX_LIST)]  # type: ignore[valid-type]  # a type made at run time
        case "labels":
            key: Any = Annotated[str, Meta(min_length=1, max_length=MAX_LABEL_KEY)]
            text = _short(column)
            return Annotated[dict[key, text | None], Meta(max_length=MAX_LABELS)]  # type: ignore[valid-type]  # a type made at run time
        case "content":
            inner = _json(_USUAL_DEPTH)
            return str | list[dict[str, inner]]  # type: ignore[valid-type]  # a type made at run time


_USUAL_DEPTH: Final = 6
"""Levels inside a message; an event with deeper ones goes through the reference path, which counts them."""


def _json(levels: int) -> Any:
    """Any JSON of at most so many levels: what a parser builds, and its stack, must not depend on the sender."""
    flat = str | int | float | bool | None
    if not levels:
        return flat
    inner = _json(levels - 1)
    return flat | list[inner] | dict[str, inner]  # type: ignore[valid-type]  # a type made at run time


def _short(column: Column) -> Any:
    return Annotated[str, Meta(max_length=int(column.limit or 0))]


def _event_type(*, strict: bool) -> type[Row]:
    """`strict`: refuses fields that the contract does not name, so that none goes uncounted or unread."""

    def made(fields: Sequence[tuple[str, Any, bool]]) -> type[Row]:
        typed = [
            (f"f{place}", kind, msgspec.field(name=name))
            if required
            else (f"f{place}", kind | None, msgspec.field(name=name, default=None))
            for place, (name, kind, required) in enumerate(fields)
        ]
        return msgspec.defstruct("Event", typed, forbid_unknown_fields=strict, gc=False)

    def kind_of(name: str) -> Any:
        if name in _ENVELOPE:
            return _ENVELOPE[name]
        if name in _NESTED:
            return made([(column.path[1], _type_of(column), False) for column in _NESTED[name]])
        return _type_of(_COLUMNS[name,])

    return made([(name, kind_of(name), name in _REQUIRED) for name in _FIELDS])


_STRICT: Final = _event_type(strict=True)
_LAX: Final = _event_type(strict=False)
_RECORD: Final = msgspec.json.Decoder(
    _STRICT | Annotated[list[_STRICT], Meta(min_length=1, max_length=MAX_ITEMS_PER_RECORD)]  # type: ignore[valid-type]  # a type made at run time
)
_LINE: Final = msgspec.json.Decoder(_STRICT)

_LONGEST_NUMBER: Final = 4_300
"""Digits of a number that pydantic's parser still reads; msgspec reads longer ones."""
_SAMPLED: Final = 100
_LONG_NUMBER: Final = re.compile(rb"[0-9]{%d}" % (_LONGEST_NUMBER // _SAMPLED))
"""In every hundredth byte: a longer number has so many of them in a row."""

REFUSES: Final = (msgspec.MsgspecError, RecursionError)
"""What the functions below raise: that the reference path has to look."""


def read_record(value: bytes) -> Sequence[Row]:
    """Read a record whose items are all calls without unknown fields: an object, an array, or objects one to a line.

    Raises:
        REFUSES: it may not be such a record.
    """
    if len(value) > _LONGEST_NUMBER and _LONG_NUMBER.search(value[::_SAMPLED]):
        raise msgspec.DecodeError
    try:
        found: Row | list[Row] = _RECORD.decode(value)
    except REFUSES:
        lines = [line for line in value.split(b"\n") if line.strip()]
        if not 2 <= len(lines) <= MAX_ITEMS_PER_RECORD:
            raise
        return [_LINE.decode(line) for line in lines]
    return found if isinstance(found, list) else [found]


def read_item(item: object) -> Row:
    """Read one event that a JSON parser has read; other fields than the contract's may be in it.

    Raises:
        REFUSES: it may not be a call.
    """
    return msgspec.convert(item, _LAX)


def columns_of(rows: Sequence[Row]) -> Iterator[tuple[Column, Sequence[Any]]]:
    """The columns that occur, each with its value in every row; None is unknown."""
    unknown = [None] * len(rows)
    for name, values in zip(_FIELDS, _turned(map(msgspec.structs.astuple, rows)), strict=True):
        if name in _ENVELOPE or values == unknown:
            continue
        if name not in _NESTED:
            yield _COLUMNS[name,], values
            continue
        columns = _NESTED[name]
        nothing = (None,) * len(columns)
        inner = (nothing if value is None else msgspec.structs.astuple(value) for value in values)
        for column, inner_values in zip(columns, _turned(inner), strict=True):
            if inner_values != unknown:
                yield column, inner_values


_BLOCK: Final = 256


def _turned(rows: Iterator[tuple[Any, ...]]) -> Sequence[list[Any]]:
    """Rows as columns; block by block, because what it goes through for each column has to stay in the processor's cache."""
    columns: list[list[Any]] = []
    while block := list(islice(rows, _BLOCK)):
        turned = zip(*block, strict=True)
        if columns:
            for column, values in zip(columns, turned, strict=True):
                column.extend(values)
        else:
            columns = [list(values) for values in turned]
    return columns
