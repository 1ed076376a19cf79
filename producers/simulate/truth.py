"""What was really sent, counted beside the generator: to hold what a pipeline says against.

Counts go by event time, in minutes, and by series. Calls marked `test` are counted apart, as the
pipeline does. Tokens are those that events report; services that report none have none here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tokentide.producers.simulate.calls import Event
from tokentide.producers.simulate.generate import SimulatedItem
from tokentide.schemas.rejects import RejectReason

MINUTE_US: Final = 60_000_000
SUMS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens")

Series = tuple[str, str, str, str, str]
"""service, provider, model, prompt_name, variant; "" where absent."""


@dataclass(slots=True)
class Counts:
    """The sums of one minute of one series."""

    calls: int = 0
    errors: int = 0
    cancelled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    multi_turn_calls: int = 0
    context_hits: int = 0

    def add(self, event: Event) -> None:
        """Count one event."""
        self.calls += 1
        self.errors += event["status"] == "error"
        self.cancelled += event["status"] == "cancelled"
        for name in SUMS:
            value = event.get(name, 0)
            setattr(self, name, getattr(self, name) + (value if isinstance(value, int) else 0))
        context = event.get("context")
        if isinstance(context, dict):
            self.multi_turn_calls += 1
            self.context_hits += context["hit"] is True


@dataclass(slots=True)
class Truth:
    """All counts of a simulation."""

    events: int = 0
    """Calls, tests included; one that is sent in parts counts with its answer."""
    tests: int = 0
    unanswered: int = 0
    """Requests without an answer: calls that the pipeline makes up when their time is over. They are in no other number."""
    evaluations: int = 0
    rejects: Counter[RejectReason] = field(default_factory=Counter)
    windows: dict[tuple[int, Series], Counts] = field(default_factory=dict)
    """(start of the minute in microseconds since 1970 UTC, series) → sums, without tests."""

    def count(self, simulated: SimulatedItem) -> None:
        """Count what was sent."""
        if simulated.refused_as is not None or isinstance(simulated.item, bytes):
            self.rejects[simulated.refused_as or RejectReason.NOT_JSON] += 1
            return
        kind = simulated.item.get("event_type")
        if kind == "evaluation":
            self.evaluations += 1
            return
        if kind == "request":
            self.unanswered += 1
            return
        self.unanswered -= kind is not None  # an answer
        self._count_call(simulated.call or simulated.item, simulated.finish_us)

    def _count_call(self, call: Event, finish_us: int) -> None:
        self.events += 1
        if call.get("test"):
            self.tests += 1
            return
        key = (finish_us // MINUTE_US * MINUTE_US, series_of(call))
        counts = self.windows.get(key)
        if counts is None:
            counts = self.windows[key] = Counts()
        counts.add(call)

    def total(self) -> Counts:
        """The sums over all windows."""
        total = Counts()
        for counts in self.windows.values():
            for name in Counts.__slots__:
                setattr(total, name, getattr(total, name) + getattr(counts, name))
        return total

    def as_json(self) -> dict[str, object]:
        """For a file: windows as a list, in order."""
        windows = [
            {
                "minute_us": minute_us,
                **dict(zip(("service", "provider", "model", "prompt_name", "variant"), series, strict=True)),
                **{name: getattr(counts, name) for name in Counts.__slots__},
            }
            for (minute_us, series), counts in sorted(self.windows.items())
        ]
        rejects = {reason.value: count for reason, count in sorted(self.rejects.items())}
        return {
            "events": self.events,
            "tests": self.tests,
            "unanswered": self.unanswered,
            "evaluations": self.evaluations,
            "rejects": rejects,
            "windows": windows,
        }


def series_of(event: Event) -> Series:
    """The series of an event by the default dimensions (the environment aside, which is one)."""
    model = event.get("response_model", event.get("request_model", ""))
    return (
        str(event["service"]),
        str(event.get("provider", "")),
        str(model),
        str(event.get("prompt_name", "")),
        str(event.get("variant", "")),
    )
