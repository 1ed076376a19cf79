"""Notices that the group has committed past a log's end: the commit is of another log, or the log has lost its end."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

_Place = TypeVar("_Place", bound=Hashable)

PATIENCE_S: Final = 10.0
"""A broker that has just become a partition's leader may for a moment not know how far it is acknowledged."""


@dataclass(slots=True)
class ForeignCommitWatch(Generic[_Place]):
    """How long each partition's commit has been past its end. The clock is the caller's."""

    patience_s: float = PATIENCE_S
    _since: dict[_Place, float] = field(default_factory=dict)

    def foreign(
        self, now_s: float, commits: Mapping[_Place, int], ends: Mapping[_Place, int | None]
    ) -> list[_Place]:
        """Return the partitions whose commit is no position of their log.

        Args:
            now_s: seconds, never running backwards.
            commits: what the group had committed of each partition that is not read up to there.
            ends: the ends of the partitions; None: not known yet.
        """
        self._since = {
            place: self._since.get(place, now_s)
            for place, commit in commits.items()
            if (end := ends.get(place)) is not None and end < commit
        }
        return [place for place, first_s in self._since.items() if now_s - first_s >= self.patience_s]
