"""What is known of one series: its minutes, and for baselines the same in longer spans."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import Final, TypeVar, cast

from tokentide.stream.detect.measures import (
    COST_MICROUSD,
    COST_REST_PICOUSD,
    PICOUSD_PER_MICROUSD,
    Values,
)
from tokentide.stream.detect.sums import SumsByTime

BLOCK_MINUTES: Final = 5
"""Length of the spans of a baseline. They are aligned to the hour, so that each minute counts in one of them."""

BASELINE_MINUTES: Final = 360
"""How far a baseline looks back before the judged span."""

_BASELINE_BLOCKS: Final = BASELINE_MINUTES // BLOCK_MINUTES

_Baseline = TypeVar("_Baseline")

Span = tuple[int, int]
"""Places of a judged span's minutes in a `History`."""


class Past:
    """The blocks of a baseline: whole blocks before the judged span, as far back as a baseline looks."""

    __slots__ = ("_blocks", "_places")

    def __init__(self, blocks: SumsByTime, before_block: int) -> None:
        self._blocks = blocks
        self._places = blocks.between(before_block - _BASELINE_BLOCKS, before_block)

    def each(self, measure: int) -> array[int]:
        """A measure in each block in which the series had any calls."""
        return self._blocks.each(measure, self._places)

    def costs_picousd(self) -> list[int]:
        """The cost of each such block."""
        micro, rest = self.each(COST_MICROUSD), self.each(COST_REST_PICOUSD)
        return [whole * PICOUSD_PER_MICROUSD + left for whole, left in zip(micro, rest, strict=True)]


class History:
    """The sums of one series by minute (numbers of minutes since 1970 UTC).

    Minutes may be frozen: they change no more and are not judged again. The last of them stay as context, since
    spans of later minutes reach into them; what the others add to baselines is kept.
    """

    __slots__ = ("_baselines", "_blocks", "_context_minutes", "_keeps_past", "context", "minutes")

    def __init__(self, context_minutes: int = BLOCK_MINUTES, *, keeps_past: bool = True) -> None:
        self._context_minutes = context_minutes
        self._keeps_past = keeps_past
        self.minutes = SumsByTime()
        self.context = 0
        """How many of the minutes are frozen."""
        self._blocks = SumsByTime()
        self._baselines: dict[str, tuple[int, object]] = {}

    @property
    def newest_minute(self) -> int:
        """The newest minute with calls, frozen or not; -1: there is none."""
        return self.minutes.times[-1] if self.minutes.times else -1

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known."""
        return not len(self.minutes) and not len(self._blocks)

    def add(self, minute: int, values: Values) -> None:
        """Add to a minute; differences may be negative, sums are not."""
        self.minutes.add(minute, values)
        if not self._keeps_past:
            return
        block = minute // BLOCK_MINUTES
        self._blocks.add(block, values)
        for name, (before_block, _) in list(self._baselines.items()):
            if block < before_block:
                del self._baselines[name]

    def place_of(self, minute: int) -> int:
        """How many known minutes are older."""
        return bisect_left(self.minutes.times, minute)

    def span(self, end: int, minutes: int) -> Span:
        """The minutes from `end - minutes` to `end` (exclusive)."""
        return self.minutes.between(end - minutes, end)

    def total(self, measure: int, span: Span) -> int:
        """Sum of a measure over a span."""
        return self.minutes.total(measure, span)

    def cost_picousd(self, span: Span) -> int:
        """The cost of a span."""
        whole = self.minutes.total(COST_MICROUSD, span)
        return whole * PICOUSD_PER_MICROUSD + self.minutes.total(COST_REST_PICOUSD, span)

    def baseline(self, name: str, before: int, compute: Callable[[Past], _Baseline]) -> _Baseline:
        """What `compute` makes of the blocks that end at or before the minute `before`; remembered under `name`."""
        assert self._keeps_past
        before_block = before // BLOCK_MINUTES
        found = self._baselines.get(name)
        if found is None or found[0] != before_block:
            found = before_block, compute(Past(self._blocks, before_block))
            self._baselines[name] = found
        return cast("_Baseline", found[1])

    def freeze_before(self, minute: int) -> None:
        """Freeze the minutes before a block's begin; drop those, and the blocks, that nothing later looks at."""
        self.minutes.forget_before(minute - self._context_minutes)
        self.context = self.place_of(minute)
        self._blocks.forget_before(minute // BLOCK_MINUTES - _BASELINE_BLOCKS - 1)
