"""Decode a batch of records: the columnar path for nearly all of it, the reference path for the rest."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.schemas.arrow import arrow_type
from tokentide.schemas.call import CallEvent
from tokentide.schemas.columns import call_columns
from tokentide.schemas.evaluation import EVALUATION, EvaluationEvent
from tokentide.schemas.limits import MAX_RECORD_BYTES
from tokentide.schemas.part import PART_TYPES, PartEvent
from tokentide.stream.decode.batch import Decoded, Int32s, Other, Refusal
from tokentide.stream.decode.columnar import columns
from tokentide.stream.decode.reference import (
    Bad,
    Good,
    JsonObject,
    Taken,
    count_unknown_fields,
    decode_record,
    flat_values,
)
from tokentide.stream.decode.structs import REFUSES, Row, read_item, read_record
from tokentide.stream.texts import constant

ROWS_AT_ONCE: Final = 2_000
"""Rows that are read before columns are made of them: more no longer fit into the processor's cache."""

_DECODED: Final = {
    **{column.name: arrow_type(column) for column in call_columns()},
    "input_is_messages": pa.bool_(),
    "output_is_messages": pa.bool_(),
}


_NAMES: Final = frozenset(
    column.name for column in call_columns() if column.kind == "text" and (column.limit or column.choices)
)
"""Columns with few distinct texts; a message of an error is not one."""


_NO_CALLS: Final = PART_TYPES | {EVALUATION}


class Placed(NamedTuple):
    """Rows of good events and where they came from."""

    table: pa.Table
    record: Int32s
    item: Int32s
    unknown_fields: Int32s


_NO_ROWS: Final = Placed(
    pa.table({name: pa.array([], _DECODED[name]) for name in ("event_id", "timestamp", "service")}),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
)


class Decoder:
    """Decodes batches of records; keeps nothing between them."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of consecutive records. Refuses items; never raises for what they hold."""
        batch = _Batch(values)
        for record in range(len(values)):
            batch.read(record)
        return batch.decoded()


class _Batch:
    """Rows of a batch as they gather, and outcomes of the reference path."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        self._values = values
        self._rows: list[Row] = []
        self._record: list[int] = []
        self._item: list[int] = []
        self._unknown: dict[int, int] = {}
        """Of the row of that number, where there are any."""
        self._parts: list[Placed] = []
        self._outcomes: list[tuple[int, Good | Bad]] = []

    def read(self, record: int) -> None:
        value = self._values[record]
        if value and len(value) <= MAX_RECORD_BYTES:
            try:
                rows = read_record(value)
            except REFUSES:
                self._read_by_item(record)
            else:
                self._rows += rows
                self._record += [record] * len(rows)
                self._item += range(len(rows))
        else:
            self._read_by_item(record)
        if len(self._rows) >= ROWS_AT_ONCE:
            self._make_columns()

    def _read_by_item(self, record: int) -> None:
        def taken(item: int, event: JsonObject) -> bool:
            if event.get("event_type") in _NO_CALLS:
                return False
            try:
                self._rows.append(read_item(event))
            except REFUSES:
                return False
            if unknown := count_unknown_fields(event):
                self._unknown[len(self._rows) - 1] = unknown
            self._record.append(record)
            self._item.append(item)
            return True

        self._outcomes += [(record, outcome) for outcome in decode_record(self._values[record], taken)]

    def _make_columns(self) -> None:
        """Of the rows read so far; doubtful ones go through the reference path."""
        table, doubtful = columns(self._rows)
        unknown = np.zeros(len(self._rows), np.int32)
        unknown[list(self._unknown)] = list(self._unknown.values())
        placed = Placed(table, np.array(self._record, np.int32), np.array(self._item, np.int32), unknown)
        self._rows, self._record, self._item, self._unknown = [], [], [], {}
        if doubtful.any():
            self._read_again(placed.record[doubtful], placed.item[doubtful])
            good = ~doubtful
            placed = Placed(table.filter(pa.array(good)), *(part[good] for part in placed[1:]))
        self._parts.append(placed)

    def _read_again(self, records: Int32s, items: Int32s) -> None:
        for record in np.unique(records).tolist():
            wanted = frozenset(items[records == record].tolist())
            for outcome in decode_record(self._values[record], _all_but(wanted)):
                if outcome.item in wanted:  # others that are refused have been so before
                    self._outcomes.append((record, outcome))

    def decoded(self) -> Decoded:
        if self._rows:
            self._make_columns()
        return decoded(self._parts, self._outcomes)


def _all_but(items: Container[int]) -> Taken:
    return lambda item, _: item not in items


def decode_by_reference(values: Sequence[bytes | None]) -> Decoded:
    """The same by the reference path alone."""
    return decoded(
        [], [(record, outcome) for record, value in enumerate(values) for outcome in decode_record(value)]
    )


def decoded(parts: Sequence[Placed], outcomes: Sequence[tuple[int, Good | Bad]]) -> Decoded:
    """Put together the rows of the columnar path and what became of other items, each with its record's position."""
    calls: list[tuple[int, Good]] = []
    refusals: list[Refusal] = []
    others: list[Other] = []
    for record, outcome in outcomes:
        if isinstance(outcome, Bad):
            refusals.append(Refusal(record, outcome.item, outcome.problem, outcome.value))
        elif isinstance(event := outcome.event, PartEvent | EvaluationEvent):
            others.append(
                Other(record, outcome.item, event.event_type, flat_values(event), outcome.unknown_fields)
            )
        else:
            calls.append((record, outcome))
    whole = _in_log_order([*parts, _placed(calls)])
    return Decoded(
        table=finished(whole.table),
        record=whole.record,
        item=whole.item,
        refusals=sorted(refusals, key=_place),
        items=whole.table.num_rows + len(refusals) + len(others),
        unknown_fields=whole.unknown_fields,
        others=sorted(others, key=_place),
    )


