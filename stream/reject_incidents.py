"""Too many refused events, as incidents: the messages of `llm.anomalies` that the alarm over them becomes. Pure.

Refused events have no windows: many have no time and no service of their own. So the series of such an incident is the part of
the events topic that one worker reads, and its times are those of processing.

A worker that is gone leaves its incidents open. The owner of the first partition of an incident answers for it: it goes on with
one that is about the same partitions, and ends one whose partitions are read by several workers now.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from types import MappingProxyType
from typing import Final, NamedTuple

from tokentide.schemas.anomaly import Anomaly
from tokentide.stream.reject_alarm import SPAN_S, AlarmKind, Saying

RULES: Final[Mapping[AlarmKind, str]] = MappingProxyType({"share": "rejected_share", "run": "rejected_run"})
"""Names of the rules, by kind of alarm."""
_KINDS: Final = {rule: kind for kind, rule in RULES.items()}

_UNITS: Final[Mapping[AlarmKind, str]] = MappingProxyType({"share": "ratio", "run": "events"})
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_SHARE_STEP: Final = Decimal("0.0001")
_MOST_REASONS: Final = 3
_PARTITION: Final = re.compile("[0-9]{1,10}")
"""As we write it. `²` is a digit to Python and no number, and Python reads no number of thousands of digits."""


class Begun(NamedTuple):
    """What follows from an assignment of partitions."""

    continued: Mapping[AlarmKind, int]
    """Alarms that an earlier owner of the same partitions had raised and not ended, and the events that each rested on."""
    messages: Sequence[Anomaly]
    """Ends of incidents that nobody could end otherwise."""


class RejectIncidents:
    """The incidents of one worker."""

    def __init__(self, topic: str, *, share: float, run: int) -> None:
        """Begin without partitions.

        Args:
            topic: of the events.
            share: the limit of refused events among all.
            run: the limit of refused events in a row.
        """
        self._topic = topic
        self._limits: Mapping[AlarmKind, Decimal] = {"share": Decimal(str(share)), "run": Decimal(run)}
        self._partitions = ""
        self._known: dict[str, Anomaly] = {}
        self._open: dict[AlarmKind, Anomaly] = {}

    def begin(self, heard: Iterable[Anomaly], partitions: Collection[int], now: datetime) -> Begun:
        """Partitions are assigned.

        Args:
            heard: messages of the topic of incidents since the last call, at the first all; others than ours are passed over.
            partitions: all that this worker has now, at least one.
            now: the wall clock.
        """
        for anomaly in sorted(heard, key=lambda heard: heard.revision):
            if anomaly.rule in _KINDS and anomaly.series.get("topic") == self._topic:
                self._learn(anomaly)
        self._partitions = _ranges(partitions)
        self._open = {}
        messages = []
        for anomaly in sorted(self._known.values(), key=lambda known: known.started_at):
            kind = _KINDS[anomaly.rule]
            if anomaly.state != "open" or _first(anomaly) not in partitions:
                continue
            if anomaly.series["partitions"] == self._partitions and kind not in self._open:
                self._open[kind] = anomaly
            else:
                messages.append(self._ended(anomaly, now, "its partitions were assigned anew"))
        return Begun({kind: anomaly.samples for kind, anomaly in self._open.items()}, messages)

    def message(self, saying: Saying, now: datetime) -> Anomaly | None:
        """The message of what the alarm says; None: nothing that is not known."""
        held = self._open.get(saying.kind)
        if saying.is_over:
            self._open.pop(saying.kind, None)
            return None if held is None else self._ended(held, now, None)
        found = self._state(saying, held, now)
        if held is not None and (found.value, found.samples) == (held.value, held.samples):
            return None
        self._open[saying.kind] = found
        self._learn(found)
        return found

    def _state(self, saying: Saying, held: Anomaly | None, now: datetime) -> Anomaly:
        kind = saying.kind
        refused = sum(saying.refused.values())
        value = Decimal(saying.run) if kind == "run" else Decimal(saying.share).quantize(_SHARE_STEP)
        started_at = _text(now) if held is None else held.started_at
        series = {"topic": self._topic, "partitions": self._partitions}
        return Anomaly(
            anomaly_id=_anomaly_id(RULES[kind], series, started_at) if held is None else held.anomaly_id,
            revision=1 if held is None else held.revision + 1,
            state="open",
            rule=RULES[kind],
            metric=RULES[kind],
            unit=_UNITS[kind],
            severity="critical",
            series=series,
            started_at=started_at,
            updated_at=_text(now),
            window_start=_text(now - timedelta(seconds=SPAN_S)),
            window_seconds=SPAN_S,
            value=f"{value.normalize():f}",
            limit=f"{self._limits[kind].normalize():f}",
            samples=saying.run if kind == "run" else saying.accepted + refused,
            summary=self._summary(saying),
        )

    def _summary(self, saying: Saying) -> str:
        refused = sum(saying.refused.values())
        reasons = sorted(saying.refused.items(), key=lambda item: (-item[1], item[0]))[:_MOST_REASONS]
        named = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        where, minutes = f"{self._topic} (partitions {self._partitions})", f"{SPAN_S // 60} min"
        if saying.kind == "share":
            what = (
                f"{saying.share:.1%} of {saying.accepted + refused:,} events of {where} refused in {minutes}"
            )
            return f"{what}: {named}"
        what = f"{saying.run:,} events in a row refused on one partition of {where}"
        return f"{what}; of all refused in {minutes}: {named}" if named else what

    def _ended(self, anomaly: Anomaly, now: datetime, why: str | None) -> Anomaly:
        lasted = datetime.fromisoformat(_text(now)) - datetime.fromisoformat(anomaly.started_at)
        how = f"resolved after {max(0, round(lasted.total_seconds() / 60))} min" + (f", {why}" if why else "")
        found = anomaly.model_copy(
            update={
                "revision": anomaly.revision + 1,
                "state": "resolved",
                "updated_at": _text(now),
                "resolved_at": _text(now),
                "summary": f"{how}: {anomaly.summary}",
            }
        )
        self._learn(found)
        return found

    def _learn(self, anomaly: Anomaly) -> None:
        """Remember the last state of what is open; what is over is of no use."""
        known = self._known.get(anomaly.anomaly_id)
        if known is not None and known.revision > anomaly.revision:
            return
        if anomaly.state == "open":
            self._known[anomaly.anomaly_id] = anomaly
        else:
            self._known.pop(anomaly.anomaly_id, None)


def _anomaly_id(rule: str, series: Mapping[str, str], started_at: str) -> str:
    content = json.dumps([rule, sorted(series.items()), started_at])
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _first(anomaly: Anomaly) -> int | None:
    """The first partition of an incident; None: not as we write them."""
    text = anomaly.series.get("partitions", "").split(",")[0].split("-")[0]
    return int(text) if _PARTITION.fullmatch(text) else None


def _ranges(partitions: Iterable[int]) -> str:
    """Such as `0-2,5`."""
    runs = groupby(enumerate(sorted(partitions)), key=lambda pair: pair[1] - pair[0])
    return ",".join(_range([number for _, number in run]) for _, run in runs)


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_TIME)
