"""Incidents as messages of the topic `llm.anomalies`, and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from tokentide.schemas.anomaly import Anomaly
from tokentide.stream.detect.incident import Incident, SeriesKey, anomaly_id
from tokentide.stream.detect.rules import Reading, Rule

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


def message(
    rule: Rule,
    series: SeriesKey,
    incident: Incident,
    *,
    revision: int,
    examples: Sequence[str] = (),
    is_withdrawn: bool = False,
) -> Anomaly:
    """The message of a state. A withdrawn incident, which later data does not bear out, ends when it began."""
    worst = incident.worst
    resolved = incident.started if is_withdrawn else incident.resolved
    return Anomaly(
        anomaly_id=anomaly_id(rule, series, incident.started),
        revision=revision,
        state="open" if resolved is None else "resolved",
        rule=rule.id,
        metric=rule.metric,
        unit=rule.unit,
        severity=incident.severity,
        series=dict(zip(rule.group_by, series, strict=True)),
        started_at=_time(incident.started),
        updated_at=_time(incident.updated),
        resolved_at=None if resolved is None else _time(resolved),
        window_start=_time(incident.worst_end - rule.window_minutes),
        window_seconds=60 * rule.window_minutes,
        value=_text(worst.value),
        limit=_text(worst.limit),
        baseline=None if worst.baseline is None else _text(worst.baseline),
        samples=worst.samples,
        example_event_ids=list(examples),
        summary=_summary(rule, series, incident, is_withdrawn=is_withdrawn),
    )


def series_of(rule: Rule, anomaly: Anomaly) -> SeriesKey | None:
    """The series of a message of this rule; None: the rule grouped otherwise when it was written."""
    if anomaly.series.keys() != set(rule.group_by):
        return None
    return tuple(anomaly.series[name] for name in rule.group_by)


def incident_of(anomaly: Anomaly) -> Incident:
    """The incident that a message states."""
    baseline = None if anomaly.baseline is None else Decimal(anomaly.baseline)
    updated = _minute(anomaly.updated_at)
    return Incident(
        started=_minute(anomaly.started_at),
        severity=anomaly.severity,
        worst=Reading(Decimal(anomaly.value), Decimal(anomaly.limit), baseline, anomaly.samples),
        worst_end=_minute(anomaly.window_start) + anomaly.window_seconds // 60,
        updated=updated,
        judged=updated,
        resolved=None if anomaly.resolved_at is None else _minute(anomaly.resolved_at),
    )


def is_withdrawn(anomaly: Anomaly) -> bool:
    """Whether later data did not bear the incident out: nothing else lasts no time at all."""
    return anomaly.resolved_at == anomaly.started_at


def _summary(rule: Rule, series: SeriesKey, incident: Incident, *, is_withdrawn: bool) -> str:
    what = f"{rule.describe(incident.worst)}: {_name(series)}"
    if is_withdrawn:
        return f"withdrawn, later data does not bear it out: {what}"
    if incident.resolved is None:
        return what
    return f"resolved after {incident.resolved - incident.started} min, at worst {what}"


def _name(series: SeriesKey) -> str:
    """Such as `checkout / openai / gpt-4o`; the environment stands behind, unless it is the default one or unknown."""
    environment, *names = series
    return " / ".join(filter(None, names)) + ("" if environment in ("", "default") else f" ({environment})")


def _time(minute: int) -> str:
    return datetime.fromtimestamp(60 * minute, UTC).strftime(_TIME)


def _minute(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp()) // 60


def _text(value: Decimal) -> str:
    """Decimal text without an exponent and without zeros at the end."""
    return f"{value.normalize():f}"
