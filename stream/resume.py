"""Where to begin reading a partition, from what the group, the broker and the ledger say. Pure.

The refold after a crash begins at the first offset that the segment's partials speak for, so that it grows
them from the same prefix. The ledger knows that offset and the fold that the partials were made with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tokentide.schemas.aggregates import SEGMENT_OFFSETS


class LedgerEntry(NamedTuple):
    """One span of the segment that holds the committed offset, as ClickHouse has it."""

    first_offset: int
    version: int
    """Offset up to which (exclusive) rows, or any partial, may have been stored."""
    fold: int


class Start(NamedTuple):
    """Where reading begins, and what is durable already."""

    read_from: int
    stored_to: int
    """Rows of events below this offset are durable and are not stored again."""
    resume_at: int
    """No checkpoint before this position: the group has committed it."""
    lost: int = 0
    """Offsets that retention took before they were read."""


def segment_of(offset: int) -> int:
    """The segment that an offset lies in."""
    return offset // SEGMENT_OFFSETS


def plan_start(committed: int | None, earliest: int, entries: Sequence[LedgerEntry], fold: int) -> Start:
    """Return where to begin.

    Args:
        committed: the group's committed offset; None if it has none.
        earliest: the first offset that the broker still has.
        entries: the ledger's entries of the segment that holds `committed`, or `earliest` if there is none.
        fold: the fold of this worker's settings and prices.
    """
    position = earliest if committed is None else committed
    whole = [entry for entry in entries if entry.first_offset >= earliest]
    if whole:
        entry = max(whole)
        is_same = entry.fold == fold and committed is not None
        stored_to = max(position, entry.first_offset) if is_same else entry.first_offset
        return Start(entry.first_offset, stored_to, max(position, entry.first_offset))
    if entries:
        # Retention has taken the beginning of the segment: what was stored stays, a new span begins behind it.
        begin = max(position, *(entry.version for entry in entries))
        start = max(begin, earliest)
        return Start(start, start, start, lost=start - begin)
    begin = max(segment_of(position) * SEGMENT_OFFSETS, earliest)
    lost = max(0, earliest - position) if committed is not None else 0
    return Start(begin, begin, max(position, begin), lost=lost)
