"""The columnar path: a buffer of JSON lines to a table of contract columns, and the rows it will not vouch for.

Everything here may only be stricter than the reference path, never laxer: what is refused here is decided there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from tokentide.schemas.arrow import TIME_US
from tokentide.schemas.call import CONTAINMENT
from tokentide.schemas.columns import Column
from tokentide.schemas.fields import ColumnKind
from tokentide.schemas.limits import MAX_DEPTH, MAX_LABEL_KEY, MAX_LABELS, MAX_LIST
from tokentide.stream.decode.arrays import (
    all_true,
    decimal_from_picodollars,
    has_empty_text,
    numbers,
    text_lengths,
)
from tokentide.stream.decode.batch import Bools, Int32s
from tokentide.stream.decode.shape import COLUMNS, NESTED, Shape


class Unparsed(Exception):  # noqa: N818 - a signal between the two paths, no error for a user
    """Arrow cannot read the buffer, or not the way the reference path would."""


class NewFields(Exception):  # noqa: N818 - likewise
    """The events have contract fields that the shape lacks: parse again with them."""

    def __init__(self, paths: Iterable[tuple[str, ...]]) -> None:
        self.paths = tuple(paths)
        super().__init__("the shape lacks fields")


class Parsed(NamedTuple):
    """Flat contract columns, one row per line; rows in `doubtful` have to go through the reference path."""

    table: pa.Table
    doubtful: Bools
    unknown_fields: Int32s
    """Per row."""


def parse(buffer: memoryview, rows: int, shape: Shape, *, ignore_unknown: bool) -> Parsed:
    """Parse `rows` lines of JSON objects.

    Raises:
        Unparsed: the buffer holds something that Arrow reads differently or not at all. Split it, or let the
            reference path decide.
        NewFields: the shape must learn the named fields first.
    """
    raw = _read_json(buffer, shape, ignore_unknown=ignore_unknown)
    if raw.num_rows != rows:
        raise Unparsed
    unknown = np.zeros(rows, dtype=np.int32)
    leaves = _leaves(raw, shape, unknown)
    checked: dict[str, Any] = {}
    doubtful = np.zeros(rows, dtype=np.bool_)
    for path, values in leaves.items():
        if path == ("event_type",):
            doubtful |= _not_equal(values, "call")
        elif path == ("schema_version",):
            doubtful |= _not_equal(values, 1)
        else:
            column = COLUMNS[path]
            checked[column.name] = _CHECKS[column.kind](values, column, doubtful)
    doubtful |= _missing_required(checked, rows)
    doubtful |= _contradictory(checked, rows)
    return Parsed(pa.table(checked), doubtful, unknown)


def _read_json(buffer: memoryview, shape: Shape, *, ignore_unknown: bool) -> pa.Table:
    # One block: Arrow splits blocks at newlines, infers a block at a time, and threads cost more than they give.
    reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(buffer) + 1)
    parsing = pyarrow.json.ParseOptions(
        explicit_schema=shape.schema(),
        unexpected_field_behavior="ignore" if ignore_unknown else "infer",
    )
    try:
        return pyarrow.json.read_json(pa.BufferReader(buffer), reading, parsing)
    except pa.ArrowInvalid as error:
        raise Unparsed from error


def _leaves(raw: pa.Table, shape: Shape, unknown: Int32s) -> dict[tuple[str, ...], Any]:
    """The contract's columns by path; non-null values of other fields are added up per row in `unknown`."""
    found: dict[tuple[str, ...], Any] = {}
    fresh: list[tuple[str, ...]] = []
    for path, values in _flat(raw):
        known = path in COLUMNS or path in {("event_type",), ("schema_version",)}
        if not known:
            _refuse_deep(values.type)
            unknown += all_true(values.is_valid())
        elif path in shape.forms or path in shape.envelope:
            found[path] = values
        elif values.null_count < len(values):
            fresh.append(path)
    if fresh:
        raise NewFields(fresh)
    return found


def _flat(raw: pa.Table) -> Iterable[tuple[tuple[str, ...], Any]]:
    for name, values in zip(raw.column_names, raw.columns, strict=True):
        column = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
        if name not in NESTED:
            yield (name,), column
        elif pa.types.is_struct(column.type):
            # flatten() carries the parent's nulls into the children.
            for child, inner in zip(column.type, column.flatten(), strict=True):
                yield (name, child.name), inner
        elif column.null_count < len(column):
            raise Unparsed  # `error: "text"`: a wrong type, for the reference path to explain


