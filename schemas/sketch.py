"""The latency sketch: log-linear buckets, 64 to the octave, at most 0.78 % relative error.

A bucket is the exponent and the six leading mantissa bits of the IEEE 754 double: cutting bits is exact
on every processor, where a logarithm may differ in its last digit between two workers. Buckets merge by
adding counts, so a quantile of any merge of windows has the same error as that of one window. In the
manner of DDSketch (Masson, Rim, Lee, VLDB 2019) and HdrHistogram.
"""

from __future__ import annotations

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
LOWEST_KEY: Final = -32_767
"""Values below 2⁻⁵¹¹ share the lowest bucket, so that keys fit 16 bits."""


def bucket_key(value: float) -> int:
    """Return the bucket of a value from 0 to 2⁵¹¹."""
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
    """
    total = sum(counts.values())
    if total == 0:
        return None
    rank = max(1, math.ceil(fraction * total))
    seen = 0
    for key in sorted(counts):
        seen += counts[key]
        if seen >= rank:
            return bucket_value(key)
    raise ValueError("fraction must be 0 … 1")
