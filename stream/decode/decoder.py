"""Decode a batch of records: the columnar path for nearly all of it, the reference path for the rest."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import repeat
from typing import Final

import numpy as np
import pyarrow as pa

from tokentide.schemas.evaluation import EVALUATION
from tokentide.schemas.limits import MAX_RECORD_BYTES
from tokentide.schemas.part import PART_TYPES
from tokentide.stream.decode.batch import Decoded, Int32s, TableBuilder
from tokentide.stream.decode.columnar import columns
from tokentide.stream.decode.reference import JsonObject, Taken, count_unknown_fields, decode_record
from tokentide.stream.decode.rows import FlatRows, Judged, Rows, in_log_order
from tokentide.stream.decode.structs import REFUSES, Row, read_item, read_record

ROWS_AT_ONCE: Final = 2_000
"""Rows that are read before columns are made of them: more no longer fit into the processor's cache."""

_NO_CALLS: Final = PART_TYPES | {EVALUATION}


class Decoder:
    """Decodes batches of records; keeps nothing between them."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of consecutive records. Refuses items; never raises for what they hold."""
        batch = _Batch(values)
        for record, value in enumerate(values):
            batch.read(record, value)
        return batch.decoded()

    def table_builder(self) -> TableBuilder:
        """Something that makes a table of events by flat values."""
        return FlatRows()


class _Batch:
    """Rows of a batch as they gather, and outcomes of the reference path."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        self._values = values
        self._rows: list[Row] = []
        self._record: list[int] = []
        self._item: list[int] = []
        self._unknown: dict[int, int] = {}
        """Of the row of that number, where there are any."""
        self._parts: list[Rows] = []
        self._judged = Judged()

    def read(self, record: int, value: bytes | None) -> None:
        if value and len(value) <= MAX_RECORD_BYTES:
            try:
                rows = read_record(value)
            except REFUSES:
                self._read_by_item(record)
            else:
                self._rows += rows
                self._record += repeat(record, len(rows))
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

        self._judged.take(record, decode_record(self._values[record], taken))

    def _make_columns(self) -> None:
        """Of the rows read so far; doubtful ones go through the reference path."""
        table, doubtful = columns(self._rows)
        unknown = np.zeros(len(self._rows), np.int32)
        unknown[list(self._unknown)] = list(self._unknown.values())
        placed = Rows(table, np.array(self._record, np.int32), np.array(self._item, np.int32), unknown)
        self._rows, self._record, self._item, self._unknown = [], [], [], {}
        if doubtful.any():
            self._read_again(placed.record[doubtful], placed.item[doubtful])
            good = ~doubtful
            placed = Rows(table.filter(pa.array(good)), *(part[good] for part in placed[1:]))
        self._parts.append(placed)

    def _read_again(self, records: Int32s, items: Int32s) -> None:
        for record in np.unique(records).tolist():
            wanted = frozenset(items[records == record].tolist())
            outcomes = decode_record(self._values[record], _all_but(wanted))
            # Others that are refused have been so before.
            self._judged.take(record, (outcome for outcome in outcomes if outcome.item in wanted))

    def decoded(self) -> Decoded:
        if self._rows:
            self._make_columns()
        return in_log_order(self._parts, (), self._judged)


def _all_but(items: Container[int]) -> Taken:
    return lambda item, _: item not in items


def decode_by_reference(values: Sequence[bytes | None]) -> Decoded:
    """The same by the reference path alone."""
    judged = Judged()
    for record, value in enumerate(values):
        judged.take(record, decode_record(value))
    return in_log_order((), (), judged)
