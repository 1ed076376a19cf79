"""The latency sketch: log-linear buckets, 64 to the octave, at most 0.78 % relative error.

A bucket is the exponent and the six leading mantissa bits of the IEEE 754 double: cutting bits is exact
on every processor, where a logarithm may differ in its last digit between two workers. Buckets merge by
adding counts, so a quantile of any merge of windows has the same error as that of one window. In the
manner of DDSketch (Masson, Rim, Lee, VLDB 2019) and HdrHistogram.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping
from typing import Final

SUB_BUCKETS: Final = 64
"""Buckets per power of two."""
MANTISSA_SHIFT: Final = 46
"""Bits of a double's mantissa that are cut: 52 − log₂(64)."""
KEY_BIAS: Final = 1023 * SUB_BUCKETS
"""So that 1.0 has the key 0."""
ZERO_KEY: Final = -32_768
"""The bucket of 0, which has no logarithm."""
LOWEST_KEY: Final = -20 * SUB_BUCKETS
"""Values below 2⁻²⁰ (in milliseconds: a nanosecond) share the lowest bucket, where the error has no bound. So what the
contract allows falls into 3,500 buckets at most, and no one can make a window so large that it cannot be sent."""


def bucket_key(value: float) -> int:
    """Return the bucket of a value from 0 to below 2⁵¹²."""
    if value == 0:
        return ZERO_KEY
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return max((int(bits) >> MANTISSA_SHIFT) - KEY_BIAS, LOWEST_KEY)


def bucket_bounds(key: int) -> tuple[float, float]:
    """Return the half-open interval `[lower, upper)` of a bucket."""
    if key == ZERO_KEY:
        return (0.0, 0.0)
    exponent, step = divmod(key, SUB_BUCKETS)
    return (math.ldexp(1 + step / SUB_BUCKETS, exponent), math.ldexp(1 + (step + 1) / SUB_BUCKETS, exponent))


def bucket_value(key: int) -> float:
    """Return the value that stands for a bucket: the harmonic mean of its bounds, which has the least
    relative error to either.
    """
    lower, upper = bucket_bounds(key)
    return 0.0 if key == ZERO_KEY else 2 * lower * upper / (lower + upper)


def quantile(counts: Mapping[int, int], fraction: float) -> float | None:
    """Return the value at a rank of `fraction` (0 … 1) of all counts, or None if there are none.

    The rank is the nearest one: the smallest bucket up to which at least `fraction` of the counts lie.

    Raises:
        ValueError: `fraction` is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError("fraction must be 0 … 1")
    total = sum(counts.values())
    if total == 0:
        return None
    rank = max(1, math.ceil(fraction * total))
    ordered = sorted(counts)
    ranks = itertools.accumulate(counts[key] for key in ordered)
    return next(bucket_value(key) for key, last in zip(ordered, ranks, strict=True) if last >= rank)
