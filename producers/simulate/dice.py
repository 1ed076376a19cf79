"""Random numbers of one call, from nothing but the seed and the call's number.

Each call has its own dice, so that an incident changes the calls that it hits and no others. Everything is
made from `random()` and `getrandbits()`, whose sequences Python promises to keep.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import Final, Generic, TypeVar

from tokentide.producers.simulate.catalog import Spread

T = TypeVar("T")

_QUANTILES: Final = 8192
_NORMAL: Final = [NormalDist().inv_cdf((i + 0.5) / _QUANTILES) for i in range(_QUANTILES)]
"""Reaches 3.8 standard deviations to both sides; a table is four times as fast as the formulas."""
_exp: Final = math.exp


class Choice(Generic[T]):
    """Weighted alternatives, prepared once."""

    __slots__ = ("_bounds", "items")

    def __init__(self, pairs: Sequence[tuple[T, float]]) -> None:
        self.items = [item for item, _ in pairs]
        total = math.fsum(weight for _, weight in pairs)
        self._bounds = [bound / total for bound in accumulate(weight for _, weight in pairs)][:-1]

    def at(self, place: float) -> T:
        """The alternative at a place in [0, 1)."""
        return self.items[bisect(self._bounds, place)]


class Dice:
    """The random numbers of one call after the other."""

    __slots__ = ("_seed", "bits", "roll")

    def __init__(self) -> None:
        source = Random()  # noqa: S311 - traffic is not a secret
        # What `Random.seed` does with a whole number, without its look at other kinds of seeds.
        self._seed = super(Random, source).seed
        self.roll = source.random
        """A number in [0, 1)."""
        self.bits = source.getrandbits

    def restart(self, seed: int, stream: int, number: int) -> None:
        """Begin the numbers of the `number`-th call of a stream (all below 2⁶⁴)."""
        self._seed(seed << 128 | stream << 64 | number)

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.roll() < probability

    def spread(self, spread: Spread) -> float:
        """A log-normal number, from a table of the normal distribution's quantiles."""
        median, sigma = spread
        return median * _exp(sigma * _NORMAL[int(self.roll() * _QUANTILES)]) if sigma else median

    def between(self, low: float, high: float) -> float:
        """Evenly distributed."""
        return low + (high - low) * self.roll()

    def gap(self, rate: float) -> float:
        """Time to the next of events that come at a mean rate (exponential)."""
        return -math.log(1.0 - self.roll()) / rate
