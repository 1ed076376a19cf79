"""What is new to the world: which states of incidents become messages, with which revision, and when.

Time here is the process's own, and decides only when something is said, never what: changes wait until they have come
to rest, so that a trace replayed at full speed, whose partitions arrive one after the other, is told as it ends up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tokentide.schemas.anomaly import Anomaly
from tokentide.stream.detect.groups import Judged
from tokentide.stream.detect.incident import Incident, SeriesKey, anomaly_id
from tokentide.stream.detect.messages import incident_of, is_withdrawn, message, series_of
from tokentide.stream.detect.rules import RANKS, Rule


class Patience(NamedTuple):
    """How long a change waits, in seconds."""

    alarm_s: float = 1.0
    """An incident that opens, opens again or gets more severe, from when it was first seen."""
    rest_s: float = 5.0
    """Anything else, from its last change."""
    most_s: float = 30.0
    """The same, from its first change."""


class _Said(NamedTuple):
    """What the last message of an incident said."""

    revision: int
    incident: Incident | None
    """None: only the revision is known."""
    is_withdrawn: bool = False
    examples: tuple[str, ...] = ()


class _Waiting(NamedTuple):
    """A state that has not been said."""

    rule: Rule
    series: SeriesKey
    incident: Incident
    is_gone: bool
    first_at: float
    changed_at: float


class Announcements:
    """All that was said of incidents, and what waits to be said."""

    def __init__(self, rules: Iterable[Rule], patience: Patience | None = None) -> None:
        self._rules = {rule.id: rule for rule in rules}
        self._patience = patience or Patience()
        self._said: dict[str, _Said] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._of_series: dict[tuple[str, SeriesKey], dict[str, Incident]] = {}
        """Incidents said or waiting, by rule id and series; those that nothing can judge again are left out."""

    def heard(self, anomaly: Anomaly) -> None:
        """A message that was sent before, by this worker or another."""
        known = self._said.get(anomaly.anomaly_id)
        if known is not None and known.revision >= anomaly.revision:
            return
        rule = self._rules.get(anomaly.rule)
        series = None if rule is None else series_of(rule, anomaly)
        if rule is None or series is None:
            self._said[anomaly.anomaly_id] = _Said(anomaly.revision, None)
            return
        incident = _bare(incident_of(anomaly))
        examples = tuple(anomaly.example_event_ids)
        self._said[anomaly.anomaly_id] = _Said(anomaly.revision, incident, is_withdrawn(anomaly), examples)
        self._of_series.setdefault((rule.id, series), {})[anomaly.anomaly_id] = incident

    def heard_of(self, anomaly_id: str, revision: int) -> None:
        """A revision was used before; what it said is not known."""
        known = self._said.get(anomaly_id)
        if known is None or known.revision < revision:
            self._said[anomaly_id] = _Said(revision, None)

    def open_incidents(self) -> dict[tuple[str, SeriesKey], Incident]:
        """Incidents that are open as far as the world knows, by rule id and series; of several the newest."""
        found: dict[tuple[str, SeriesKey], Incident] = {}
        for key, incidents in self._of_series.items():
            still_open = [incident for incident in incidents.values() if incident.is_open]
            if still_open:
                found[key] = max(still_open, key=lambda incident: incident.started)
        return found

    def consider(self, judged: Judged, now_s: float) -> None:
        """Note what differs from what was said."""
        key = judged.rule.id, judged.series
        known = self._of_series.get(key)
        if known is None and not judged.incidents:
            return
        known = self._of_series.setdefault(key, {})
        current: set[str] = set()
        for incident in judged.incidents:
            name = anomaly_id(judged.rule, judged.series, incident.started)
            current.add(name)
            if _is_settled(judged, incident):
                known[name] = _bare(incident)
                self._wait(name, judged, _bare(incident), is_gone=False, now_s=now_s)
        if judged.is_whole and judged.final_before is None:
            self._miss(judged, known, current, now_s)

    def _miss(self, judged: Judged, known: dict[str, Incident], current: set[str], now_s: float) -> None:
        """Withdraw what is not there any more."""
        for name in [name for name in known if name not in current]:
            if known[name].started < judged.since:
                del known[name]  # out of reach: as it was said, so it stays
            elif name in self._said:
                self._wait(name, judged, known[name], is_gone=True, now_s=now_s)
            else:
                del known[name]
                self._waiting.pop(name, None)

    def _wait(self, name: str, judged: Judged, incident: Incident, *, is_gone: bool, now_s: float) -> None:
        said, waiting = self._said.get(name), self._waiting.get(name)
        if said is not None and said.is_withdrawn == is_gone and (is_gone or said.incident == incident):
            self._waiting.pop(name, None)
        elif waiting is None:
            self._waiting[name] = _Waiting(judged.rule, judged.series, incident, is_gone, now_s, now_s)
        elif waiting.incident != incident or waiting.is_gone != is_gone:
            self._waiting[name] = waiting._replace(incident=incident, is_gone=is_gone, changed_at=now_s)

    def forget_waiting(self) -> None:
        """Say nothing of what was considered so far: some of it is another worker's now."""
        self._waiting.clear()

    def due(self, now_s: float, *, everything: bool = False) -> list[Anomaly]:
        """Take the messages that are to be sent now, the earliest incident first; they count as said."""
        ready = [
            name
            for name, waiting in self._waiting.items()
            if everything or self._is_due(name, waiting, now_s)
        ]
        found = [self._say(name) for name in ready]
        return sorted(found, key=lambda anomaly: (anomaly.started_at, anomaly.anomaly_id))

    def _is_due(self, name: str, waiting: _Waiting, now_s: float) -> bool:
        patience = self._patience
        waited_s = now_s - waiting.first_at
        if _is_alarm(waiting, self._said.get(name)):
            return waited_s >= patience.alarm_s
        return waited_s >= patience.most_s or now_s - waiting.changed_at >= patience.rest_s

    def _say(self, name: str) -> Anomaly:
        waiting, said = self._waiting.pop(name), self._said.get(name) or _Said(0, None)
        said = said._replace(
            revision=said.revision + 1, incident=waiting.incident, is_withdrawn=waiting.is_gone
        )
        self._said[name] = said
        return _message(waiting.rule, waiting.series, said)

    def give_examples(self, anomaly: Anomaly, event_ids: Iterable[str]) -> Anomaly | None:
        """The next message of an incident, with events that show it; None if it is not worth one any more."""
        rule, said = self._rules[anomaly.rule], self._said[anomaly.anomaly_id]
        series = series_of(rule, anomaly)
        examples = tuple(event_ids)
        if said.is_withdrawn or said.incident is None or series is None or examples == said.examples:
            return None
        said = said._replace(revision=said.revision + 1, examples=examples)
        self._said[anomaly.anomaly_id] = said
        return _message(rule, series, said)


def _is_settled(judged: Judged, incident: Incident) -> bool:
    """Whether the incident may be spoken of: while old records are read again, only what was long over."""
    if judged.final_before is None:
        return True
    return (
        incident.resolved is not None
        and incident.resolved + judged.rule.cooldown_minutes < judged.final_before
    )


def _is_alarm(waiting: _Waiting, said: _Said | None) -> bool:
    if waiting.is_gone or not waiting.incident.is_open:
        return False
    if said is None or said.incident is None or said.is_withdrawn or not said.incident.is_open:
        return True
    return RANKS[waiting.incident.severity] > RANKS[said.incident.severity]


def _bare(incident: Incident) -> Incident:
    """Without what moves on with every judged minute and is no news."""
    return incident._replace(judged=0)


def _message(rule: Rule, series: SeriesKey, said: _Said) -> Anomaly:
    assert said.incident is not None
    return message(
        rule,
        series,
        said.incident,
        revision=said.revision,
        examples=said.examples,
        is_withdrawn=said.is_withdrawn,
    )
