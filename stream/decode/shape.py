"""The shape of the events that arrive: which of the contract's fields occur, and in which JSON form.

Parsing costs by the column, and most producers send a third of the contract. A `Shape` is learned from
what is seen and only grows, up to the whole contract; a field it lacks is noticed in the parsed table
(Arrow infers a column for it), never lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pyarrow as pa

from tokentide.schemas.columns import Column, call_columns
from tokentide.schemas.fields import ColumnKind

Form = Literal["string", "integer", "float", "boolean", "strings", "labels"]
"""How a field is written in JSON, as far as Arrow reads it."""

MOST_LABEL_KEYS: Final = 64
"""Label keys in one shape; more, and events with labels go through the reference path."""

_FORMS: Final[Mapping[ColumnKind, tuple[Form, ...]]] = {
    "text": ("string",),
    "id": ("string",),
    "content": ("string",),
    "count": ("integer",),
    "ms": ("float",),
    "fraction": ("float",),
    "number": ("float",),
    "money": ("float",),
    "flag": ("boolean",),
    "timestamp": ("string", "integer", "float"),
    "texts": ("strings",),
    "labels": ("labels",),
}
_ARROW: Final[Mapping[Form, pa.DataType]] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "strings": pa.list_(pa.string()),
}
_ENVELOPE: Final[Mapping[tuple[str, ...], pa.DataType]] = {
    ("event_type",): pa.string(),
    ("schema_version",): pa.int64(),
}
COLUMNS: Final[Mapping[tuple[str, ...], Column]] = {column.path: column for column in call_columns()}
_TOP: Final = frozenset(path[0] for path in (*COLUMNS, *_ENVELOPE))
NESTED: Final = frozenset(path[0] for path in COLUMNS if len(path) > 1)


@dataclass(slots=True)
class Shape:
    """The fields seen so far, by JSON path, each in one form."""

    forms: dict[tuple[str, ...], Form] = field(default_factory=dict)
    label_keys: set[str] = field(default_factory=set)
    envelope: set[tuple[str, ...]] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    """Top-level names as they follow each other in the events: Arrow finds a field that comes next a sixth faster."""

    def learn(self, events: Iterable[object]) -> bool:
        """Take in the fields of parsed JSON values; return whether anything was new."""
        before = (dict(self.forms), set(self.label_keys), set(self.envelope))
        for event in events:
            if isinstance(event, dict):
                self._learn_event(event)
        return before != (self.forms, self.label_keys, self.envelope)

    def learn_paths(self, paths: Iterable[tuple[str, ...]]) -> None:
        """Take in fields of the contract that were noticed in a table, in their first form."""
        for path in paths:
            if path in _ENVELOPE:
                self.envelope.add(path)
            else:
                self.forms.setdefault(path, _FORMS[COLUMNS[path].kind][0])

    def learn_order(self, events: Iterable[object]) -> None:
        """Put each name behind the one that it follows in these parsed JSON values; names placed before stay."""
        for event in events:
            if not isinstance(event, dict):
                continue
            place = 0
            for name in filter(_TOP.__contains__, event):
                if name not in self.order:
                    self.order.insert(place, name)
                place = self.order.index(name) + 1

    def _learn_event(self, event: Mapping[str, Any]) -> None:
        for name, value in event.items():
            if name in NESTED and isinstance(value, dict):
                for inner, inner_value in value.items():
                    self._learn_field((name, inner), inner_value)
            else:
                self._learn_field((name,), value)

    def _learn_field(self, path: tuple[str, ...], value: object) -> None:
        if value is None:
            return
        if path in _ENVELOPE:
            self.envelope.add(path)
        elif path in COLUMNS:
            self._learn_column(path, COLUMNS[path].kind, value)

    def _learn_column(self, path: tuple[str, ...], kind: ColumnKind, value: object) -> None:
        if kind == "timestamp":
            # The newest form wins: producers of two forms alternate between parse and reference.
            self.forms[path] = _timestamp_form(value, self.forms.get(path))
        elif kind == "labels":
            if isinstance(value, dict) and len(self.label_keys | value.keys()) <= MOST_LABEL_KEYS:
                self.label_keys |= value.keys()
                self.forms[path] = "labels"
        else:
            self.forms.setdefault(path, _FORMS[kind][0])

    def schema(self) -> pa.Schema:
        """The explicit schema for Arrow's JSON reader."""
        top: list[pa.Field] = [pa.field(path[0], _ENVELOPE[path]) for path in sorted(self.envelope)]
        places = {name: place for place, name in enumerate(self.order)}
        nested: dict[str, list[pa.Field]] = {}
        for path, form in self.forms.items():
            kind = self._labels_type() if form == "labels" else _ARROW[form]
            if len(path) == 1:
                top.append(pa.field(path[0], kind))
            else:
                nested.setdefault(path[0], []).append(pa.field(path[1], kind))
        top += [pa.field(name, pa.struct(fields)) for name, fields in nested.items()]
        return pa.schema(sorted(top, key=lambda found: places.get(found.name, len(places))))

    def _labels_type(self) -> pa.DataType:
        return pa.struct([pa.field(key, pa.string()) for key in sorted(self.label_keys)])


def full_shape(learned: Shape) -> Shape:
    """Every field of the contract but labels, in the learned form where there is one: for when the unknown fields of a batch
    cannot be parsed and must be skipped.
    """
    whole = Shape(dict(learned.forms), set(), set(_ENVELOPE), list(learned.order))
    whole.forms.pop(("labels",), None)
    for path, column in COLUMNS.items():
        if column.kind != "labels":
            whole.forms.setdefault(path, _FORMS[column.kind][0])
    return whole


def _timestamp_form(value: object, current: Form | None) -> Form:
    if isinstance(value, str):
        return "string"
    return "float" if isinstance(value, float) or current == "float" else "integer"
