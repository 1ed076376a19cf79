"""One source partition: from record batches to what a checkpoint has to make durable. Pure: no I/O, no clock.

The protocol and why it is exact stand in docs/delivery.md. In short: the log is cut into segments of 65,536 offsets, and these into
spans where they hold much; reading begins at the first offset of the span that holds the committed offset; events below the
committed offset are folded again but not stored again, because their rows are durable. Parts of calls that waited for their
partner when that span began are read again from further back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.schemas.arrow import LEDGER_ROWS, WINDOW_ROWS
from tokentide.schemas.rejects import DeadLetter
from tokentide.stream.decode.arrays import numbers
from tokentide.stream.decode.batch import BatchDecoder, Decoded, Int64s, Refusal
from tokentide.stream.decode.clock import ClockLimits, refuse_wrong_clocks
from tokentide.stream.decode.reference import ItemBytes
from tokentide.stream.fold.extent import Extent, SpanLimits, costs
from tokentide.stream.fold.partials import Span
from tokentide.stream.fold.segment import FoldSettings, SegmentFold
from tokentide.stream.held import Held
from tokentide.stream.join.batch import Join, Records, arrived, join, parts_of, with_joined
from tokentide.stream.join.waiting import JoinLimits, WaitingParts
from tokentide.stream.letters import LetterPolicy
from tokentide.stream.placed_rows import Places, placed, unpriced
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.resume import KnownSpan, Start, segment_of
from tokentide.stream.segment_batch import Calls, SpanBatch, admitted, of_span
from tokentide.stream.taken import Folded, Taken, taken_of

Enrich = Callable[[pa.Table], pa.Table]
"""Decoded events to event rows: tokens counted, calls priced, errors classified."""


class OutOfStepError(Exception):
    """A batch does not begin where the last one ended: the consumer was moved without this state."""


class PartitionRules(NamedTuple):
    """What the results depend on beside the log."""

    fold: FoldSettings
    fold_id: int
    clock: ClockLimits
    letters: LetterPolicy
    join: JoinLimits = JoinLimits()
    spans: SpanLimits = SpanLimits()


class Checkpoint(NamedTuple):
    """What must be durable before `position` may be committed."""

    position: int
    letters: Sequence[DeadLetter]
    rows: Sequence[pa.Table]
    """Event rows, one table per batch, each with the columns that occur."""
    partials: pa.Table
    ledger: pa.Table
    evaluations: Sequence[pa.Table] = ()

    @property
    def row_count(self) -> int:
        """Event rows of all tables."""
        return sum(table.num_rows for table in self.rows)


class PartitionFold:
    """The state of one assigned partition, from its assignment on."""

    def __init__(
        self,
        source: Source,
        start: Start,
        rules: PartitionRules,
        decoder: BatchDecoder,
        enrich: Enrich,
        *,
        enrich_for_windows: Enrich | None = None,
    ) -> None:
        """Make it; `enrich_for_windows` may leave out what only rows need, for events whose rows are durable."""
        self._source = source
        self._rules = rules
        self._decoder = decoder
        self._enrich = enrich
        self._enrich_for_windows = enrich_for_windows or enrich
        self._first_offset = start.read_from
        self._position = start.fetch_from
        self._waited = frozenset(start.waiting)
        self._waited_offsets = np.array(sorted({offset for offset, _ in start.waiting}), np.int64)
        self._waiting = WaitingParts(rules.join)
        self._stored_to = start.stored_to
        self._resume_at = start.resume_at
        self._committed = start.resume_at
        self._lost = start.lost + start.known_lost
        self._known = {span.first_offset: span for span in start.known}
        self._spans: list[SegmentFold] = []
        """In the order of the log, which they cover; all but the last are over."""
        self._held = Held(source, rules.letters)

    @property
    def position(self) -> int:
        """The next offset to be read."""
        return self._position

    @property
    def source(self) -> Source:
        """Which log this is."""
        return self._source

    @property
    def held_rows(self) -> int:
        """Event rows that wait for a checkpoint."""
        return self._held.row_count

    @property
    def held_bytes(self) -> int:
        """Memory of these rows and of the dead letters that wait with them."""
        return self._held.bytes

    @property
    def waiting_parts(self) -> int:
        """Requests without answer, and answers without request."""
        return len(self._waiting)

    @property
    def has_let_go(self) -> bool:
        """Whether `let_go` was called: nothing can be stored any more, only published."""
        return self._held.has_let_go

    @property
    def is_caught_up(self) -> bool:
        """Whether all that was committed at the start has been folded again; before, nothing can be stored."""
        return self._position >= self._resume_at

    def ingest(self, batch: RecordBatch) -> Taken:
        """Decode, enrich and fold a batch; return what it held.

        Raises:
            OutOfStepError: the batch does not begin at `position`. Nothing of it was taken.
        """
        if batch.begin != self._position:
            raise OutOfStepError(f"the batch begins at offset {batch.begin}, {self._position} was expected")
        if batch.begin < self._first_offset:
            self._restore(batch)
            if batch.end <= self._first_offset:
                self._position = batch.end
                return Taken()
            batch = batch.since(self._first_offset)
            self._position = batch.begin
        decoded = self._decoder.decode(batch.values)
        # Before clocks and ids: where spans end must not depend on settings, nor on what else was read.
        cost_ns = costs(decoded, batch.values, self._rules.spans)
        decoded = refuse_wrong_clocks(decoded, batch.values, batch.timestamps_ms, self._rules.clock)
        folded: list[Folded] = []
        while self._position < batch.end:
            folded.append(self._ingest_span(self._open_span(), batch, decoded, cost_ns))
        return taken_of(batch.offsets, decoded, folded, self._stored_to)

    def _restore(self, batch: RecordBatch) -> None:
        """Of the records before the first offset that is folded, only those are of interest that waited there."""
        rows = np.flatnonzero(
            np.isin(batch.offsets, self._waited_offsets) & (batch.offsets < self._first_offset)
        )
        decoded = self._decoder.decode([batch.values[row] for row in rows.tolist()])
        for part in parts_of(decoded.others):
            offset, sent_ms = (
                int(batch.offsets[rows[part.record]]),
                int(batch.timestamps_ms[rows[part.record]]),
            )
            if (offset, part.item) in self._waited:
                self._waiting.restore(arrived(part, offset, sent_ms))

    def _ingest_span(
        self, fold: SegmentFold, batch: RecordBatch, decoded: Decoded, cost_ns: Int64s
    ) -> Folded:
        """Fold what follows in the batch, up to the span's end."""
        begin = self._position
        first = int(np.searchsorted(batch.offsets, begin))
        end = fold.extent.end(batch.offsets[first:], cost_ns[first:], batch.end)
        found = of_span((begin, end), batch.offsets, decoded)
        new = admitted(found, fold.admit)
        records = slice(found.first_record, found.last_record)
        log = Records(found.first_record, batch.offsets[records], batch.timestamps_ms[records])
        of_joined = self._decoder.table_builder()
        joined = join(self._waiting, parts_of(new.others), log, of_joined.add)
        calls = with_joined(new.calls, joined.calls, of_joined.table()) if joined.calls else new.calls
        refusals = [*found.refusals, *_refusals_of(joined, batch)]
        fold.refuse([refusal.problem.reason for refusal in refusals])
        self._held.letters(refusals, batch, self._stored_to)
        evaluations = sum(other.kind == "evaluation" for other in new.others)
        if evaluations:
            self._held.evaluations(new.others, batch, self._stored_to)
        fold.count(parts=joined.held, evaluations=evaluations, incomplete_events=joined.incomplete)
        folded = self._fold_rows(fold, batch, calls)
        fold.read(
            next_offset=end,
            records=found.last_record - found.first_record,
            items=found.items,
            unknown_fields=found.unknown_fields,
        )
        if fold.extent.is_over:
            fold.wait_for(self._waiting.places())
        self._position = end
        return folded._replace(
            duplicates=self._new(found, batch) - self._new(new, batch),
            crowded_out=joined.crowded_out,
            refused=refusals,
        )

    def _new(self, found: SpanBatch, batch: RecordBatch) -> int:
        """Accepted events of a batch that are not durable."""
        first_new = int(np.searchsorted(batch.offsets, self._stored_to))
        calls = int(np.count_nonzero(found.calls.record >= first_new))
        return calls + sum(other.record >= first_new for other in found.others)

    def _open_span(self) -> SegmentFold:
        """The span that what is read next belongs to."""
        if self._spans and not self._spans[-1].extent.is_over:
            return self._spans[-1]
        first_offset = self._position
        segment = segment_of(first_offset)
        span = Span(
            source=self._source.name,
            partition=self._source.partition,
            segment=segment,
            first_offset=first_offset,
            fold=self._rules.fold_id,
            version=first_offset,
        )
        known = self._known.pop(first_offset, KnownSpan(first_offset, 0, first_offset))
        ends = ((segment + 1) * SEGMENT_OFFSETS, *(offset for offset in self._known if offset > first_offset))
        extent = Extent(min(ends), known.limited_from, self._rules.spans)
        lost, self._lost = self._lost + known.lost, 0
        self._spans.append(SegmentFold(span, self._source.topic, self._rules.fold, extent, lost=lost))
        return self._spans[-1]

    def _fold_rows(self, fold: SegmentFold, batch: RecordBatch, calls: Calls) -> Folded:
        if not calls.table.num_rows:
            return Folded()
        is_durable = int(batch.offsets[calls.record[-1]]) < self._stored_to
        enriched = (self._enrich_for_windows if is_durable else self._enrich)(calls.table)
        late = fold.late(numbers(enriched["timestamp"].combine_chunks()).values)
        overflowed = fold.overflowed
        fold.add(enriched, late)
        overflowed = fold.overflowed - overflowed
        if is_durable:
            return Folded(overflowed=overflowed)
        places = Places(batch.offsets[calls.record], calls.item, batch.timestamps_ms[calls.record])
        rows = placed(enriched.append_column("late", pa.array(late)), self._source, places)
        if int(places.offset[0]) < self._stored_to:
            rows = rows.filter(pa.array(places.offset >= self._stored_to))
        self._held.rows(rows)
        incomplete = int(np.count_nonzero((places.item < 0) & (places.offset >= self._stored_to)))
        return Folded(rows.num_rows, incomplete, unpriced(rows), overflowed)

    def let_go(self) -> None:
        """Hold no rows and dead letters from now on, because nobody takes them and memory is full.

        Windows are folded and published on, so that incidents are noticed; there are no checkpoints any more. The caller
        reads the log again from the last commit, with a new state, once rows are taken again.
        """
        self._held.let_go()

    def checkpoint(self) -> Checkpoint | None:
        """Take what is new since the last call, or None if nothing is, or not yet all durable events are folded again.

        None too after `let_go`.

        The caller makes it durable in the order letters, rows, partials, ledger, then commits `position` and calls
        `committed`. If any of that fails for good, this object must be dropped: it has given its rows away.
        """
        if self._held.has_let_go or not self.is_caught_up or self._position == self._committed:
            return None
        if self._spans and not self._spans[-1].extent.is_over:
            self._spans[-1].wait_for(self._waiting.places())
        partials = [fold.dirty_partials("store") for fold in self._spans]
        held = self._held.take()
        return Checkpoint(
            position=self._position,
            letters=held.letters,
            rows=held.rows,
            partials=pa.concat_tables(partials) if partials else WINDOW_ROWS.empty_table(),
            ledger=pa.concat_tables([fold.ledger_row() for fold in self._spans])
            if self._spans
            else LEDGER_ROWS.empty_table(),
            evaluations=held.evaluations,
        )

    def published(self) -> pa.Table:
        """Take the partials that changed since the last call, for the windows topic; they are absolute.

        After `let_go`, spans that are read to their end are forgotten with it: memory stays bounded however long it takes.
        """
        partials = [fold.dirty_partials("publish") for fold in self._spans]
        if self._held.has_let_go:
            self._forget_spans_below(self._position)
        return pa.concat_tables(partials) if partials else WINDOW_ROWS.empty_table()

    def committed(self, position: int) -> None:
        """The commit of `position` was accepted: forget the spans that lie wholly below it."""
        self._committed = position
        self._stored_to = max(self._stored_to, position)
        self._forget_spans_below(position)

    def _forget_spans_below(self, position: int) -> None:
        self._spans = [
            fold for fold in self._spans if not fold.extent.is_over or fold.span.version > position
        ]


def _refusals_of(joined: Join, batch: RecordBatch) -> list[Refusal]:
    items = ItemBytes(batch.values)
    return [
        Refusal(part.record, part.item, problem, items.of(part.record, part.item))
        for part, problem in joined.refused
    ]
