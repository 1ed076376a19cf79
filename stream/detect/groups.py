"""Series as the rules group them, and the services that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tokentide.schemas.aggregates import DIMENSIONS
from tokentide.stream.detect.history import History
from tokentide.stream.detect.incident import Incident, SeriesKey, State
from tokentide.stream.detect.measures import Values
from tokentide.stream.detect.rows import Series
from tokentide.stream.detect.rules import SERVICE_DIMENSIONS, Rule
from tokentide.stream.detect.timeline import Timeline

ServiceKey = tuple[str, ...]
"""Environment and service."""


class Judged(NamedTuple):
    """The incidents of a rule on a series, as they stand."""

    rule: Rule
    series: SeriesKey
    incidents: Sequence[Incident]
    """The earliest first."""
    since: int
    """Incidents that began before this minute were judged on windows that are no longer known."""
    is_whole: bool = True
    """Whether these are all incidents of the series since `since`; else the others are as they were."""
    final_before: int | None = None
    """Only what was over by this minute is said for good; None: everything is."""


class Service:
    """What the series of one environment and service share: the clock and how far back minutes are known."""

    __slots__ = ("first", "frozen_before", "newest")

    def __init__(self) -> None:
        self.newest = -1
        """Newest minute with calls: the event time by which silence is told. It knows no other service, since a
        replayed trace and live traffic would put each other's clocks wrong."""
        self.first: int | None = None
        """First minute known."""
        self.frozen_before = 0
        """Older partials come too late to be counted."""

    @property
    def judged_since(self) -> int:
        """Incidents that began earlier cannot be judged again."""
        return max(self.frozen_before, self.first or 0)


class Group:
    """One series of one grouping: its history and a timeline for each rule."""

    __slots__ = ("_reported", "_revised_from", "_timelines", "history", "key", "service")

    def __init__(self, key: SeriesKey, service: Service, rules: Sequence[Rule]) -> None:
        self.key = key
        self.service = service
        context = max(rule.window_minutes for rule in rules)
        self.history = History(context, keeps_past=any(rule.looks_back for rule in rules))
        self._timelines = [Timeline(rule) for rule in rules]
        self._reported: list[State | None] = [None for _ in rules]
        self._revised_from: int | None = None

    @property
    def has_open(self) -> bool:
        """Whether any incident was open when last judged."""
        return any(
            state is not None and state.current is not None and state.current.is_open
            for state in self._reported
        )

    def is_live(self, since: int) -> bool:
        """Whether anything is known from a minute on, or an incident is open."""
        newest = self.history.newest_minute
        return newest >= since or self.has_open

    @property
    def is_dead(self) -> bool:
        """Whether no minute is left that could change and nothing is open."""
        return not self.is_live(self.service.frozen_before)

    def add(self, minute: int, values: Values) -> None:
        """Add to a minute."""
        self.history.add(minute, values)
        if self._revised_from is None or minute < self._revised_from:
            self._revised_from = minute

    def take_over(self, rule_id: str, incident: Incident) -> None:
        """An incident that was open before anything of this group was known; until then nobody could judge it."""
        since = self.service.judged_since
        for timeline in self._timelines:
            if timeline.rule.id == rule_id:
                timeline.begin_with(incident._replace(judged=max(incident.updated, since)))

    def tell_again(self) -> None:
        """Let the next `judge` yield everything."""
        self._reported = [None for _ in self._timelines]

    def judge(self) -> Iterator[Judged]:
        """Judge what changed; yield what may differ from the last call."""
        if self._revised_from is not None:
            for timeline in self._timelines:
                timeline.revised(self.history, self._revised_from)
            self._revised_from = None
        since = self.service.judged_since
        for number, timeline in enumerate(self._timelines):
            state = timeline.evaluated(self.history, self.service.newest)
            before = self._reported[number]
            if state is before:
                continue
            self._reported[number] = state
            newest = None if before is None else _only_change(before, state)
            if newest is not None:
                yield Judged(timeline.rule, self.key, [newest], since, is_whole=False)
            else:
                yield Judged(timeline.rule, self.key, state.incidents(), since)

    def freeze(self) -> None:
        """Give up the minutes before the service's `frozen_before`; judged ones leave their state behind."""
        before = self.service.frozen_before
        for timeline in self._timelines:
            timeline.freeze_before(self.history, before)
        if self._revised_from is not None:
            self._revised_from = max(self._revised_from, before)
        self.history.freeze_before(before)


def _only_change(before: State, now: State) -> Incident | None:
    """The newest incident, if nothing else changed than its state or that there is one: the usual change."""
    if now.current is None or now.closed is not before.closed:
        return None
    is_same = before.current is None or before.current.started == now.current.started
    return now.current if is_same else None


class Grouping:
    """All groups by one choice of dimensions."""

    def __init__(self, group_by: tuple[str, ...], rules: Iterable[Rule]) -> None:
        self._places = [DIMENSIONS.index(name) for name in group_by]
        self.rules = tuple(rules)
        self._numbers: dict[SeriesKey, int] = {}
        self.groups: list[Group] = []
        self.of_series: list[int] = []
        """Per number of a series, the number of its group."""

    def assign(self, names: Sequence[Series], services: dict[ServiceKey, Service]) -> None:
        """Find or make the groups of the series that came after the last call."""
        for name in names[len(self.of_series) :]:
            key = tuple(name[place] for place in self._places)
            self.of_series.append(self._number(key, services))

    def group(self, key: SeriesKey, services: dict[ServiceKey, Service]) -> Group:
        """Find or make the group of a key."""
        return self.groups[self._number(key, services)]

    def _number(self, key: SeriesKey, services: dict[ServiceKey, Service]) -> int:
        number = self._numbers.setdefault(key, len(self.groups))
        if number == len(self.groups):
            service = services.setdefault(key[: len(SERVICE_DIMENSIONS)], Service())
            self.groups.append(Group(key, service, self.rules))
        return number

    def forget_dead(self, most: int) -> None:
        """Drop groups that have no minutes left, if nothing is open and their past is out of date or they are too many.

        Series are to be assigned anew.
        """
        too_many = len(self.groups) > most
        self.groups = [
            group for group in self.groups if not group.is_dead or not (too_many or group.history.is_empty)
        ]
        self._numbers = {group.key: number for number, group in enumerate(self.groups)}
        self.of_series = []


def groupings(rules: Iterable[Rule]) -> list[Grouping]:
    """One grouping for each choice of dimensions among the rules."""
    by_choice: dict[tuple[str, ...], list[Rule]] = {}
    for rule in rules:
        by_choice.setdefault(rule.group_by, []).append(rule)
    return [Grouping(group_by, chosen) for group_by, chosen in by_choice.items()]
