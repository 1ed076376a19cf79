"""The ledger against the log: has anything been committed that the ledger does not account for? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class LogState(NamedTuple):
    """One partition of the events topic, as the broker and the ledger have it."""

    partition: int
    begin: int
    end: int
    committed: int | None
    read_to: int | None
    """Offset up to which (exclusive) the ledger says the log was read; None: no row for this log."""

    @property
    def left(self) -> int:
        """Offsets behind the commit: not known to be stored, and no difference."""
        return max(0, self.end - max(self.committed or 0, self.begin))

    @property
    def problem(self) -> str | None:
        """What cannot be, in words; None where broker and ledger agree."""
        if self.committed is not None and self.committed > self.end:
            return "the commit is past the end: it belongs to an earlier topic of this name"
        if self.read_to is not None and self.read_to > self.end:
            return "the ledger has read past the end"
        if (self.committed or 0) > max(self.read_to or 0, self.begin):
            return "committed, and not in the ledger: these offsets are not accounted for"
        return None


def log_states(
    bounds: Mapping[int, tuple[int, int]], committed: Mapping[int, int], read_to: Mapping[int, int]
) -> list[LogState]:
    """The state of every partition, in order."""
    return [
        LogState(partition, begin, end, committed.get(partition), read_to.get(partition))
        for partition, (begin, end) in sorted(bounds.items())
    ]


def problems(states: Sequence[LogState]) -> list[LogState]:
    """The partitions where broker and ledger do not agree."""
    return [state for state in states if state.problem is not None]
