"""Rules as data, and how each judges the span that ends with a minute.

A rule is a frozen dataclass: what a file of rules will hold one day are its fields. `judge` is pure: it looks at
nothing but the history of the series before the end of the span.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Final, Literal, NamedTuple

from tokentide.schemas.aggregates import DIMENSIONS
from tokentide.schemas.anomaly import Severity
from tokentide.stream.detect.history import BLOCK_MINUTES, History, Past
from tokentide.stream.detect.measures import (
    CALLS,
    CANCELLED,
    CONTEXT_HITS,
    CONTEXT_REPORTED,
    ERRORS,
    PICOUSD_PER_USD,
    usd,
)
from tokentide.stream.detect.statistics import (
    MAD_TO_SIGMA,
    Z_95,
    Z_99,
    median,
    median_absolute_deviation,
    wilson_bound,
)

Standing = Literal["unknown", "fine", "unclear", "over"]
"""`unknown`: too little to judge by. `fine`: under the recovery limit. `unclear`: neither fine nor over the limit."""

Examples = Literal["failed", "dearest", "without_context"]
"""Which calls show an incident best."""

RANKS: Final[dict[Severity, int]] = {"warning": 1, "critical": 2}

SERVICE_DIMENSIONS: Final = ("environment", "service")
"""All partials of these two are in one partition of the windows topic, so no rule can group more coarsely."""

_RATIO_DIGITS: Final = Decimal("0.000001")


class Reading(NamedTuple):
    """What a rule measured over its limit."""

    value: Decimal
    limit: Decimal
    baseline: Decimal | None
    samples: int
    """Calls that the value rests on."""


class Finding(NamedTuple):
    """How a series stands at the end of a span; severity and reading are there when it is `over`."""

    standing: Standing
    severity: Severity | None = None
    reading: Reading | None = None


UNKNOWN: Final = Finding("unknown")
FINE: Final = Finding("fine")
UNCLEAR: Final = Finding("unclear")


class Level(NamedTuple):
    """A severity and the limit from which it is."""

    severity: Severity
    limit: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(ABC):
    """What every rule has. Spans are of event time; a minute is judged while it still fills."""

    looks_back: ClassVar[bool] = False
    """Whether it uses a baseline."""

    id: str
    """Part of the ids of its incidents."""
    metric: str
    unit: str
    group_by: tuple[str, ...] = SERVICE_DIMENSIONS
    """The dimensions of its series; environment and service first."""
    window_minutes: int = BLOCK_MINUTES
    min_samples: int
    """Calls in a span below which it is not judged."""
    silence_minutes: int = 15
    """An incident ends when it could not be judged for so long."""
    cooldown_minutes: int = 10
    """Over the limit again so soon after its end, an incident is opened again instead of a second one."""
    examples: Examples

    def __post_init__(self) -> None:
        """Refuse what could not work.

        Raises:
            ValueError: the message names the rule and the field.
        """
        if self.group_by[:2] != SERVICE_DIMENSIONS:
            raise ValueError(f"rule {self.id}: group_by must begin with {', '.join(SERVICE_DIMENSIONS)}")
        if unknown := set(self.group_by) - set(DIMENSIONS):
            raise ValueError(f"rule {self.id}: group_by has no dimension {min(unknown)}")
        for name in ("window_minutes", "min_samples", "silence_minutes"):
            if getattr(self, name) < 1:
                raise ValueError(f"rule {self.id}: {name} must be 1 or more")

    @abstractmethod
    def judge(self, history: History, end: int) -> Finding:
        """How the span stands that ends with the minute `end` (exclusive)."""

    @abstractmethod
    def badness(self, reading: Reading) -> float:
        """Orders readings of one severity: the worst one stands for the incident."""

    @abstractmethod
    def describe(self, reading: Reading) -> str:
        """Value, samples and limit for a human, without the series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRate(Rule):
    """Errors / (calls − cancelled). Over a limit when the Wilson lower bound (95 %) is: five of six calls prove little."""

    id: str = "error_rate"
    metric: str = "error_rate"
    unit: str = "ratio"
    group_by: tuple[str, ...] = (*SERVICE_DIMENSIONS, "provider", "model")
    min_samples: int = 20
    examples: Examples = "failed"
    levels: tuple[Level, ...] = (
        Level("critical", Decimal("0.10")),
        Level("warning", Decimal("0.05")),
    )
    """The most severe first."""
    recovered_below: Decimal = Decimal("0.04")

    def judge(self, history: History, end: int) -> Finding:
        """See `Rule`."""
        span = history.span(end, self.window_minutes)
        answered = history.total(CALLS, span) - history.total(CANCELLED, span)
        if answered < self.min_samples:
            return UNKNOWN
        errors = history.total(ERRORS, span)
        if errors < self.recovered_below * answered:
            return FINE
        bound = wilson_bound(errors, answered, z=Z_95, side="lower")
        for severity, limit in self.levels:
            if bound > limit:
                return Finding("over", severity, Reading(_ratio(errors, answered), limit, None, answered))
        return UNCLEAR

    def badness(self, reading: Reading) -> float:
        """The lower bound, so that a full span counts more than its first twenty calls."""
        return wilson_bound(_hits(reading), reading.samples, z=Z_95, side="lower")

    def describe(self, reading: Reading) -> str:
        """Such as `error rate 34.2 % (137 of 401 calls) over 5 min, limit 10 %`."""
        return (
            f"error rate {_percent(reading.value)} ({_hits(reading):,} of {reading.samples:,} calls)"
            f" over {self.window_minutes} min, limit {_limit_percent(reading.limit)}"
        )


