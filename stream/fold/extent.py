"""Where a span of a segment ends: a pure function of the log from the span's first offset on.

A worker reads an open span again when it starts, so a span ends where reading it again would take too long. What that takes is
estimated from what the log holds, with fixed prices: two workers, however fast, however their batches are cut, find
the same end. The prices are about what a worker of this version takes on one core, in nanoseconds; what counts is that a sum of them
bounds the time, not that each is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.stream.decode.batch import Decoded, Int64s
from tokentide.stream.enrich.tables import where_known
from tokentide.stream.grouping import one_chunk


class SpanLimits(NamedTuple):
    """What a span may take to be read again. No settings: changing one is a migration, since known spans would end elsewhere."""

    work_ns: int = 1_500_000_000
    """A span ends behind the record with which it comes to this."""
    record_ns: int = 2_000
    """Fetching and unpacking it."""
    byte_ns: int = 7
    """Of its value."""
    item_ns: int = 1_000
    other_ns: int = 50_000
    """A part of a call, or an evaluation."""
    refused_ns: int = 40_000
    counted_byte_ns: int = 200
    """Of text whose tokens are counted, because nobody reported them; and of all of a record that holds parts."""
    message_byte_ns: int = 70
    """Of an error's message, of which the class of the error is told."""


def costs(decoded: Decoded, values: Sequence[bytes | None], limits: SpanLimits) -> Int64s:
    """What reading each record again takes. `decoded` is what the decoder says of the values, before anything is done with it."""
    count = len(values)
    sizes = np.fromiter((0 if value is None else len(value) for value in values), np.int64, count)
    cost = limits.record_ns + sizes * limits.byte_ns
    cost += _by_record(decoded.record, count) * limits.item_ns
    if (texts := _texts_ns(decoded.table, limits)) is not None:
        np.add.at(cost, decoded.record, texts)
    if decoded.others:
        record = np.fromiter((other.record for other in decoded.others), np.int64, len(decoded.others))
        others = _by_record(record, count)
        cost += others * limits.other_ns + np.where(others > 0, sizes * limits.counted_byte_ns, 0)
    if decoded.refusals:
        record = np.fromiter(
            (refusal.record for refusal in decoded.refusals), np.int64, len(decoded.refusals)
        )
        cost += _by_record(record, count) * limits.refused_ns
    return cost


def _by_record(record: Any, count: int) -> Int64s:
    counted: Int64s = np.bincount(record, minlength=count)
    return counted


def _texts_ns(table: pa.Table, limits: SpanLimits) -> Int64s | None:
    """Of each row, what its texts take; None: there are none."""
    found: list[Int64s] = []
    for side in ("input", "output"):
        if side in table.column_names:
            lengths = _lengths(table, side) * limits.counted_byte_ns
            found.append(np.where(where_known(table, f"{side}_tokens"), 0, lengths))
    if "error_message" in table.column_names:
        found.append(_lengths(table, "error_message") * limits.message_byte_ns)
    return sum(found[1:], found[0]) if found else None


def _lengths(table: pa.Table, name: str) -> Int64s:
    lengths = pc.fill_null(pc.binary_length(one_chunk(table, name)), 0)
    of_rows: Int64s = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    return of_rows


_UNLIMITED: Final = SpanLimits(work_ns=1 << 62)


class Extent:
    """How far one span goes. Ask it for every batch, in the order of the log."""

    def __init__(self, latest: int, limited_from: int, limits: SpanLimits = _UNLIMITED) -> None:
        """Make it.

        Args:
            latest: offset at which it ends at the latest: the segment's end, or where another span is known to begin.
            limited_from: only records from this offset on count against the limit.
            limits: what they may take.
        """
        self.limited_from = limited_from
        self.is_over = False
        """Whether its end has been found."""
        self._latest = latest
        self._limit_ns = limits.work_ns
        self._taken_ns = 0

    def end(self, offsets: Int64s, cost_ns: Int64s, read_to: int) -> int:
        """Up to which offset (exclusive) what has been read belongs to the span.

        Args:
            offsets: of the records from where the last call ended, ascending.
            cost_ns: what each takes; see `costs`.
            read_to: where the batch ends.
        """
        inside = int(np.searchsorted(offsets, self._latest))
        taken = self._taken_ns + np.cumsum(
            np.where(offsets[:inside] >= self.limited_from, cost_ns[:inside], 0)
        )
        full = int(np.searchsorted(taken, self._limit_ns))
        if full < inside:
            self.is_over = True
            return int(offsets[full]) + 1
        self._taken_ns = int(taken[-1]) if inside else self._taken_ns
        self.is_over = read_to >= self._latest
        return min(read_to, self._latest)
