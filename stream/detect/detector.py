"""Detection over one partition of the windows topic: partials in, incidents out.

What `judged` says is a pure function of the partials taken, whatever their order and batching, as long as none comes for
a minute that was given up (see `room.Limits`). All clocks are event time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from tokentide.stream.detect.groups import Group, Grouping, Judged, Service, ServiceKey, groupings
from tokentide.stream.detect.history import BLOCK_MINUTES
from tokentide.stream.detect.identities import MINUTE_BITS, Change, Identities
from tokentide.stream.detect.incident import Incident, SeriesKey
from tokentide.stream.detect.measures import CALLS, Values
from tokentide.stream.detect.room import Limits, block_begin, floors
from tokentide.stream.detect.rows import PartialRows, partial_rows
from tokentide.stream.detect.rules import DEFAULT_RULES, Rule

_JUDGED_AGAIN_MINUTES: Final = 2 * BLOCK_MINUTES
"""What an earlier owner had judged is judged again so far back: its newest minutes may have been incomplete."""

_NEVER: Final = np.iinfo(np.int64).max


class Detector:
    """The state of one partition of the windows topic."""

    def __init__(
        self, rules: Iterable[Rule] = DEFAULT_RULES, *, is_complete: bool = True, limits: Limits | None = None
    ) -> None:
        """Begin a partition.

        Args:
            rules: what to look for.
            is_complete: whether the log is read from its very beginning. If not, nothing is judged until `begin`.
            limits: of memory.
        """
        self._limits = self._tolerated = limits or Limits()
        self._identities = Identities()
        self._groupings = groupings(rules)
        self._grouping_of = {rule.id: grouping for grouping in self._groupings for rule in grouping.rules}
        self._services: dict[ServiceKey, Service] = {}
        self._revised: dict[Group, None] = {}
        self._open: dict[Group, None] = {}
        self._advanced: set[Service] = set()
        self._open_before: dict[tuple[str, SeriesKey], Incident] = {}
        self._kept: list[Judged] = []
        self._is_judging = is_complete
        self._has_said = False
        self.late_partials = 0
        """Partials that came for a minute that had been given up."""

    def __len__(self) -> int:
        return len(self._identities)

    @property
    def group_count(self) -> int:
        """Series held, of all groupings."""
        return len(self._groups())

    def continue_with(self, open_before: Mapping[tuple[str, SeriesKey], Incident]) -> None:
        """Incidents known to be open, by rule id and series: those that began before the log does are taken over."""
        self._open_before = dict(open_before)

    def begin(self) -> None:
        """All partials up to here were judged by an earlier owner, and the log's beginning is gone: judge from here on."""
        if self._is_judging:
            return
        self._is_judging = True
        for service in self._services.values():
            begin = block_begin(service.newest - _JUDGED_AGAIN_MINUTES)
            service.frozen_before = max(service.frozen_before, begin)
        self._freeze()

    def take(self, tables: Sequence[pa.Table]) -> None:
        """Take decoded records (`PartialDecoder`), in the order of the topic."""
        if not tables:
            return
        rows = self._in_time(partial_rows(tables))
        if rows.row_count:
            self._apply(self._identities.take(rows))
        if self._tolerated.are_exceeded(self._identities, [grouping.groups for grouping in self._groupings]):
            self._make_room()

    def judged(self) -> list[Judged]:
        """What may have changed since the last call. Not before the log has been read to its end, lest old news be told."""
        if not self._is_judging:
            return []
        found = [*self._kept, *self._judge()]
        self._has_said = True
        self._kept = []
        return found

    def tell_again(self) -> None:
        """Let the next `judged` have everything."""
        for group in self._groups():
            group.tell_again()
            self._revised[group] = None

    def _groups(self) -> list[Group]:
        return [group for grouping in self._groupings for group in grouping.groups]

    def _in_time(self, rows: PartialRows) -> PartialRows:
        """Without partials for minutes that were given up."""
        services = (self._services.get(name[:2]) for name in rows.series_names)
        frozen = np.array([0 if found is None else found.frozen_before for found in services], np.int64)
        in_time = rows.minute >= frozen[rows.series]
        if in_time.all():
            return rows
        self.late_partials += int(np.count_nonzero(~in_time))
        return rows.only(in_time)

    def _apply(self, change: Change) -> None:
        change = change.without_nothing()
        names = self._identities.series_names
        taken_back: set[Service] = set()
        for grouping in self._groupings:
            grouping.assign(names, self._services)
            for group, minute, values in _summed(change, grouping):
                group.add(minute, values)
                self._revised[group] = None
                self._set_clock(group.service, minute)
                if values[CALLS] < 0:
                    taken_back.add(group.service)
        for service in taken_back:
            # Another fold came in force, which may have no calls in the newest minutes.
            service.newest = max(
                (group.history.newest_minute for group in self._groups() if group.service is service),
                default=-1,
            )

    def _set_clock(self, service: Service, minute: int) -> None:
        service.first = minute if service.first is None else min(service.first, minute)
        if minute > service.newest:
            service.newest = minute
            self._advanced.add(service)

    def _judge(self) -> Iterator[Judged]:
        self._take_over()
        if not self._has_said:
            # While old records are read again, little of what was judged to make room was meant to be told.
            self.tell_again()
        waiting = [group for group in self._open if group.service in self._advanced]
        groups = {**self._revised, **dict.fromkeys(waiting)}
        self._revised, self._advanced = {}, set()
        for group in groups:
            yield from group.judge()
            if group.has_open:
                self._open[group] = None
            else:
                self._open.pop(group, None)

    def _take_over(self) -> None:
        """Go on with incidents that were open before, once their service has spoken and its clock is known."""
        for key, incident in list(self._open_before.items()):
            rule_id, series = key
            service = self._services.get(series[:2])
            grouping = self._grouping_of.get(rule_id)
            if service is None or grouping is None:
                continue
            del self._open_before[key]
            group = grouping.group(series, self._services)
            self._revised[group] = None
            if incident.started < service.judged_since:
                group.take_over(rule_id, incident)

    def _make_room(self) -> None:
        of_grouping = [grouping.groups for grouping in self._groupings]
        found = floors(self._services, self._identities, of_grouping, self._limits)
        if self._is_judging:
            for judged in self._judge():
                final_before = None if self._has_said else found[judged.series[:2]]
                self._kept.append(judged._replace(final_before=final_before))
        for key, service in self._services.items():
            service.frozen_before = found[key]
        self._freeze()
        # If all of it is needed, trying again at once would not help.
        groups = max(len(grouping.groups) for grouping in self._groupings)
        self._tolerated = Limits(
            rows=max(self._limits.rows, len(self._identities) * 5 // 4),
            groups=max(self._limits.groups, groups * 5 // 4),
        )

    def _freeze(self) -> None:
        """Give up what is older than each service's `frozen_before`."""
        for grouping in self._groupings:
            for group in grouping.groups:
                group.freeze()
            grouping.forget_dead(self._limits.groups)
        kept = dict.fromkeys(self._groups())
        self._revised = {group: None for group in self._revised if group in kept}
        self._open = {group: None for group in self._open if group in kept}
        self._services = {group.key[:2]: group.service for group in kept}
        names = self._identities.series_names
        frozen = [
            service.frozen_before if (service := self._services.get(name[:2])) else None for name in names
        ]
        nothing = np.iinfo(np.int64).max
        self._identities.keep(
            np.array([nothing if minute is None else minute for minute in frozen], np.int64)
        )


def _summed(change: Change, grouping: Grouping) -> Iterator[tuple[Group, int, Values]]:
    """The change by group and minute, each once."""
    if not len(change.minute):
        return
    number = np.array(grouping.of_series, np.int64)[change.series]
    keys = (number << MINUTE_BITS) | change.minute
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sums = np.add.reduceat(change.values[order], starts, axis=0)
    groups = grouping.groups
    for key, values in zip(ordered[starts].tolist(), sums.tolist(), strict=True):
        yield groups[key >> MINUTE_BITS], key & ((1 << MINUTE_BITS) - 1), values
