"""The contract's fields as flat columns: nested names are joined by `_` (`stages.model_ms` → `stages_model_ms`).

Derived from the model, so that the worker's Arrow schema and ClickHouse's columns cannot drift from it.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from functools import cache
from typing import Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tokentide.schemas.call import CallEvent
from tokentide.schemas.fields import ColumnKind, Kind


@dataclass(frozen=True, slots=True)
class Column:
    """One flat column of an event."""

    name: str
    """In SQL and Arrow: `error_class`."""
    path: tuple[str, ...]
    """In JSON: `("error", "class")`."""
    kind: ColumnKind
    limit: float | None
    """Longest text in characters, or largest number."""
    minimum: int
    """Smallest number allowed (0, or 1 for ordinals); shortest text."""
    required: bool
    choices: tuple[str, ...] | None
    """The names allowed, for closed sets."""
    description: str


@cache
def call_columns() -> tuple[Column, ...]:
    """Every column of a `call` event, in the order of the contract; without `event_type`, `schema_version`."""
    return tuple(_walk(CallEvent, ()))


@cache
def column(name: str) -> Column:
    """The column of that flat name.

    Raises:
        KeyError: the contract has no such column.
    """
    return {column.name: column for column in call_columns()}[name]


def _walk(model: type[BaseModel], prefix: tuple[str, ...]) -> list[Column]:
    columns: list[Column] = []
    for name, field in model.model_fields.items():
        if name in {"event_type", "schema_version"}:
            continue
        path = (*prefix, field.alias or name)
        nested = _nested_model(field)
        columns += _walk(nested, path) if nested else [_leaf(path, field)]
    return columns


def _nested_model(field: FieldInfo) -> type[BaseModel] | None:
    for option in _options(field.annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _options(annotation: object) -> tuple[object, ...]:
    if get_origin(annotation) in {Union, types.UnionType}:
        return get_args(annotation)
    return (annotation,)


def _leaf(path: tuple[str, ...], field: FieldInfo) -> Column:
    metadata = [*field.metadata]
    for option in _options(field.annotation):
        metadata += getattr(option, "__metadata__", ())
    kind = next(item for item in metadata if isinstance(item, Kind))
    return Column(
        name="_".join(path),
        path=path,
        kind=kind.column,
        limit=kind.limit,
        minimum=_minimum(metadata),
        required=field.is_required(),
        choices=_choices(field),
        description=field.description or "",
    )


def _minimum(metadata: list[object]) -> int:
    """The last bound counts: pydantic puts a field's own bounds behind those of its type."""
    found = 0
    for item in _flattened(metadata):
        for name in ("ge", "min_length"):
            value = getattr(item, name, None)
            found = int(value) if value is not None else found
    return found


def _flattened(metadata: list[object]) -> list[object]:
    flat: list[object] = []
    for item in metadata:
        flat += _flattened([*item.metadata]) if isinstance(item, FieldInfo) else [item]
    return flat


def _choices(field: FieldInfo) -> tuple[str, ...] | None:
    for option in _options(field.annotation):
        inner = get_args(option)[0] if getattr(option, "__metadata__", None) else option
        if get_origin(inner) is Literal:
            return tuple(str(choice) for choice in get_args(inner))
    return None
