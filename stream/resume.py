"""Where to begin reading a partition, from what the group, the broker and the ledger say. Pure.

The refold after a crash begins at the first offset that the open span's partials speak for, so that it grows
them from the same prefix. The ledger knows that offset and the fold that the partials were made with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tokentide.schemas.aggregates import SEGMENT_OFFSETS


class LedgerEntry(NamedTuple):
    """One span, as ClickHouse has it."""

    first_offset: int
    version: int
    """Offset up to which (exclusive) it tells of the log. After a crash, rows and partials may be stored beyond it."""
    fold: int
    lost: int = 0
    """Offsets before `first_offset` that retention had taken."""
    pending: tuple[tuple[int, int], ...] = ()
    """Places (offset, item) of the parts of calls that waited for their partner at `version`."""
    limited_from: int | None = 0
    """From which offset on its content counts against the limit of a span; None: an older version wrote the row, and knew no limit."""

    def known(self) -> KnownSpan:
        """What a worker that comes to this span has to keep to.

        One of an older version is not over before where that had read to, else its row would keep the higher version. Then it
        gets the whole limit: what the older version may still have stored meanwhile is overtaken with it.
        """
        limited_from = self.version if self.limited_from is None else self.limited_from
        return KnownSpan(self.first_offset, self.lost, max(limited_from, self.first_offset))


class KnownSpan(NamedTuple):
    """A span that the ledger knows: it begins there whoever reads, and however."""

    first_offset: int
    lost: int
    """Offsets before it that retention had taken."""
    limited_from: int
    """From which offset on its content counts against the limit."""


class Start(NamedTuple):
    """Where reading begins, and what is durable already."""

    read_from: int
    stored_to: int
    """Rows of events below this offset are durable and are not stored again."""
    resume_at: int
    """No checkpoint before this position: the group has committed it."""
    lost: int = 0
    """Offsets that retention took before they were read, and that the ledger does not know of yet."""
    known_lost: int = 0
    """What the ledger's row of the span that is read again says of earlier losses; its next version must say it too."""
    waiting: tuple[tuple[int, int], ...] = ()
    """Places (offset, item) of parts of calls that waited for their partner at `read_from`, in the order of the log."""
    lost_parts: int = 0
    """Such parts that retention has taken."""
    is_provisional: bool = False
    """Planned without the ledger: windows may be published, nothing may be stored or committed."""
    known: tuple[KnownSpan, ...] = ()
    """Spans behind `read_from` that the ledger knows; and the one there, unless it is limited from its first offset on."""

    @property
    def fetch_from(self) -> int:
        """Where the log is read from: the first of the parts that wait, or `read_from`, where folding begins."""
        return self.waiting[0][0] if self.waiting else self.read_from


def segment_of(offset: int) -> int:
    """The segment that an offset lies in."""
    return offset // SEGMENT_OFFSETS


def segments_to_ask(committed: int | None, earliest: int) -> range:
    """The segments whose ledger entries `plan_start` needs whole: from the one before the commit's to the one where the log begins now.

    Where retention overtook the group, a worker may have stored any of them and died before its commit. A group without
    a commit may have had one, which expires too: then all that the ledger knows says what is missing.
    Of later segments it needs the entries too, as far as there are any, but not what waited there.
    """
    first = 0 if committed is None else max(0, segment_of(committed) - 1)
    return range(first, segment_of(max(committed or 0, earliest)) + 1)


def plan_start(committed: int | None, earliest: int, entries: Sequence[LedgerEntry], fold: int) -> Start:
    """Return where to begin.

    Args:
        committed: the group's committed offset; None if it has none.
        earliest: the first offset that the broker still has.
        entries: the ledger's entries of `segments_to_ask` and of all later segments.
        fold: the fold of this worker's settings and prices.
    """
    entries = sorted(entries)
    start = _where(committed, earliest, entries, fold)
    known = [entry.known() for entry in entries if entry.first_offset >= start.read_from]
    if known and known[0].first_offset == start.read_from:
        known[0] = known[0]._replace(lost=0)  # `known_lost` says it
        if known[0].limited_from == start.read_from:
            known = known[1:]
    before = [
        entry
        for entry in entries
        if entry.version == start.read_from and entry.first_offset < start.read_from
    ]
    pending = sorted(before[-1].pending) if before else []
    waiting = tuple(place for place in pending if place[0] >= earliest)
    return start._replace(waiting=waiting, lost_parts=len(pending) - len(waiting), known=tuple(known))


def provisional_start(committed: int | None, earliest: int) -> Start:
    """Where to begin while the ledger cannot be asked: as a rule where `plan_start` would, but parts of calls that waited
    there, and what retention did to the segment, are unknown. So what is folded from here is for the windows topic alone.
    """
    start = _where(committed, earliest, (), 0)
    return Start(start.read_from, start.resume_at, start.resume_at, is_provisional=True)


def _where(committed: int | None, earliest: int, entries: Sequence[LedgerEntry], fold: int) -> Start:
    """The plan without parts and known spans; the entries are in order."""
    position = earliest if committed is None else committed
    if committed is not None:
        entries = [entry for entry in entries if segment_of(entry.first_offset) >= segment_of(committed)]
    # A commit comes after the ledger rows of all that it covers. Of later spans some rows may be there and others not, so
    # these are only come to on the way.
    reached = [entry for entry in entries if entry.first_offset <= max(position, earliest)]
    if not reached:
        begin = max(segment_of(position) * SEGMENT_OFFSETS, earliest)
        lost = max(0, earliest - position) if committed is not None else 0
        return Start(begin, begin, max(position, begin), lost=lost)
    if reached[-1].first_offset >= earliest:
        return _again(reached[-1], position, fold)
    # Retention has taken the beginning of the span: what was stored stays, another begins behind it.
    begin = max(committed or 0, *(entry.version for entry in reached))
    start = max(begin, earliest)
    stored = [entry for entry in entries[len(reached) :] if entry.first_offset <= start]
    if stored:
        return _again(stored[0], position, fold)
    return Start(start, start, start, lost=start - begin)


def _again(entry: LedgerEntry, position: int, fold: int) -> Start:
    """The span of the entry is folded again."""
    resume_at = max(position, entry.first_offset)
    stored_to = resume_at if entry.fold == fold else entry.first_offset
    return Start(entry.first_offset, stored_to, resume_at, known_lost=entry.lost)
