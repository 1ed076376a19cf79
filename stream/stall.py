"""Tells waiting and working from hanging. Pure: the caller brings the clocks, and what there is to see.

Time is counted fairly: a look counts for a second at the most, however long the process was frozen or got none of the
processor before it. What a thread is computing is measured by its own CPU seconds. So a worker that is slow, whatever its
share of a core, is not taken for one that hangs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, NamedTuple

LOOK_COUNTS_S: Final = 1.0
"""The most that the time between two looks counts."""

BLOCKED_CPU_S: Final = 0.001
"""A thread that has work and used less while the limit passed fairly, in which the watch has looked dozens of times, is
blocked: one that only gets little of the processor gets as much of it as the watch."""


class Work(NamedTuple):
    """Something that ought to get on."""

    mark: Hashable
    """Whatever gets on changes it."""
    told: str
    """What it is, and how far behind, for the log."""
    cpu_s: float | None = None
    """For what a thread is computing: what it has used of the processor since it began."""
    turns: int | None = None
    """For what waits its turn: how many turns others have had since the start of the process."""
    patience_turns: int = 0
    """So many turns of others are no sign of anything."""
    asks_kafka: bool = False
    """It waits for Kafka, which may be away: then it is waited for."""


class Stalled(NamedTuple):
    """Something that has not got on for longer than the limit."""

    name: Hashable
    work: Work
    fair_s: float
    """For how long, counted fairly."""
    cpu_s: float | None
    """And how much of the processor it has used meanwhile."""


class _Since(NamedTuple):
    mark: Hashable
    fair_s: float
    cpu_s: float
    turns: int


class StallWatch:
    """How long each work has not got on."""

    def __init__(self, limit_s: float) -> None:
        """Begin; the limit is in fair seconds for what is waited for, and in CPU seconds for what is computed."""
        self.limit_s = limit_s
        self._now_s: float | None = None
        self._fair_s = 0.0
        self._since: dict[Hashable, _Since] = {}

    def look(self, now_s: float, works: Mapping[Hashable, Work]) -> Sequence[Stalled]:
        """Return what hangs.

        Args:
            now_s: seconds, never running backwards.
            works: all that ought to get on now. What is left out begins anew when it comes again.
        """
        if self._now_s is not None:
            self._fair_s += min(now_s - self._now_s, LOOK_COUNTS_S)
        self._now_s = now_s
        self._since = {name: self._begun(name, work) for name, work in works.items()}
        return [found for name, work in works.items() if (found := self._stalled(name, work)) is not None]

    def excuse(self, name: Hashable) -> None:
        """Give it another limit: it waits for something outside."""
        self._since.pop(name, None)

    def _begun(self, name: Hashable, work: Work) -> _Since:
        before = self._since.get(name)
        if before is not None and before.mark == work.mark:
            return before
        return _Since(work.mark, self._fair_s, work.cpu_s or 0.0, work.turns or 0)

    def _stalled(self, name: Hashable, work: Work) -> Stalled | None:
        since = self._since[name]
        fair_s = self._fair_s - since.fair_s
        if work.cpu_s is None:
            turns = 0 if work.turns is None else work.turns - since.turns
            hangs = fair_s > self.limit_s and turns >= work.patience_turns
            return Stalled(name, work, fair_s, None) if hangs else None
        used_s = work.cpu_s - since.cpu_s
        hangs = used_s > self.limit_s or (fair_s > self.limit_s and used_s < BLOCKED_CPU_S)
        return Stalled(name, work, fair_s, used_s) if hangs else None
