"""The few statistics that rules rest on; all deterministic, no library's default in between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

Z_95: Final = 1.959964
"""Quantile of the normal distribution for a two-sided 95 % interval."""
Z_99: Final = 2.575829
"""The same for 99 %."""
MAD_TO_SIGMA: Final = 1.4826
"""The median absolute deviation of a normal distribution times this is its standard deviation."""


def wilson_bound(hits: int, samples: int, *, z: float, side: Literal["lower", "upper"]) -> float:
    """Bound of a share's confidence interval (E. B. Wilson, 1927), which holds for few samples and shares near 0 and 1.

    `samples` is above 0.
    """
    share = hits / samples
    spread = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
    centre = share + z * z / (2 * samples)
    bound = (centre - spread if side == "lower" else centre + spread) / (1 + z * z / samples)
    return min(max(bound, 0.0), 1.0)


def median(values: Sequence[int]) -> int:
    """The middle value of a sequence that is not empty; between two the mean, rounded down."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) // 2


def median_absolute_deviation(values: Sequence[int], centre: int) -> int:
    """The median distance from `centre`."""
    return median([abs(value - centre) for value in values])
