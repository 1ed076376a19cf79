"""Everything that is known of one span of a segment of a source partition: a pure function of the log from its first offset on.

As a rule a segment is one span. It has more where reading it again would take too long (`extent`), and where retention took its
beginning before it could be folded again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.schemas.aggregates import WINDOW_SECONDS
from tokentide.schemas.arrow import LEDGER_ROWS, TIME_US, WINDOW_ROWS
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode.arrays import all_true, numbers
from tokentide.stream.decode.batch import Bools, Int64s
from tokentide.stream.fold.extent import Extent
from tokentide.stream.fold.measures import measure
from tokentide.stream.fold.partials import Span, partial_rows, span_columns
from tokentide.stream.fold.seen import SeenIds
from tokentide.stream.fold.slots import Slots
from tokentide.stream.fold.totals import Reader, Totals

_MICROSECONDS: Final = 1_000_000
_COUNTED: Final = (
    "records", "gaps", "items", "events", "test_events", "incomplete_events", "duplicates", "parts", "evaluations", "unknown_fields",
)  # fmt: skip


class FoldSettings(NamedTuple):
    """What a fold depends on beside the events."""

    dimensions: Sequence[str]
    series_cap: int


class SegmentFold:
    """The partials and the ledger of one span.

    Feed it the events of the span in the order of the log: `admit` the ids, then `add` the admitted rows. The
    result does not depend on how the log was cut into batches.
    """

    def __init__(
        self, span: Span, topic: str, settings: FoldSettings, extent: Extent, *, lost: int = 0
    ) -> None:
        self.extent = extent
        """How far it goes."""
        self._span = span
        self._topic = topic
        self._ids = SeenIds()
        self._slots = Slots(settings.dimensions, settings.series_cap)
        self._totals = Totals()
        self._newest_us = -1
        self._oldest_us: int | None = None
        self._lost = lost
        self._count = Counter[str]()
        self._rejects = Counter[RejectReason]()
        self._pending: Sequence[tuple[int, int]] = ()
        self._latest: tuple[int, Int64s, pa.Table] = (-1, np.empty(0, np.int64), WINDOW_ROWS.empty_table())

    @property
    def span(self) -> Span:
        """What has been read so far."""
        return self._span

    def admit(self, event_ids: Any) -> Bools:
        """Return which rows are the first of their id in this span; count the others as duplicates."""
        repeated = self._ids.add(event_ids)
        self._count["duplicates"] += int(np.count_nonzero(repeated))
        return ~repeated

    def late(self, timestamps_us: Int64s) -> Bools:
        """Return which admitted events come after their window had ended by the newest event time before them."""
        newest = np.maximum.accumulate(np.concatenate(([self._newest_us], timestamps_us)))
        ends = (timestamps_us // (WINDOW_SECONDS * _MICROSECONDS) + 1) * (WINDOW_SECONDS * _MICROSECONDS)
        return ends <= newest[:-1]

    def add(self, table: pa.Table, late: Bools) -> None:
        """Fold enriched events that were admitted; `table` has the columns of `EVENT_ROWS` that occur."""
        rows = table.num_rows
        if not rows:
            return
        timestamps = numbers(table["timestamp"].combine_chunks()).values
        self._newest_us = max(self._newest_us, int(timestamps.max()))
        oldest = int(timestamps.min())
        self._oldest_us = oldest if self._oldest_us is None else min(self._oldest_us, oldest)
        window_start = timestamps // (WINDOW_SECONDS * _MICROSECONDS) * WINDOW_SECONDS
        slot = self._slots.assign(table, window_start)
        self._count["events"] += rows
        test = _test_rows(table)
        if test is None:
            self._totals.add(slot, measure(table, late), len(self._slots))
            return
        self._count["test_events"] += int(np.count_nonzero(test))
        self._totals.add_ones("test_calls", slot[test], len(self._slots))
        if not test.all():
            real = table.filter(pa.array(~test)).combine_chunks()
            self._totals.add(slot[~test], measure(real, late[~test]), len(self._slots))

    @property
    def overflowed(self) -> int:
        """Windows of series beyond the cap, which were counted as `__other__`."""
        return self._slots.overflowed

    def refuse(self, reasons: Sequence[RejectReason]) -> None:
        """Count refused items."""
        self._rejects.update(reasons)

    def count(self, *, parts: int, evaluations: int, incomplete_events: int) -> None:
        """Count parts that are no call's place, evaluations, and rows that have no item of their own."""
        self._count["parts"] += parts
        self._count["evaluations"] += evaluations
        self._count["incomplete_events"] += incomplete_events

    def wait_for(self, pending: Sequence[tuple[int, int]]) -> None:
        """Parts of calls at these places (offset, item) still wait, where the span has been read so far."""
        self._pending = tuple(pending)

    def read(self, *, next_offset: int, records: int, items: int, unknown_fields: int = 0) -> None:
        """The log has been read up to `next_offset` (exclusive); offsets without a record are gaps.

        `items` is what the records held, counted before anything was done with it.
        """
        self._count["records"] += records
        self._count["items"] += items
        self._count["gaps"] += next_offset - self._span.version - records
        self._count["unknown_fields"] += unknown_fields
        self._span = self._span._replace(version=next_offset)

    def dirty_partials(self, reader: Reader) -> pa.Table:
        """Rows of `llm_windows` for every partial that changed since this reader's last call, with absolute values.

        Raises:
            OverflowError: see `Totals.sums`.
        """
        dirty = self._totals.dirty_slots(reader)
        self._totals.mark_clean(reader, dirty)
        # As a rule both readers ask one after the other for the same: it is built once.
        version, slots, rows = self._latest
        if version != self._span.version or not np.array_equal(slots, dirty):
            rows = partial_rows(self._span, self._slots.all(), self._totals, dirty)
            self._latest = (self._span.version, dirty, rows)
        return rows

    def ledger_row(self) -> pa.Table:
        """The span's row of `llm_ledger`."""
        rejects = sum(self._rejects.values())
        count = self._count
        columns = span_columns(self._span, 1)
        columns["topic"] = [self._topic]
        for name in _COUNTED:
            columns[name] = [count[name]]
        columns["rejects"] = [rejects]
        columns["rejects_by_reason"] = [sorted((str(reason), n) for reason, n in self._rejects.items())]
        columns["lost"] = [self._lost]
        known = self._oldest_us is not None
        columns["min_timestamp"] = pa.array([self._oldest_us], TIME_US)
        columns["max_timestamp"] = pa.array([self._newest_us if known else None], TIME_US)
        columns["pending_offsets"] = [[offset for offset, _ in self._pending]]
        columns["pending_items"] = [[item for _, item in self._pending]]
        columns["limited_from"] = [self.extent.limited_from]
        return pa.table(columns, schema=LEDGER_ROWS)


def _test_rows(table: pa.Table) -> Bools | None:
    """Which rows are test events, or None if none is."""
    if "test" not in table.column_names:
        return None
    test = all_true(pc.fill_null(table["test"].combine_chunks(), fill_value=False))
    return test if test.any() else None
