"""Decode a batch of records: the columnar path for nearly all of it, the reference path for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from pydantic_core import from_json

from tokentide.stream.decode.batch import Decoded, Flat, Int32s
from tokentide.stream.decode.columnar import NewFields, Parsed, Unparsed, parse
from tokentide.stream.decode.framing import Framed, frame
from tokentide.stream.decode.reference import count_unknown_fields, decode_record, is_too_deep
from tokentide.stream.decode.rows import DECODED, NO_ROWS, Judged, Rows, flat_table, in_log_order
from tokentide.stream.decode.shape import Shape, full_shape

SAMPLE_LINES: Final = 64
"""Lines of a batch that the shape is learned from when Arrow refuses it."""

SMALLEST_SPLIT: Final = 32
"""A refused range of so few lines goes through the reference path whole."""


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
        judged = Judged()
        for record in sorted(left):
            judged.take(record, decode_record(values[record]))
        return in_log_order(parts, (), judged)

    def table(self, rows: Sequence[Flat]) -> pa.Table:
        """Return the table that `Decoded` describes for events by flat values."""
        return flat_table(rows)

    def _decode_range(
        self, framed: Framed, first_line: list[int], begin: int, end: int, left: list[int]
    ) -> Iterable[Rows]:
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
        for _ in range(len(DECODED) + 2):  # each round but the last learns at least one field
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


def _vouched_for(parsed: Parsed, record: Int32s, item: Int32s, left: list[int]) -> Rows:
    """The parsed rows without the records that hold a doubtful one; those are added to `left`."""
    if not parsed.doubtful.any():
        return Rows(parsed.table, record, item, parsed.unknown_fields)
    doubtful = np.unique(record[parsed.doubtful])
    left.extend(doubtful.tolist())
    kept = ~np.isin(record, doubtful)
    if not kept.any():
        return NO_ROWS
    table = parsed.table.filter(pa.array(kept))
    return Rows(table, record[kept], item[kept], parsed.unknown_fields[kept])