class _TypicalCost(NamedTuple):
    picousd: int
    deviation_picousd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSpike(Rule):
    """Cost of a span against the series' own past: median and MAD of the spans of the hours before it.

    Over the limit when it is `ratio` times the median, above the floor, on enough calls, and `min_z` robust standard
    deviations away (B. Iglewicz and D. Hoaglin, 1993: 3.5). What drove the cost (calls, prompts, answers, model mix, prices,
    caching, retries) is to be split off the same two spans; that needs their measures, not more rules.
    """

    looks_back: ClassVar[bool] = True

    id: str = "cost_spike"
    metric: str = "cost_usd"
    unit: str = "USD"
    min_samples: int = 10
    examples: Examples = "dearest"
    ratio: Decimal = Decimal(3)
    floor_usd: Decimal = Decimal(1)
    min_z: float = 3.5
    baseline_spans: int = 12
    """Spans with calls that the past must have: an hour of traffic."""
    recovered_share: Decimal = Decimal("0.67")
    """The recovery limit as a share of the limit: twice the median."""

    def judge(self, history: History, end: int) -> Finding:
        """See `Rule`."""
        span = history.span(end, self.window_minutes)
        cost = history.cost_picousd(span)
        floor = int(self.floor_usd * PICOUSD_PER_USD)
        if cost < self.recovered_share * floor:
            return FINE
        typical = history.baseline(self.id, end - self.window_minutes, self._typical)
        if typical is None:
            return UNKNOWN
        limit = max(int(self.ratio * typical.picousd), floor)
        if cost < self.recovered_share * limit:
            return FINE
        samples = history.total(CALLS, span)
        if cost < limit or samples < self.min_samples or not self._is_far(cost, typical):
            return UNCLEAR
        return Finding("over", "warning", Reading(usd(cost), usd(limit), usd(typical.picousd), samples))

    def _typical(self, past: Past) -> _TypicalCost | None:
        costs = past.costs_picousd()
        if len(costs) < self.baseline_spans:
            return None
        middle = median(costs)
        return _TypicalCost(middle, median_absolute_deviation(costs, middle))

    def _is_far(self, cost: int, typical: _TypicalCost) -> bool:
        return cost - typical.picousd >= self.min_z * MAD_TO_SIGMA * typical.deviation_picousd

    def badness(self, reading: Reading) -> float:
        """The cost."""
        return float(reading.value)

    def describe(self, reading: Reading) -> str:
        """Such as `cost $12.34 in 5 min, 4.1 times the usual $3.01 (412 calls), limit $9.03`."""
        usual = reading.baseline or Decimal(0)
        times = f"{reading.value / usual:,.1f} times the usual" if usual else "usually"
        return (
            f"cost {_dollars(reading.value)} in {self.window_minutes} min, {times} {_dollars(usual)}"
            f" ({reading.samples:,} calls), limit {_dollars(reading.limit)}"
        )


