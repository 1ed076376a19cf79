"""What a batch of records holds of one span of a segment, and which of it is new there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.stream.decode.batch import Bools, Decoded, Int32s, Int64s, Other, Refusal

Admit = Callable[[Any], Bools]
"""From event ids, in the order of the log, to which of them are the first; `SegmentFold.admit`."""


class Calls(NamedTuple):
    """Rows of calls in the order of the log, and where each came from."""

    table: pa.Table
    record: Int32s
    """Position of its record in the batch."""
    item: Int32s

    def only(self, rows: Bools) -> Calls:
        """Some of them."""
        if rows.all():
            return self
        return Calls(self.table.filter(pa.array(rows)).combine_chunks(), self.record[rows], self.item[rows])


class SpanBatch(NamedTuple):
    """What a batch holds of one span."""

    calls: Calls
    others: Sequence[Other]
    refusals: Sequence[Refusal]
    first_record: int
    last_record: int
    """Exclusive."""
    unknown_fields: int

    @property
    def items(self) -> int:
        """Everything that the records held."""
        return len(self.calls.record) + len(self.others) + len(self.refusals)


def of_span(bounds: tuple[int, int], offsets: Int64s, decoded: Decoded) -> SpanBatch:
    """The part of a batch, with these offsets, that lies from the first of the bounds to the second (exclusive)."""
    first, last = np.searchsorted(offsets, bounds).tolist()
    begin, end = np.searchsorted(decoded.record, (first, last)).tolist()
    table = decoded.table.slice(begin, end - begin).combine_chunks()
    others = [other for other in decoded.others if first <= other.record < last]
    unknown = int(decoded.unknown_fields[begin:end].sum()) + sum(other.unknown_fields for other in others)
    return SpanBatch(
        Calls(table, decoded.record[begin:end], decoded.item[begin:end]),
        others,
        [refusal for refusal in decoded.refusals if first <= refusal.record < last],
        first,
        last,
        unknown,
    )


def admitted(batch: SpanBatch, admit: Admit) -> SpanBatch:
    """The batch without what repeats an id."""
    calls, others = batch.calls, batch.others
    if not others:
        if not len(calls.record):
            return batch
        return batch._replace(calls=calls.only(admit(calls.table["event_id"].combine_chunks())))
    # One set of ids for all types, so they are asked for together, in the order of the log. An id is one of its type: an
    # application may well give a request and its response the same one.
    of_others = pa.array([f"\0{other.kind}\0{other.event_id}" for other in others], pa.string())
    of_calls = calls.table["event_id"].combine_chunks() if len(calls.record) else of_others.slice(0, 0)
    ids = pa.concat_arrays([of_calls, of_others])
    record = np.concatenate((calls.record, np.array([other.record for other in others], np.int32)))
    item = np.concatenate((calls.item, np.array([other.item for other in others], np.int32)))
    order = np.lexsort((item, record))
    is_first = np.empty(len(ids), np.bool_)
    is_first[order] = admit(ids.take(pa.array(order)))
    new_others = [
        other for other, is_new in zip(others, is_first[len(calls.record) :], strict=True) if is_new
    ]
    return batch._replace(calls=calls.only(is_first[: len(calls.record)]), others=new_others)
