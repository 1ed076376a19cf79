"""Joins the parts among the records of a batch, in the order of the log, however it is cut into batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.schemas.problems import Problem
from tokentide.stream.decode.batch import Flat, Int64s, Other
from tokentide.stream.decode.rows import finished
from tokentide.stream.join.call import bounded
from tokentide.stream.join.waiting import Arrived, Joined, LogPlace, WaitingParts
from tokentide.stream.segment_batch import Calls
from tokentide.stream.texts import pick


class Records(NamedTuple):
    """The records of a batch that lie in one span."""

    first: int
    """Position of the first of them in the batch."""
    offsets: Int64s
    timestamps_ms: Int64s
    """Kafka's time of each."""


class JoinedCall(NamedTuple):
    """A call made of parts, without its values: these have gone to a table, where it is the next row."""

    record: int
    """Position in the batch of the record that completed it or gave it up."""
    item: int
    """Its place there, as in `LogPlace`."""
    assembled_from: str
    is_crowded_out: bool

    @property
    def is_incomplete(self) -> bool:
        """Whether a part never came."""
        return self.item < 0


class Join(NamedTuple):
    """What became of the parts."""

    calls: Sequence[JoinedCall]
    refused: Sequence[tuple[Other, Problem]]
    """Parts that do not go with their partner, which waits on."""
    held: int
    """Parts that are no call's place: what they said is, or will be, in the call of another place."""

    @property
    def incomplete(self) -> int:
        """Calls of parts that were given up."""
        return sum(call.is_incomplete for call in self.calls)

    @property
    def crowded_out(self) -> int:
        """Of these, those that were given up early, for want of room."""
        return sum(call.is_crowded_out for call in self.calls)


AddRows = Callable[[Sequence[Flat]], None]
"""Takes the values of calls, in their order; `TableBuilder.add`."""

_ROWS_AT_ONCE: Final = 64
"""Values of so many calls are at hand before they go to the table: more would leave the processor's cache in between."""


class _Calls:
    """Calls as they are made."""

    def __init__(self, add_rows: AddRows) -> None:
        self.places: list[JoinedCall] = []
        self._rows: list[Flat] = []
        self._add_rows = add_rows

    def add(self, record: int, call: Joined) -> None:
        made_of = str(call.values["assembled_from"])
        self.places.append(JoinedCall(record, call.place.item, made_of, call.is_crowded_out))
        self._rows.append(call.values)
        if len(self._rows) >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._add_rows(self._rows)
            self._rows = []


def parts_of(others: Sequence[Other]) -> list[Other]:
    """Those of them that are parts."""
    return [other for other in others if other.kind != "evaluation"]


def arrived(part: Other, offset: int, sent_ms: int) -> Arrived:
    """The part as it waits."""
    kind = part.kind
    assert kind != "evaluation"
    return Arrived(LogPlace(offset, part.item), sent_ms, kind, bounded(part.values))


def join(waiting: WaitingParts, parts: Sequence[Other], records: Records, add_rows: AddRows) -> Join:
    """Take the parts of these records, and give up what their times say has waited too long."""
    calls = _Calls(add_rows)
    refused: list[tuple[Other, Problem]] = []
    held = 0
    of_record: dict[int, list[Other]] = {}
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
                calls.add(records.first + row, outcome)
        for call in given_up:
            calls.add(records.first + row, call)
    calls.flush()
    return Join(calls.places, refused, held)


def _worth_a_visit(waiting: WaitingParts, of_record: dict[int, list[Other]], times_ms: Int64s) -> list[int]:
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


def with_joined(calls: Calls, joined: Sequence[JoinedCall], table: pa.Table) -> Calls:
    """Put the calls made of parts, with their table, among those that came whole."""
    table = finished(table)
    incomplete = [call.is_incomplete or None for call in joined]
    made_of = pick([call.assembled_from for call in joined], np.arange(len(joined)))
    table = table.append_column("assembled_from", made_of)
    table = table.append_column("incomplete", pa.array(incomplete, pa.bool_()))
    record = np.concatenate((calls.record, np.array([call.record for call in joined], np.int32)))
    item = np.concatenate((calls.item, np.array([call.item for call in joined], np.int32)))
    order = np.lexsort((item, record))
    both = pa.concat_tables([calls.table, table], promote_options="default") if len(calls.record) else table
    both = both.unify_dictionaries().combine_chunks().take(pa.array(order)).combine_chunks()
    return Calls(both, record[order], item[order])
