"""From rows to a table of contract columns, and the rows it will not vouch for.

Everything here may only be stricter than the reference path, never laxer: what is doubtful here is decided there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import to_json

from tokentide.schemas.arrow import MONEY, TIME_US
from tokentide.schemas.call import CONTAINMENT
from tokentide.schemas.fields import ColumnKind, exact_money
from tokentide.schemas.timestamps import parse_timestamp
from tokentide.stream.decode.arrays import (
    all_true,
    decimal_from_picodollars,
    has_empty_text,
    numbers,
    text_lengths,
)
from tokentide.stream.decode.batch import Bools
from tokentide.stream.decode.structs import Row, columns_of

Values = Sequence[Any]
"""One of a column in every row, as JSON has it; None is unknown."""


class Columns(NamedTuple):
    """Flat contract columns, one row per event; rows in `doubtful` have to go through the reference path."""

    table: pa.Table
    doubtful: Bools


def columns(rows: Sequence[Row]) -> Columns:
    """Make columns of rows; those that do not occur are left out."""
    doubtful = np.zeros(len(rows), np.bool_)
    made: dict[str, Any] = {}
    for column, values in columns_of(rows):
        if column.kind == "content":
            made[column.name], made[f"{column.name}_is_messages"] = _content(values)
        else:
            made[column.name] = _MADE[column.kind](values, doubtful)
    doubtful |= _contradictory(made, len(rows))
    return Columns(pa.table(made), doubtful)


def _contradictory(made: Mapping[str, Any], rows: int) -> Bools:
    wrong = np.zeros(rows, dtype=np.bool_)
    for rule in CONTAINMENT:
        parts = [numbers(made[part]) for part in rule.parts if part in made]
        if not parts or rule.whole not in made:
            continue
        whole = numbers(made[rule.whole])
        total = sum(np.where(part.known, part.values, 0) for part in parts)
        broken = whole.known & (total > whole.values)
        if rule.inclusive_only and "cache_reporting" in made:
            exclusive = pc.fill_null(pc.equal(made["cache_reporting"], "exclusive"), fill_value=False)
            broken &= ~all_true(exclusive)
        wrong |= broken
    return wrong


# --- by kind: each returns the column as decoded and marks doubtful rows in place


def _text(values: Values, _: Bools) -> Any:
    column = pa.array(values, pa.string())
    if has_empty_text(column, text_lengths(column)):
        return pc.if_else(pc.equal(column, ""), None, column)
    return column


def _count(values: Values, doubtful: Bools) -> Any:
    """As doubles first, which are exact as far as counts go: Arrow would cut what is behind the point."""
    number = numbers(pa.array(values, pa.float64()))
    amounts = np.where(number.known, number.values, 0.0)
    counts = amounts.astype(np.int64)
    doubtful |= counts != amounts
    return pa.array(counts, mask=~number.known)


def _float(values: Values, doubtful: Bools) -> Any:
    number = numbers(pa.array(values, pa.float64()))
    doubtful |= number.known & ~np.isfinite(number.values)
    return pa.array(number.values + 0.0, mask=~number.known)  # zero has no sign: -0.0 becomes 0.0


def _money(values: Values, doubtful: Bools) -> Any:
    """A number below 1,000 USD with at most twelve decimals at once, any other one by one.

    A double below 1,000 is within 0.23 picodollars of the decimal that was written (two roundings of relative error
    2⁻⁵³), so where it lies within a quarter of a whole number of picodollars, that is the number.
    """
    try:
        number = numbers(pa.array(values, pa.float64()))
    except pa.ArrowInvalid:  # a text
        return _money_one_by_one(values, doubtful)
    amounts = np.where(number.known, number.values, 0.0)
    scaled = amounts * 1e12
    picodollars = np.rint(scaled)
    if not ((amounts < 1_000) & (np.abs(scaled - picodollars) < 0.25)).all():
        return _money_one_by_one(values, doubtful)
    return decimal_from_picodollars(picodollars.astype(np.int64), known=number.known)


def _money_one_by_one(values: Values, doubtful: Bools) -> Any:
    return pa.array(_each(exact_money, values, doubtful), MONEY)


def _flag(values: Values, _: Bools) -> Any:
    return pa.array(values, pa.bool_())


def _timestamp(values: Values, doubtful: Bools) -> Any:
    """Texts in the usual form at once, what else there is one by one."""
    try:
        texts = pa.array(values, pa.string())
        if _are_usual(texts):
            return pc.cast(texts, TIME_US)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # no such date, or a number
        pass
    return pa.array(_each(parse_timestamp, values, doubtful), TIME_US)


def _each(function: Callable[[Any], Any], values: Values, doubtful: Bools) -> list[Any]:
    """What the contract's own function makes of each; where it refuses, that is doubtful."""
    made: list[Any] = [None] * len(values)
    for row, value in enumerate(values):
        if value is not None:
            try:
                made[row] = function(value)
            except ValueError:
                doubtful[row] = True
    return made


_SHORTEST: Final = len("2026-01-31T12:00:00Z")


def _are_usual(texts: Any) -> bool:
    """Arrow might read other texts too: without seconds, a zone without colon or of +01:60, the year 0."""
    lengths = text_lengths(texts)
    if texts.null_count or lengths.min() < _SHORTEST:
        return False
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2], np.uint8)
    start, end = offsets[:-1], offsets[1:]
    usual = (data[start] != ord("0")) & (data[start + 10] == ord("T"))
    usual &= (data[start + 13] == ord(":")) & (data[start + 16] == ord(":"))
    usual &= (data[end - 1] == ord("Z")) | ((data[end - 3] == ord(":")) & (data[end - 2] < ord("6")))
    return bool(usual.all())


def _texts(values: Values, _: Bools) -> Any:
    return pa.array([each or None for each in values], pa.list_(pa.string()))


def _labels(values: Values, _: Bools) -> Any:
    """Maps without the labels that are null, and null where none is left."""
    kept = [
        {key: text for key, text in each.items() if text is not None}
        if each and None in each.values()
        else each
        for each in values
    ]
    known = np.array([bool(each) for each in kept])
    maps = [each for each in kept if each]
    lengths = np.zeros(len(values) + 1, np.int32)
    lengths[1:][known] = np.fromiter(map(len, maps), np.int32, len(maps))
    keys = pa.array(list(chain.from_iterable(maps)), pa.string())
    texts = pa.array(list(chain.from_iterable(each.values() for each in maps)), pa.string())
    offsets = np.cumsum(lengths, dtype=np.int32)
    return pc.if_else(pa.array(known), pa.MapArray.from_arrays(pa.array(offsets), keys, texts), None)


def _content(values: Values) -> tuple[Any, Any]:
    """The texts, messages as their JSON, and whether it is that."""
    texts: list[str | None] = []
    are_messages: list[bool | None] = []
    for value in values:
        if value and not isinstance(value, str):
            texts.append(to_json(value).decode())
            are_messages.append(True)
        else:
            texts.append(value or None)
            are_messages.append(None)
    return pa.array(texts, pa.string()), pa.array(are_messages, pa.bool_())


_MADE: Final[Mapping[ColumnKind, Callable[[Values, Bools], Any]]] = {
    "text": _text,
    "id": _text,
    "count": _count,
    "ms": _float,
    "fraction": _float,
    "number": _float,
    "money": _money,
    "flag": _flag,
    "timestamp": _timestamp,
    "texts": _texts,
    "labels": _labels,
}
