"""The partials of a segment as rows of `llm_windows` (`tokentide.schemas.arrow.WINDOW_ROWS`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.schemas.aggregates import AGGREGATES, DIMENSIONS, Aggregate
from tokentide.schemas.arrow import TIME_S, WINDOW_ROWS, aggregate_type
from tokentide.stream.decode.batch import Int64s
from tokentide.stream.fold.measures import NAMES
from tokentide.stream.fold.slots import Slot
from tokentide.stream.fold.totals import Totals


class Span(NamedTuple):
    """The part of a log that a partial or a ledger row speaks for."""

    source: str
    """Topic and topic id."""
    partition: int
    segment: int
    first_offset: int
    fold: int
    """Identifies the settings and prices the events were folded with."""
    version: int
    """Offset up to which (exclusive) the log has been read."""


def span_columns(span: Span, rows: int) -> dict[str, Any]:
    """The span as constant columns, named as in `SOURCE_FIELDS`."""
    return {
        "source": pa.repeat(span.source, rows),
        "source_partition": pa.repeat(pa.scalar(span.partition, pa.int32()), rows),
        "segment": pa.repeat(pa.scalar(span.segment, pa.int64()), rows),
        "first_offset": pa.repeat(pa.scalar(span.first_offset, pa.int64()), rows),
        "fold": pa.repeat(pa.scalar(span.fold, pa.uint64()), rows),
        "version": pa.repeat(pa.scalar(span.version, pa.int64()), rows),
    }


def partial_rows(span: Span, all_slots: Sequence[Slot], totals: Totals, numbers: Int64s) -> pa.Table:
    """Return one row for each of the slot numbers, which must be ascending.

    Raises:
        OverflowError: see `Totals.sums`.
    """
    chosen = [all_slots[number] for number in numbers.tolist()]
    columns = span_columns(span, len(chosen))
    columns["window_start"] = pa.array([slot.window_start for slot in chosen], TIME_S)
    for place, name in enumerate(DIMENSIONS):
        columns[name] = pa.array([slot.series[place] for slot in chosen], pa.string())
    for aggregate in AGGREGATES:
        columns[aggregate.name] = _aggregate_column(aggregate, totals, numbers)
    return pa.table(columns, schema=WINDOW_ROWS)


def _aggregate_column(aggregate: Aggregate, totals: Totals, numbers: Int64s) -> Any:
    if aggregate.is_wide:
        return _wide_column(aggregate, totals, numbers)
    if aggregate.merge == "map":
        return _map_column(aggregate, totals, numbers)
    if aggregate.merge == "max":
        return pa.array(totals.peaks(aggregate.name, numbers))
    return pa.array(totals.sums(aggregate.name, numbers))


def _wide_column(aggregate: Aggregate, totals: Totals, numbers: Int64s) -> Any:
    high, low = totals.wide(aggregate.name, numbers)
    words = np.empty((len(numbers), 2), np.uint64)
    words[:, 0] = low
    words[:, 1] = high.astype(np.uint64)
    return pa.Array.from_buffers(aggregate_type(aggregate), len(numbers), [None, pa.py_buffer(words)])


_KEY_ARRAYS: Final = {name: pa.array(names) for name, names in NAMES.items()}


def _map_column(aggregate: Aggregate, totals: Totals, numbers: Int64s) -> Any:
    counts = totals.map_counts(aggregate.name, numbers)
    lengths = np.bincount(counts.owner, minlength=len(numbers))
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    if aggregate.key_type == "name":
        keys = _KEY_ARRAYS[aggregate.name].take(pa.array(counts.key))
    else:
        keys = pa.array(counts.key.astype(np.int16))
    return pa.MapArray.from_arrays(
        pa.array(offsets), keys, pa.array(counts.calls), type=aggregate_type(aggregate)
    )