class _TypicalShare(NamedTuple):
    hits: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextHitRate(Rule):
    """Context hits / multi-turn calls that reported one: under a limit, or well under the series' own past.

    A drop counts when it is `drop` and the Wilson upper bound (99 %) is below the past: of twenty calls, 20 points are chance.
    """

    looks_back: ClassVar[bool] = True

    id: str = "context_hit_rate"
    metric: str = "context_hit_rate"
    unit: str = "ratio"
    min_samples: int = 20
    examples: Examples = "without_context"
    lowest: Decimal = Decimal("0.50")
    recovered_from: Decimal = Decimal("0.55")
    drop: Decimal = Decimal("0.20")
    recovered_drop: Decimal = Decimal("0.10")
    baseline_spans: int = 12
    """Spans that the past must have in which any call reported."""
    baseline_samples: int = 100
    """Reports that it must have."""

    def judge(self, history: History, end: int) -> Finding:
        """See `Rule`."""
        span = history.span(end, self.window_minutes)
        reported = history.total(CONTEXT_REPORTED, span)
        if reported < self.min_samples:
            return UNKNOWN
        hits = history.total(CONTEXT_HITS, span)
        typical = history.baseline(self.id, end - self.window_minutes, self._typical)
        usual = None if typical is None else _ratio(*typical)
        share = _ratio(hits, reported)
        if share < self.lowest:
            return Finding("over", "warning", Reading(share, self.lowest, usual, reported))
        if usual is not None and self._has_dropped(hits, reported, usual):
            return Finding("over", "warning", Reading(share, usual - self.drop, usual, reported))
        is_back = usual is None or share >= usual - self.recovered_drop
        return FINE if share >= self.recovered_from and is_back else UNCLEAR

    def _has_dropped(self, hits: int, reported: int, usual: Decimal) -> bool:
        if _ratio(hits, reported) > usual - self.drop:
            return False
        return wilson_bound(hits, reported, z=Z_99, side="upper") < usual

    def _typical(self, past: Past) -> _TypicalShare | None:
        reported = past.each(CONTEXT_REPORTED)
        samples = sum(reported)
        if samples < self.baseline_samples or sum(map(bool, reported)) < self.baseline_spans:
            return None
        return _TypicalShare(sum(past.each(CONTEXT_HITS)), samples)

    def badness(self, reading: Reading) -> float:
        """How low the upper bound is."""
        return -wilson_bound(_hits(reading), reading.samples, z=Z_99, side="upper")

    def describe(self, reading: Reading) -> str:
        """Such as `context hit rate 41.0 % (82 of 200 multi-turn calls) over 5 min, usually 78.3 %, limit 50 %`."""
        usually = "" if reading.baseline is None else f", usually {_percent(reading.baseline)}"
        return (
            f"context hit rate {_percent(reading.value)} ({_hits(reading):,} of {reading.samples:,} multi-turn calls)"
            f" over {self.window_minutes} min{usually}, limit {_limit_percent(reading.limit)}"
        )


DEFAULT_RULES: Final[tuple[Rule, ...]] = (ErrorRate(), CostSpike(), ContextHitRate())
"""The rules of the worker."""


def _ratio(hits: int, samples: int) -> Decimal:
    return (Decimal(hits) / samples).quantize(_RATIO_DIGITS)


def _hits(reading: Reading) -> int:
    """The count that a ratio came from; exact, since six digits tell samples of a span apart."""
    return round(reading.value * reading.samples)


def _percent(share: Decimal) -> str:
    return f"{share * 100:.1f} %"


def _limit_percent(share: Decimal) -> str:
    return f"{(share * 100).quantize(Decimal('0.1')).normalize():f} %"


def _dollars(amount: Decimal) -> str:
    digits = 2 if amount >= 1 or not amount else min(12, 2 - math.floor(amount.log10()))
    return f"${amount:,.{digits}f}"
