"""Notices that there is more to read and nothing is read: a consumer can hang for ever after a broker's restart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Place = TypeVar("_Place", bound=Hashable)


@dataclass(slots=True)
class StallWatch(Generic[_Place]):
    """How long each partition has been behind without moving. The clock is the caller's."""

    limit_s: float
    _since: dict[_Place, tuple[int, float]] = field(default_factory=dict)

    def stalled(
        self, now_s: float, positions: Mapping[_Place, int], ends: Mapping[_Place, int]
    ) -> tuple[_Place, int] | None:
        """Return a partition that stands still behind its end for longer than the limit, and how far behind; or None.

        Args:
            now_s: seconds, never running backwards.
            positions: what has been taken of each assigned partition.
            ends: the ends of the partitions, as far as they are known.
        """
        since = {}
        for place, position in positions.items():
            if ends.get(place, 0) <= position:
                continue
            before = self._since.get(place)
            since[place] = before if before is not None and before[0] == position else (position, now_s)
        self._since = since
        for place, (position, first_s) in since.items():
            if now_s - first_s > self.limit_s:
                return place, ends[place] - position
        return None
