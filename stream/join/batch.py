"""Joins the parts among the records of a batch, in the order of the log, however it is cut into batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.schemas.part import PartType
from tokentide.schemas.problems import Problem
from tokentide.stream.decode.batch import Flat, Int64s, Other
from tokentide.stream.decode.rows import finished
from tokentide.stream.join.call import bounded
from tokentide.stream.join.waiting import Arrived, Joined, LogPlace, WaitingParts
from tokentide.stream.segment_batch import Calls
from tokentide.stream.texts import pick


class PartOf(NamedTuple):
    """A part and the position of its record in the batch."""

    record: int
    item: int
    kind: PartType
    values: Flat


class Records(NamedTuple):
    """The records of a batch that lie in one span."""

    first: int
    """Position of the first of them in the batch."""
    offsets: Int64s
    timestamps_ms: Int64s
    """Kafka's time of each."""


class Join(NamedTuple):
    """What became of the parts."""

    calls: Sequence[tuple[int, Joined]]
    """Each with the position of its record in the batch."""
    refused: Sequence[tuple[PartOf, Problem]]
    """Parts that do not go with their partner, which waits on."""
    held: int
    """Parts that are no call's place: what they said is, or will be, in the call of another place."""

    @property
    def incomplete(self) -> int:
        """Calls of parts that were given up."""
        return sum(call.is_incomplete for _, call in self.calls)

    @property
    def crowded_out(self) -> int:
        """Of these, those that were given up early, for want of room."""
        return sum(call.is_crowded_out for _, call in self.calls)


def parts_of(others: Sequence[Other]) -> list[PartOf]:
    """Those of them that are parts."""
    return [
        PartOf(other.record, other.item, other.kind, other.values)
        for other in others
        if other.kind != "evaluation"
    ]


def arrived(part: PartOf, offset: int, sent_ms: int) -> Arrived:
    """The part as it waits."""
    return Arrived(LogPlace(offset, part.item), sent_ms, part.kind, bounded(part.values))


def join(waiting: WaitingParts, parts: Sequence[PartOf], records: Records) -> Join:
    """Take the parts of these records, and give up what their times say has waited too long."""
    calls: list[tuple[int, Joined]] = []
    refused: list[tuple[PartOf, Problem]] = []
    held = 0
    of_record: dict[int, list[PartOf]] = {}
    for part in parts:
        of_record.setdefault(part.record - records.first, []).append(part)
    for row in _worth_a_visit(waiting, of_record, records.timestamps_ms):
        offset, sent_ms = int(records.offsets[row]), int(records.timestamps_ms[row])
        given_up = waiting.give_up(offset, sent_ms)
        for part in of_record.get(row, ()):
            outcome = waiting.take(arrived(part, offset, sent_ms))
            if isinstance(outcome, Problem):
                refused.append((part, outcome))
            elif outcome is None:
                held += 1
                if waiting.is_overfull:
                    given_up += waiting.give_up(offset, sent_ms)
            else:
                calls.append((records.first + row, outcome))
        calls += [(records.first + row, call) for call in given_up]
    return Join(calls, refused, held)


def _worth_a_visit(waiting: WaitingParts, of_record: dict[int, list[PartOf]], times_ms: Int64s) -> list[int]:
    """The records with parts, and those at which something may be given up."""
    deadlines_ms = [waiting.earliest_deadline_ms]
    if of_record:
        deadlines_ms.append(min(int(times_ms[row]) for row in of_record) + waiting.least_wait_ms)
    earliest_ms = min((deadline for deadline in deadlines_ms if deadline is not None), default=None)
    if earliest_ms is None:
        return []
    late = np.flatnonzero(times_ms >= earliest_ms).tolist()
    overfull = range(1) if waiting.is_overfull and len(times_ms) else ()
    return sorted({*of_record, *late, *overfull})


ToTable = Callable[[Sequence[Flat]], pa.Table]
"""Makes the table of events by flat values."""


def with_joined(calls: Calls, joined: Sequence[tuple[int, Joined]], to_table: ToTable) -> Calls:
    """Put the calls made of parts among those that came whole."""
    rows = [call.values for _, call in joined]
    table = finished(to_table(rows))
    made_of = [str(row["assembled_from"]) for row in rows]
    incomplete = [True if row.get("incomplete") else None for row in rows]
    table = table.append_column("assembled_from", pick(made_of, np.arange(len(rows))))
    table = table.append_column("incomplete", pa.array(incomplete, pa.bool_()))
    record = np.concatenate((calls.record, np.array([record for record, _ in joined], np.int32)))
    item = np.concatenate((calls.item, np.array([call.place.item for _, call in joined], np.int32)))
    order = np.lexsort((item, record))
    both = pa.concat_tables([calls.table, table], promote_options="default") if len(calls.record) else table
    both = both.unify_dictionaries().combine_chunks().take(pa.array(order)).combine_chunks()
    return Calls(both, record[order], item[order])