def _refuse_deep(kind: pa.DataType) -> None:
    layer = [kind]
    for _ in range(MAX_DEPTH - 1):
        layer = [outer.field(i).type for outer in layer for i in range(outer.num_fields)]
        if not layer:
            return
    raise Unparsed


def _not_equal(values: Any, expected: object) -> Bools:
    if values.null_count == len(values):
        return np.zeros(len(values), dtype=np.bool_)
    return all_true(pc.invert(pc.fill_null(pc.equal(values, expected), fill_value=True)))


def _missing_required(columns: Mapping[str, Any], rows: int) -> Bools:
    missing = np.zeros(rows, dtype=np.bool_)
    for column in COLUMNS.values():
        if not column.required:
            continue
        if column.name not in columns:
            return np.ones(rows, dtype=np.bool_)
        if columns[column.name].null_count:
            missing |= all_true(columns[column.name].is_null())
    return missing


def _contradictory(columns: Mapping[str, Any], rows: int) -> Bools:
    wrong = np.zeros(rows, dtype=np.bool_)
    for rule in CONTAINMENT:
        parts = [numbers(columns[part]) for part in rule.parts if part in columns]
        if not parts or rule.whole not in columns:
            continue
        whole = numbers(columns[rule.whole])
        total = sum(np.where(part.known, part.values, 0) for part in parts)
        broken = whole.known & (total > whole.values)
        if rule.inclusive_only and "cache_reporting" in columns:
            broken &= ~all_true(
                pc.fill_null(pc.equal(columns["cache_reporting"], "exclusive"), fill_value=False)
            )
        wrong |= broken
    return wrong


# --- checks by kind: each returns the column as decoded and marks doubtful rows in place


def _check_text(values: Any, column: Column, doubtful: Bools) -> Any:
    lengths = text_lengths(values)
    if column.choices is not None:
        doubtful |= _not_a_choice(values, column.choices)
    elif column.limit is not None and len(lengths) and lengths.max() > column.limit:
        doubtful |= lengths > column.limit  # bytes, never fewer than the characters that count
    if has_empty_text(values, lengths):
        if column.minimum:
            doubtful |= (lengths == 0) & all_true(values.is_valid())
        values = pc.if_else(pc.equal(values, ""), None, values)
    return values


def _not_a_choice(values: Any, choices: tuple[str, ...]) -> Bools:
    distinct = pc.unique(values).to_pylist()
    odd = [value for value in distinct if value and value not in choices]  # "" is absence
    if not odd:
        return np.zeros(len(values), dtype=np.bool_)
    return all_true(pc.is_in(values, pa.array(odd, pa.string())))


def _check_count(values: Any, column: Column, doubtful: Bools) -> Any:
    _mark_outside(values, column, doubtful)
    return values


_BITS_OF_MINUS_ZERO: Final = np.iinfo(np.int64).min


def _check_float(values: Any, column: Column, doubtful: Bools) -> Any:
    _mark_outside(values, column, doubtful)
    number = numbers(values)
    # The sign bit alone is the least of all integers: one look for the least finds out whether a zero has a sign.
    if len(values) and number.values.view(np.int64).min() == _BITS_OF_MINUS_ZERO:
        return pa.array(number.values + 0.0, mask=~number.known)
    return values


def _mark_outside(values: Any, column: Column, doubtful: Bools) -> None:
    """Numbers outside their bounds; not-a-number is outside of all."""
    number = numbers(values)
    low = float("-inf") if column.kind == "number" else column.minimum
    high = column.limit if column.limit is not None else float("inf")
    inside = (number.values >= low) & (number.values <= high)
    if column.kind == "number":
        inside &= np.isfinite(number.values)
    if not inside.all():
        doubtful |= number.known & ~inside


def _check_money(values: Any, _: Column, doubtful: Bools) -> Any:
    """Exact below 1,000 USD with at most twelve decimals; anything else is for the reference path.

    A double below 1,000 is within 0.23 picodollars of the decimal that was written (two roundings of relative error
    2⁻⁵³), so where it lies within a quarter of a whole number of picodollars, that is the number.
    """
    number = numbers(values)
    amounts = np.where(number.known, number.values, 0.0)
    safe = (amounts >= 0) & (amounts < 1_000)
    scaled = np.where(safe, amounts, 0.0) * 1e12
    picodollars = np.rint(scaled)
    safe &= np.abs(scaled - picodollars) < 0.25
    if not safe.all():
        doubtful |= ~safe
    return decimal_from_picodollars(picodollars.astype(np.int64), known=number.known)


