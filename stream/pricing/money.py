"""Amounts of money as whole picodollars, and the one rounding rule.

A picodollar is 10⁻¹² USD, the last digit of `Decimal64(12)`, so what is stored is what was computed. Prices
per token are whole picodollars for nearly every model of the book; where one is not (a third of 0.25 USD per
million, written out by its source), the exact sum of a call is rounded once, half to even, and nowhere else.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final

PICODOLLARS_PER_USD: Final = 10**12

MAX_PICODOLLARS: Final = 10**18 - 1
"""The largest amount of `Decimal64(12)`: 999,999.999999999999 USD. Larger ones are refused, never clamped."""

EXACT_DIGITS: Final = 80
"""Precision for exact Decimal work: 18 digits of tokens times 24 decimals of a price, with room to spare."""


def to_picodollars(usd: Decimal) -> int:
    """USD as picodollars, rounded half to even; exact for every amount of at most 12 decimals."""
    with localcontext(prec=EXACT_DIGITS, rounding=ROUND_HALF_EVEN):
        return int((usd * PICODOLLARS_PER_USD).to_integral_value())


def to_usd(picodollars: int) -> Decimal:
    """Picodollars as USD with 12 decimals."""
    return Decimal(picodollars).scaleb(-12)


def half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` to the nearest whole number, ties to the even one; both not negative."""
    whole, rest = divmod(numerator, denominator)
    doubled = 2 * rest
    return whole + (doubled > denominator or (doubled == denominator and whole % 2 == 1))
