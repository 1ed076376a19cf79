"""The tokens of a call in one meaning: every whole includes its parts.

Providers report in two ways. OpenAI's input tokens include the cached ones; Anthropic's exclude both cache
reads and cache writes. Mixing the two is the most common cost error of comparable systems, so the exclusive
form is turned into the inclusive one here, once, before anything is priced or summed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MISSING: Final = -1
"""A token count that was not reported, in a column. Counts are never negative, so -1 is free, and a column
of int64 with a sentinel costs a third of one with a mask."""

IntColumn = NDArray[np.int64]
FlagColumn = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, inclusive; None is unknown, not zero.

    Attributes:
        input_tokens: all of the prompt, cached or not.
        output_tokens: all of the answer, reasoning included.
        cache_read: part of the input that came from the prompt cache.
        cache_write: part of the input that was written to it.
        cache_write_1h: part of `cache_write` with a lifetime of an hour; the rest lives five minutes.
        reasoning: part of the output.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None


class UsageColumns(NamedTuple):
    """The same for many calls: int64, one row per call, `MISSING` where unknown."""

    input_tokens: IntColumn
    output_tokens: IntColumn
    cache_read: IntColumn
    cache_write: IntColumn
    cache_write_1h: IntColumn
    reasoning: IntColumn

    @property
    def cached(self) -> IntColumn:
        """Tokens read from the prompt cache and written to it; unknown ones count as none."""
        return np.maximum(self.cache_read, 0) + np.maximum(self.cache_write, 0)


def inclusive(usage: Usage) -> Usage:
    """`usage` as reported exclusively (Anthropic's way), with the cached tokens added to the input."""
    if usage.input_tokens is None:
        return usage
    cached = (usage.cache_read or 0) + (usage.cache_write or 0)
    return replace(usage, input_tokens=usage.input_tokens + cached)


def inclusive_columns(usage: UsageColumns, is_exclusive: FlagColumn | None) -> UsageColumns:
    """The rows marked `is_exclusive` with their cached tokens added to the input; None marks no row."""
    if is_exclusive is None or not is_exclusive.any():
        return usage
    adds = is_exclusive & (usage.input_tokens >= 0)
    return usage._replace(input_tokens=np.where(adds, usage.input_tokens + usage.cached, usage.input_tokens))
