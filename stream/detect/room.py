"""How far back detection may remember when memory is short. Decided by event time alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from tokentide.stream.detect.groups import Group, Service, ServiceKey
from tokentide.stream.detect.history import BASELINE_MINUTES, BLOCK_MINUTES
from tokentide.stream.detect.identities import MOST_FOLDS, MOST_SERIES, Identities


class Limits(NamedTuple):
    """What bounds memory. Within them nothing is forgotten, so that a replayed trace may come in any order.

    Above them the oldest minutes of each service are given up (baselines keep their sums), then services that have been
    silent for long. A partial that comes for a minute that was given up is not counted.
    """

    rows: int = 250_000
    """Partials held: 80 bytes each, and about as much again for their minutes."""
    groups: int = 20_000
    """Series held of each grouping."""

    def are_exceeded(self, identities: Identities, groups: Sequence[Sequence[Group]]) -> bool:
        """Whether room must be made."""
        return (
            len(identities) > self.rows
            or any(len(of_grouping) > self.groups for of_grouping in groups)
            or 2 * identities.series_count > MOST_SERIES
            or 2 * identities.fold_count > MOST_FOLDS
        )


class _Resort(NamedTuple):
    """One way to make room: minutes kept of each service, and the silence after which a service is dropped."""

    minutes: int
    silent_minutes: int | None = None


_RESORTS: Final = (
    _Resort(BASELINE_MINUTES),
    _Resort(180),
    _Resort(90),
    _Resort(90, 2_880),
    _Resort(45, 1_440),
    _Resort(20, 360),
    _Resort(10, 60),
    _Resort(5, 15),
)
"""From the mildest to the last; the first that frees a quarter is taken."""


def block_begin(minute: int) -> int:
    """The first minute of the block that a minute lies in."""
    return minute // BLOCK_MINUTES * BLOCK_MINUTES


def floors(
    services: Mapping[ServiceKey, Service],
    identities: Identities,
    groups: Sequence[Sequence[Group]],
    limits: Limits,
) -> dict[ServiceKey, int]:
    """Of each service the minute before which all is to be given up; there is a service."""
    found: dict[ServiceKey, int] = {}
    for resort in _RESORTS:
        found = _floors(services, resort)
        rows = identities.count(np.array([found[name[:2]] for name in identities.series_names], np.int64))
        most = max(_live(of_grouping, found) for of_grouping in groups)
        if rows <= limits.rows * 3 // 4 and most <= limits.groups * 3 // 4:
            break
    return found


def _floors(services: Mapping[ServiceKey, Service], resort: _Resort) -> dict[ServiceKey, int]:
    newest = max(service.newest for service in services.values())
    return {
        key: max(service.frozen_before, _floor(service, resort, newest)) for key, service in services.items()
    }


def _floor(service: Service, resort: _Resort, newest: int) -> int:
    if resort.silent_minutes is not None and newest - service.newest > resort.silent_minutes:
        return block_begin(service.newest) + BLOCK_MINUTES
    return block_begin(service.newest - resort.minutes)


def _live(groups: Iterable[Group], found: Mapping[ServiceKey, int]) -> int:
    return sum(1 for group in groups if group.is_live(found[group.key[:2]]))
