"""Decode a batch of records: the columnar path for nearly all of it, the reference path for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import from_json

from tokentide.schemas.arrow import arrow_type
from tokentide.schemas.call import CallEvent
from tokentide.schemas.columns import call_columns
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.schemas.part import PartEvent
from tokentide.stream.decode.batch import Decoded, Int32s, Other, Refusal
from tokentide.stream.decode.columnar import NewFields, Parsed, Unparsed, parse
from tokentide.stream.decode.framing import Framed, frame
from tokentide.stream.decode.reference import (
    Bad,
    count_unknown_fields,
    decode_record,
    flat_values,
    is_too_deep,
)
from tokentide.stream.decode.shape import Shape, full_shape
from tokentide.stream.texts import constant

SAMPLE_LINES: Final = 64
"""Lines of a batch that the shape is learned from when Arrow refuses it."""

SMALLEST_SPLIT: Final = 32
"""A refused range of so few lines goes through the reference path whole."""

_DECODED: Final = {
    **{column.name: arrow_type(column) for column in call_columns()},
    "input_is_messages": pa.bool_(),
    "output_is_messages": pa.bool_(),
}


_NAMES: Final = frozenset(
    column.name for column in call_columns() if column.kind == "text" and (column.limit or column.choices)
)
"""Columns with few distinct texts; a message of an error is not one."""


class _Rows(NamedTuple):
    """Rows of good events and where they came from."""

    table: pa.Table
    record: Int32s
    item: Int32s
    unknown_fields: Int32s


_NO_ROWS: Final = _Rows(
    pa.table({name: pa.array([], _DECODED[name]) for name in ("event_id", "timestamp", "service")}),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
)


class Decoder:
    """Decodes batches of records; remembers the shape of the events between them.

    The memory only makes it faster: two decoders with different pasts return the same for one batch.
    """

    def __init__(self) -> None:
        self._shape = Shape()

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of consecutive records. Refuses items; never raises for what they hold."""
        framed = frame(values)
        first_line = _first_lines(framed)
        left: list[int] = list(framed.irregular)
        parts = list(self._decode_range(framed, first_line, 0, len(first_line) - 1, left))
        rows, refusals, others = _decode_by_reference(values, sorted(left))
        if left:
            parts.append(rows)
        whole = _in_log_order(parts)
        return Decoded(
            table=finished(whole.table),
            record=whole.record,
            item=whole.item,
            refusals=refusals,
            items=whole.table.num_rows + len(refusals) + len(others),
            unknown_fields=whole.unknown_fields,
            others=others,
        )

    def _decode_range(
        self, framed: Framed, first_line: list[int], begin: int, end: int, left: list[int]
    ) -> Iterable[_Rows]:
        """Rows of the framed records `begin` … `end`; records for the reference path are added to `left`."""
        if begin == end:
            return
        lines = slice(first_line[begin], first_line[end])
        parsed = self._parse(_text(framed, lines), lines.stop - lines.start)
        record, item = framed.record[lines], framed.item[lines]
        if parsed is not None:
            yield _vouched_for(parsed, record, item, left)
        elif end - begin == 1 or lines.stop - lines.start <= SMALLEST_SPLIT:
            left.extend(np.unique(record).tolist())
        else:
            middle = (begin + end) // 2
            yield from self._decode_range(framed, first_line, begin, middle, left)
            yield from self._decode_range(framed, first_line, middle, end, left)

    def _parse(self, text: memoryview, rows: int) -> Parsed | None:
        for _ in range(len(_DECODED) + 2):  # each round but the last learns at least one field
            try:
                return parse(text, rows, self._shape, ignore_unknown=False)
            except NewFields as news:
                self._shape.learn_paths(news.paths)
                self._shape.learn_order(_sample(text, rows))
            except Unparsed:
                sample = list(_sample(text, rows))
                self._shape.learn_order(sample)
                if not self._shape.learn(sample):
                    break
        return self._parse_known_only(text, rows)

    def _parse_known_only(self, text: memoryview, rows: int) -> Parsed | None:
        """For unknown fields that differ in type from event to event, such as a free-form object."""
        try:
            parsed = parse(text, rows, full_shape(self._shape), ignore_unknown=True)
            events = [from_json(line) for line in bytes(text).split(b"\n")]
        except (Unparsed, ValueError):
            return None
        unknown = [count_unknown_fields(event) for event in events]
        # Label keys are free, so Arrow would skip them as it skips unknown fields, however deep those are.
        doubtful = [event.get("labels") is not None or is_too_deep(event) for event in events]
        return Parsed(
            parsed.table, parsed.doubtful | np.asarray(doubtful), np.asarray(unknown, dtype=np.int32)
        )


