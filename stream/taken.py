"""What a batch held, as counts: for metrics and the alarm over refused events. Nothing that is stored rests on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode.batch import Decoded, Int32s, Int64s, Refusal

_ITEMS: Final = 1 << 32
"""More than the items of any record."""


class Runs(NamedTuple):
    """Refused events in a row."""

    first: int = 0
    """Before the first accepted one."""
    longest: int = 0
    last: int = 0
    """After the last accepted one."""


NO_RUNS: Final = Runs()


class Taken(NamedTuple):
    """What was new in a batch; what was durable before and was only read again is in `again` alone."""

    records: int = 0
    events: int = 0
    """Calls: neither refused nor duplicates."""
    duplicates: int = 0
    unpriced: int = 0
    """Of the events, those without a cost."""
    again: int = 0
    """Events that were durable."""
    refused: Mapping[RejectReason, int] = {}
    runs: Runs = NO_RUNS
    overflowed: int = 0
    """Windows of series beyond the cap, which were counted as another one's."""
    parts: int = 0
    """Accepted events that are no call's place: requests and answers that wait or are joined elsewhere, and evaluations."""
    incomplete: int = 0
    """Of the events, calls of parts that were given up; none of the accepted ones is their place."""

    crowded_out: int = 0
    """Parts that were given up early, because too much waited."""

    @property
    def accepted(self) -> int:
        """Events that were not refused."""
        return self.events - self.incomplete + self.parts + self.duplicates

    @property
    def refusals(self) -> int:
        """Refused events."""
        return sum(self.refused.values())


def runs_of(refused: Sequence[tuple[int, int]], record: Int32s, item: Int32s) -> Runs:
    """How refused events follow each other between accepted ones.

    Args:
        refused: record and item of each, ordered; item -1 is the record as a whole.
        record: of each accepted event, ordered.
        item: the same.
    """
    if not refused:
        return NO_RUNS
    accepted = record.astype(np.int64) * _ITEMS + item
    accepted_before = np.searchsorted(accepted, [place * _ITEMS + item for place, item in refused])
    lengths = np.bincount(accepted_before, minlength=len(accepted) + 1)
    return Runs(int(lengths[0]), int(lengths.max()), int(lengths[-1]))


class Folded(NamedTuple):
    """What was new of a batch in one span; refusals are all of them."""

    events: int = 0
    incomplete: int = 0
    unpriced: int = 0
    overflowed: int = 0
    crowded_out: int = 0
    duplicates: int = 0
    refused: Sequence[Refusal] = ()


def taken_of(offsets: Int64s, decoded: Decoded, folded: Sequence[Folded], stored_to: int) -> Taken:
    """What was new of a batch with records at these offsets, where rows below `stored_to` are durable."""
    first_new = int(np.searchsorted(offsets, stored_to))
    refusals = [r for part in folded for r in part.refused if r.record >= first_new]
    refused = sorted((refusal.record, refusal.item) for refusal in refusals)
    record, item = _accepted_places(decoded, refused)
    again = int(np.searchsorted(record, first_new))
    events, incomplete = sum(part.events for part in folded), sum(part.incomplete for part in folded)
    duplicates = sum(part.duplicates for part in folded)
    return Taken(
        records=len(offsets) - first_new,
        events=events,
        incomplete=incomplete,
        parts=len(record) - again - duplicates - (events - incomplete),
        duplicates=duplicates,
        unpriced=sum(part.unpriced for part in folded),
        again=again,
        refused=Counter(refusal.problem.reason for refusal in refusals),
        runs=runs_of(refused, record[again:], item[again:]),
        overflowed=sum(part.overflowed for part in folded),
        crowded_out=sum(part.crowded_out for part in folded),
    )


def _accepted_places(decoded: Decoded, refused: Sequence[tuple[int, int]]) -> tuple[Int32s, Int32s]:
    """Record and item of everything that was not refused, in the order of the log."""
    if not decoded.others:
        return decoded.record, decoded.item
    gone = set(refused)
    others = [(o.record, o.item) for o in decoded.others if (o.record, o.item) not in gone]
    columns = np.array(others, np.int32).reshape(-1, 2)
    record = np.concatenate((decoded.record, columns[:, 0]))
    item = np.concatenate((decoded.item, columns[:, 1]))
    order = np.lexsort((item, record))
    return record[order], item[order]
