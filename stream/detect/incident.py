"""The life of an incident, one judged minute after the other. Times are numbers of minutes since 1970 UTC."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from tokentide.schemas.anomaly import Severity
from tokentide.stream.detect.rules import RANKS, Finding, Reading, Rule

SeriesKey = tuple[str, ...]
"""Values of a rule's `group_by`, in that order."""


class Incident(NamedTuple):
    """One incident as it stands."""

    started: int
    """The first minute over the limit: the newest of the span that opened it."""
    severity: Severity
    """The highest so far."""
    worst: Reading
    """The worst reading of that severity."""
    worst_end: int
    """End of the span of that reading."""
    updated: int
    """End of the newest span that this state rests on: it opened, got worse, resolved or opened again."""
    judged: int
    """End of the newest span that could be judged."""
    resolved: int | None = None
    """End of the minute that resolved it."""

    @property
    def is_open(self) -> bool:
        """Whether it lasts."""
        return self.resolved is None


class Closed(NamedTuple):
    """Incidents that nothing can open again, the newest first; shared between states, hence a chain."""

    incident: Incident
    before: Closed | None


class State(NamedTuple):
    """A series under a rule, after some minute."""

    current: Incident | None = None
    """The newest incident; resolved ones stay here, since they may be opened again within the cooldown."""
    closed: Closed | None = None

    def incidents(self) -> list[Incident]:
        """All, the earliest first."""
        found = [] if self.current is None else [self.current]
        found.extend(_each(self.closed))
        return found[::-1]


CALM: Final = State()


def _each(closed: Closed | None) -> Iterator[Incident]:
    while closed is not None:
        yield closed.incident
        closed = closed.before


def step(rule: Rule, state: State, end: int, finding: Finding) -> State:
    """The state after judging the span that ends with the minute `end` (exclusive)."""
    if finding.standing == "unknown":
        return after_silence(rule, state, end)
    if state.current is None:  # the usual case
        return _opened(state, end, finding)
    state = after_silence(rule, state, end)
    current = state.current
    assert current is not None
    if not current.is_open:
        return _opened_again(rule, state, current, end, finding)
    if finding.standing == "fine":
        return state._replace(current=current._replace(updated=end, judged=end, resolved=end))
    return state._replace(current=_worsened(rule, current._replace(judged=end), end, finding))


def after_silence(rule: Rule, state: State, end: int) -> State:
    """The state when nothing could be judged from the last judged span to the minute `end`."""
    current = state.current
    if current is None or not current.is_open:
        return state
    at = current.judged + rule.silence_minutes
    return state if end < at else state._replace(current=current._replace(updated=at, resolved=at))


def _opened(state: State, end: int, finding: Finding) -> State:
    if finding.severity is None or finding.reading is None:
        return state
    closed = state.closed if state.current is None else Closed(state.current, state.closed)
    return State(Incident(end - 1, finding.severity, finding.reading, end, end, end), closed)


def _opened_again(rule: Rule, state: State, current: Incident, end: int, finding: Finding) -> State:
    if finding.standing != "over":
        return state
    assert current.resolved is not None
    if end > current.resolved + rule.cooldown_minutes:
        return _opened(state, end, finding)
    reopened = current._replace(updated=end, judged=end, resolved=None)
    return state._replace(current=_worsened(rule, reopened, end, finding))


def _worsened(rule: Rule, current: Incident, end: int, finding: Finding) -> Incident:
    if finding.severity is None or finding.reading is None:
        return current
    rank, before = RANKS[finding.severity], RANKS[current.severity]
    if rank < before:
        return current
    if rank == before and rule.badness(finding.reading) <= rule.badness(current.worst):
        return current
    return current._replace(severity=finding.severity, worst=finding.reading, worst_end=end, updated=end)


def anomaly_id(rule: Rule, series: SeriesKey, started: int) -> str:
    """32 hex digits that follow from rule, series and start, so that a replay yields the id again."""
    content = json.dumps([rule.id, list(zip(rule.group_by, series, strict=True)), started])
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