def _place(found: Refusal | Other) -> tuple[int, int]:
    return found.record, found.item


def _placed(calls: Sequence[tuple[int, Good]]) -> Placed:
    if not calls:
        return _NO_ROWS
    return Placed(
        events_table([call.event for _, call in calls if isinstance(call.event, CallEvent)]),
        np.array([record for record, _ in calls], np.int32),
        np.array([call.item for _, call in calls], np.int32),
        np.array([call.unknown_fields for _, call in calls], np.int32),
    )


def finished(table: pa.Table) -> pa.Table:
    """Fill in the defaults, and make dictionaries of the columns of names."""
    for name in ("environment", "region"):
        if name not in table.column_names:
            table = table.append_column(name, constant("default", table.num_rows))
        elif table[name].null_count:
            table = table.set_column(
                table.column_names.index(name), name, pc.fill_null(table[name], "default")
            )
    for place, name in enumerate(table.column_names):
        if name in _NAMES and not pa.types.is_dictionary(table[name].type):
            table = table.set_column(place, name, pc.dictionary_encode(table[name].combine_chunks()))
    return table


def events_table(events: Sequence[CallEvent]) -> pa.Table:
    """Return the table that `Decoded` describes for events that pydantic has accepted."""
    return flat_table([flat_values(event) for event in events])


def flat_table(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """The same for events as `flat_values` gives them."""
    names = [name for name in _DECODED if any(name in row for row in rows)]
    return pa.table(
        {name: pa.array([_arrow_value(row.get(name)) for row in rows], _DECODED[name]) for name in names}
    )


def _arrow_value(value: object) -> object:
    return list(value.items()) if isinstance(value, dict) else value


def _in_log_order(parts: Sequence[Placed]) -> Placed:
    parts = [part for part in parts if part.table.num_rows] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    table = pa.concat_tables([part.table for part in parts], promote_options="default").combine_chunks()
    record, item, unknown = (
        np.concatenate(places) for places in zip(*(part[1:] for part in parts), strict=True)
    )
    order = np.lexsort((item, record))
    if (np.diff(order) == 1).all():
        return Placed(table, record, item, unknown)
    return Placed(table.take(pa.array(order)), record[order], item[order], unknown[order])