def _check_flag(values: Any, _: Column, __: Bools) -> Any:
    return values  # any boolean will do


def _check_timestamp(values: Any, _: Column, doubtful: Bools) -> Any:
    if pa.types.is_string(values.type):
        return _timestamp_from_text(values, doubtful)
    number = numbers(values)
    plain = (number.values >= 0) & (number.values < 1e14)
    doubtful |= number.known & ~plain
    amounts = np.where(plain, number.values, 0)
    factor = np.where(amounts < 100_000_000_000, 1_000_000, 1_000)
    microseconds = np.rint(amounts * factor).astype(np.int64)
    return pa.array(microseconds, TIME_US, mask=~number.known)


def _timestamp_from_text(values: Any, doubtful: Bools) -> Any:
    other = _has_other_form(values)
    if other.any():
        doubtful |= other
        values = pc.if_else(pa.array(other), None, values)
    try:
        return pc.cast(values, TIME_US)
    except pa.ArrowInvalid as error:
        raise Unparsed from error


_DATE_TO_TIME: Final = 10
_SHORTEST: Final = len("2026-01-31T12:00:00Z")


def _has_other_form(values: Any) -> Bools:
    """Texts that Arrow might read but the contract does not allow: without seconds, a zone without colon or of +01:60."""
    lengths = text_lengths(values)
    known = all_true(values.is_valid())
    offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset :][: len(values) + 1]
    data = np.frombuffer(values.buffers()[2] or b"\0", np.uint8)
    long_enough = lengths >= _SHORTEST
    start = np.where(long_enough, offsets[:-1], 0)
    end = np.where(long_enough, offsets[1:], min(_SHORTEST, len(data)))
    if len(data) < _SHORTEST:
        return known
    separator = data[start + _DATE_TO_TIME]
    fine = long_enough & ((separator == ord("T")) | (separator == ord(" ")))
    fine &= (data[start + 13] == ord(":")) & (data[start + 16] == ord(":"))
    fine &= (data[end - 1] == ord("Z")) | ((data[end - 3] == ord(":")) & (data[end - 2] < ord("6")))
    other: Bools = known & ~fine
    return other


def _check_texts(values: Any, column: Column, doubtful: Bools) -> Any:
    counts = pc.fill_null(pc.list_value_length(values), 0)
    items = values.flatten()
    lengths = text_lengths(items)
    if items.null_count or (len(lengths) and lengths.max() > (column.limit or 0)):
        raise Unparsed
    doubtful |= counts.to_numpy(zero_copy_only=False) > MAX_LIST
    return pc.if_else(pc.equal(counts, 0), None, values)


def _check_labels(values: Any, column: Column, doubtful: Bools) -> Any:
    """A struct of the learned keys to a map, without the absent ones."""
    keys = [field.name for field in values.type]
    if any(not 0 < len(key) <= MAX_LABEL_KEY for key in keys):
        raise Unparsed
    if not keys:
        return pa.nulls(len(values), pa.map_(pa.string(), pa.string()))
    children = [
        child.cast(pa.string()) if pa.types.is_null(child.type) else child for child in values.flatten()
    ]
    for child in children:
        if not pa.types.is_string(child.type):
            raise Unparsed
        doubtful |= text_lengths(child) > (column.limit or 0)
    present = np.array([all_true(child.is_valid()) for child in children])
    counts = present.sum(axis=0)
    doubtful |= counts > MAX_LABELS
    rows, which = np.nonzero(present.T)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    key_array = pa.array(keys, pa.string()).take(pa.array(which))
    stacked = pa.concat_arrays(children)
    item_array = stacked.take(pa.array(which * len(values) + rows))
    maps = pa.MapArray.from_arrays(pa.array(offsets), key_array, item_array)
    return pc.if_else(pa.array(counts > 0), maps, None)


_CHECKS: Final[Mapping[ColumnKind, Callable[[Any, Column, Bools], Any]]] = {
    "text": _check_text,
    "id": _check_text,
    "content": _check_text,
    "count": _check_count,
    "ms": _check_float,
    "fraction": _check_float,
    "number": _check_float,
    "money": _check_money,
    "flag": _check_flag,
    "timestamp": _check_timestamp,
    "texts": _check_texts,
    "labels": _check_labels,
}