def _first_lines(framed: Framed) -> list[int]:
    """Per framed record its first line, and the number of lines at the end."""
    if not len(framed.record):
        return [0]
    changes = np.flatnonzero(np.diff(framed.record)) + 1
    return [0, *changes.tolist(), len(framed.record)]


def _text(framed: Framed, lines: slice) -> memoryview:
    end = framed.starts[lines.stop] - 1 if lines.stop < len(framed.starts) else len(framed.buffer)
    return framed.buffer[framed.starts[lines.start] : end]


def _sample(text: memoryview, rows: int) -> Iterable[object]:
    lines = bytes(text).split(b"\n")
    for line in lines[:: max(1, rows // SAMPLE_LINES)]:
        try:
            yield from_json(line)
        except ValueError:
            continue


def _vouched_for(parsed: Parsed, record: Int32s, item: Int32s, left: list[int]) -> _Rows:
    """The parsed rows without the records that hold a doubtful one; those are added to `left`."""
    if not parsed.doubtful.any():
        return _Rows(parsed.table, record, item, parsed.unknown_fields)
    doubtful = np.unique(record[parsed.doubtful])
    left.extend(doubtful.tolist())
    kept = ~np.isin(record, doubtful)
    if not kept.any():
        return _NO_ROWS
    table = parsed.table.filter(pa.array(kept))
    return _Rows(table, record[kept], item[kept], parsed.unknown_fields[kept])


def _decode_by_reference(
    values: Sequence[bytes | None], records: Sequence[int]
) -> tuple[_Rows, list[Refusal], list[Other]]:
    events: list[CallEvent] = []
    places: list[tuple[int, int]] = []
    refusals: list[Refusal] = []
    others: list[Other] = []
    unknown: list[int] = []
    for record in records:
        for outcome in decode_record(values[record]):
            if isinstance(outcome, Bad):
                refusals.append(Refusal(record, outcome.item, outcome.problem, outcome.value))
            elif isinstance(outcome.event, PartEvent | EvaluationEvent):
                event = outcome.event
                others.append(
                    Other(record, outcome.item, event.event_type, flat_values(event), outcome.unknown_fields)
                )
            else:
                events.append(outcome.event)
                places.append((record, outcome.item))
                unknown.append(outcome.unknown_fields)
    if not events:
        return _NO_ROWS, refusals, others
    place = np.asarray(places, dtype=np.int32)
    rows = _Rows(events_table(events), place[:, 0], place[:, 1], np.asarray(unknown, dtype=np.int32))
    return rows, refusals, others


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


def _in_log_order(parts: list[_Rows]) -> _Rows:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return _NO_ROWS
    parts = [part for part in parts if part.table.num_rows] or parts[:1]
    table = pa.concat_tables([part.table for part in parts], promote_options="default").combine_chunks()
    record = np.concatenate([part.record for part in parts])
    item = np.concatenate([part.item for part in parts])
    unknown = np.concatenate([part.unknown_fields for part in parts])
    order = np.lexsort((item, record))
    if (np.diff(order) == 1).all():
        return _Rows(table, record, item, unknown)
    return _Rows(table.take(pa.array(order)), record[order], item[order], unknown[order])
