"""What detection keeps of a window: the few aggregates that the rules use, as integers.

Money is kept as two integers, so that any sum of partials stays exact within 64 bits: whole microdollars, and the
picodollars (10⁻¹² USD) that are left.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

PICOUSD_PER_MICROUSD: Final = 1_000_000
PICOUSD_PER_USD: Final = 10**12

COUNTED: Final = ("calls", "errors", "cancelled_calls", "context_reported_calls", "context_hits")
"""Aggregates of `llm_windows` that are taken as they are."""
PRICED: Final = "cost_usd"
"""The aggregate that is money; it takes the last two measures."""

WIDTH: Final = len(COUNTED) + 2
"""Integers of a window."""

CALLS, ERRORS, CANCELLED, CONTEXT_REPORTED, CONTEXT_HITS, COST_MICROUSD, COST_REST_PICOUSD = range(WIDTH)
"""Their places."""

Values = tuple[int, ...]
"""The measures of a window, or a difference of two; `WIDTH` integers."""


class Counts(NamedTuple):
    """The measures of one window by name; for handmade windows and offline runs."""

    calls: int
    errors: int = 0
    cancelled_calls: int = 0
    context_reported_calls: int = 0
    context_hits: int = 0
    cost_usd: Decimal = Decimal(0)
    """Exact to 10⁻¹² USD."""

    def values(self) -> Values:
        """The same as integers in their places."""
        picousd = int(self.cost_usd.scaleb(12))
        return (*self[:-1], *divmod(picousd, PICOUSD_PER_MICROUSD))


def usd(picousd: int) -> Decimal:
    """Picodollars as exact USD."""
    return Decimal(picousd).scaleb(-12)
