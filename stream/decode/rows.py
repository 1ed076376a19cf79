"""Rows of calls and where each came from: what the fast path made, and what the reference path made of the rest, in one order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.schemas.arrow import arrow_type
from tokentide.schemas.call import CallEvent
from tokentide.schemas.columns import call_columns
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.schemas.part import PartEvent
from tokentide.stream.decode.batch import Decoded, Flat, Int32s, Other, OtherEvent, Refusal
from tokentide.stream.decode.reference import Bad, Good, flat_values
from tokentide.stream.texts import constant

DECODED: Final = {
    **{column.name: arrow_type(column) for column in call_columns()},
    "input_is_messages": pa.bool_(),
    "output_is_messages": pa.bool_(),
}
"""The columns of `Decoded.table`, but for the names, which are dictionaries of such texts."""

NAMES: Final = frozenset(
    column.name for column in call_columns() if column.kind == "text" and (column.limit or column.choices)
)
"""Columns with few distinct texts; a message of an error is not one."""


class Rows(NamedTuple):
    """Rows of calls and where they came from."""

    table: pa.Table
    record: Int32s
    item: Int32s
    unknown_fields: Int32s


NO_ROWS: Final = Rows(
    pa.table({name: pa.array([], DECODED[name]) for name in ("event_id", "timestamp", "service")}),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
)


@dataclass(slots=True)
class Judged:
    """What the reference path made of items, in any order."""

    refusals: list[Refusal] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    calls: list[Mapping[str, object]] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each call its record, its item and its unknown fields."""

    def take(self, record: int, outcomes: Iterable[Good | Bad]) -> None:
        """Take the outcomes of items of a record."""
        for outcome in outcomes:
            if isinstance(outcome, Bad):
                self.refusals.append(Refusal(record, outcome.item, outcome.problem, outcome.value))
                continue
            event, values = outcome.event, flat_values(outcome.event)
            if isinstance(event, PartEvent | EvaluationEvent):
                self.others.append(
                    OtherEvent(record, outcome.item, event.event_type, values, outcome.unknown_fields)
                )
            else:
                self.calls.append(values)
                self.places.append((record, outcome.item, outcome.unknown_fields))

    def rows(self) -> Rows:
        """Its calls."""
        if not self.calls:
            return NO_ROWS
        places = np.asarray(self.places, dtype=np.int32)
        return Rows(flat_table(self.calls), places[:, 0], places[:, 1], places[:, 2])


def in_log_order(fast: Sequence[Rows], others: Sequence[Other], judged: Judged) -> Decoded:
    """All that a batch held: what the fast path made, in pieces, and what the reference path made of the rest."""
    pieces = [rows for rows in (*fast, judged.rows()) if rows.table.num_rows]
    whole = NO_ROWS if not pieces else pieces[0] if len(pieces) == 1 else _joined(pieces)
    if len(pieces) > 1 or judged.calls:  # one piece of the fast path is in order
        whole = _sorted(whole)
    refusals = sorted(judged.refusals, key=lambda refusal: refusal[:2])
    others = (
        sorted([*others, *judged.others], key=lambda other: (other.record, other.item))
        if judged.others
        else others
    )
    return Decoded(
        table=finished(whole.table),
        record=whole.record,
        item=whole.item,
        refusals=refusals,
        items=whole.table.num_rows + len(refusals) + len(others),
        unknown_fields=whole.unknown_fields,
        others=others,
    )


def _joined(pieces: Sequence[Rows]) -> Rows:
    tables = [finished(rows.table) for rows in pieces]
    return Rows(
        pa.concat_tables(tables, promote_options="default").unify_dictionaries().combine_chunks(),
        np.concatenate([rows.record for rows in pieces]),
        np.concatenate([rows.item for rows in pieces]),
        np.concatenate([rows.unknown_fields for rows in pieces]),
    )


def _sorted(rows: Rows) -> Rows:
    order = np.lexsort((rows.item, rows.record))
    if (np.diff(order) == 1).all():
        return rows
    table = rows.table.take(pa.array(order)).combine_chunks()
    return Rows(table, rows.record[order], rows.item[order], rows.unknown_fields[order])


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
        if name in NAMES and not pa.types.is_dictionary(table[name].type):
            table = table.set_column(place, name, pc.dictionary_encode(table[name].combine_chunks()))
    return table


def events_table(events: Sequence[CallEvent]) -> pa.Table:
    """Return the table that `Decoded` describes for events that pydantic has accepted."""
    return flat_table([flat_values(event) for event in events])


class FlatRows:
    """Keeps rows, and makes a table of them."""

    def __init__(self) -> None:
        self._rows: list[Flat] = []

    def add(self, rows: Sequence[Flat]) -> None:
        """Add rows."""
        self._rows += rows

    def table(self) -> pa.Table:
        """All that was added."""
        rows, self._rows = self._rows, []
        return flat_table(rows)


def flat_table(rows: Sequence[Flat]) -> pa.Table:
    """The same for events as `flat_values` gives them."""
    # An event has a third of the columns: what is there is collected row by row, and put in its place column by column.
    found: dict[str, tuple[list[int], list[object]]] = {}
    for place, row in enumerate(rows):
        for name, value in row.items():
            if name not in found:
                found[name] = ([], [])
            places, values = found[name]
            places.append(place)
            values.append(value)
    return pa.table(
        {name: _placed(*found[name], len(rows), kind) for name, kind in DECODED.items() if name in found}
    )


def _placed(places: list[int], values: list[object], rows: int, kind: pa.DataType) -> Any:
    if pa.types.is_map(kind):
        values = [list(labels.items()) if isinstance(labels, Mapping) else labels for labels in values]
    column = pa.array(values, kind)
    if len(values) == rows:
        return column
    which = np.zeros(rows, np.int64)
    which[places] = np.arange(len(values))
    unknown = np.ones(rows, np.bool_)
    unknown[places] = False
    return column.take(pa.array(which, mask=unknown))
