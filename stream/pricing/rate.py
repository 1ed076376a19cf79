"""A price as integers: what each kind of token costs, by the size of the prompt.

Owns: the reduction of a `ModelPrice` to the kinds of token that an event has, and the exact cost of one call
from it. The reduction follows genai-prices: a token is charged once, by the most specific price that covers
it; one without a price of its own is charged as its whole (a cached token as input, say). Property tests
hold the result against genai-prices' own arithmetic for every model of the book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final, NamedTuple

from genai_prices.data_units import unit_data
from genai_prices.types import ModelPrice, TieredPrices

from tokentide.stream.pricing.book import is_free
from tokentide.stream.pricing.money import EXACT_DIGITS, half_even
from tokentide.stream.pricing.outcome import PriceNote

KINDS: Final = (
    "input_tokens",  # neither read from nor written to the cache
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",  # without reasoning
    "output_reasoning_tokens",
)
"""Every token of an event is of exactly one of these kinds, named as the units of genai-prices."""

INPUT, CACHE_READ, CACHE_WRITE, CACHE_WRITE_1H, OUTPUT, REASONING = range(len(KINDS))

FRACTION: Final = 10**12
"""Prices are held in 10⁻²⁴ USD, so that one of 18 decimals a million tokens is whole: this many of them are
a picodollar. No price of the book is finer; a finer one would be rounded to this, half to even."""

_NO_TIER: Final = -1


class Band(NamedTuple):
    """Prices that apply when the prompt has more than `above` tokens, up to the next band.

    Attributes:
        above: input tokens; -1 for the first band.
        prices: of one token of each of `KINDS`, in 10⁻²⁴ USD; None where the model has no price.
        per_call: a fixed charge, in 10⁻²⁴ USD.
    """

    above: int
    prices: tuple[int | None, ...]
    per_call: int


@dataclass(frozen=True, slots=True)
class Rate:
    """The prices of a model in one period, and where they come from."""

    book: str
    provider: str
    model: str
    note: PriceNote
    bands: tuple[Band, ...]

    def band(self, input_tokens: int) -> Band:
        """The band of a prompt; `input_tokens` includes cached ones."""
        return next(band for band in reversed(self.bands) if input_tokens > band.above)


def bands(price: ModelPrice) -> tuple[Band, ...]:
    """The prices of an event's kinds of token, one band for every threshold of any of them."""
    units = _prices_by_unit(price)
    if is_free(price):
        return (Band(_NO_TIER, (0,) * len(KINDS), 0),)
    starts = {tier.start for one in units.values() if isinstance(one, TieredPrices) for tier in one.tiers}
    return tuple(_band(units, above) for above in (_NO_TIER, *sorted(starts)))


def picodollars(band: Band, tokens: Sequence[int]) -> int | None:
    """The exact cost of `tokens` (of each of `KINDS`), rounded once; None if a used kind has no price."""
    total = band.per_call
    for count, price in zip(tokens, band.prices, strict=True):
        if count and price is None:
            return None
        total += count * (price or 0)
    return half_even(total, FRACTION)


def _prices_by_unit(price: ModelPrice) -> Mapping[str, Decimal | TieredPrices]:
    """The prices that are set, by the unit they are for: `{"input_tokens": …}`."""
    of_key = {unit["price_key"]: name for name, unit in unit_data.items()}
    return {of_key[key]: value for key, value in vars(price).items() if value is not None and key in of_key}


def _band(units: Mapping[str, Decimal | TieredPrices], above: int) -> Band:
    prices = tuple(
        None if unit is None else _per_piece(units[unit], unit, above)
        for unit in (_most_specific(kind, units) for kind in KINDS)
    )
    per_call = _per_piece(units["requests"], "requests", above) if "requests" in units else 0
    return Band(above, prices, per_call)


def _most_specific(kind: str, units: Mapping[str, object]) -> str | None:
    """The priced unit that covers `kind` with the most dimensions; None if there is none."""
    dimensions = unit_data[kind]["dimensions"].items()
    covering = [name for name in units if unit_data[name]["dimensions"].items() <= dimensions]
    return max(covering, key=lambda name: len(unit_data[name]["dimensions"]), default=None)


def _per_piece(price: Decimal | TieredPrices, unit: str, above: int) -> int:
    """The price of one token or request in 10⁻²⁴ USD, for prompts of more than `above` tokens."""
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start <= above]
        price = reached[-1] if reached else price.base
    with localcontext(prec=EXACT_DIGITS, rounding=ROUND_HALF_EVEN):
        return int((price.scaleb(24) / unit_data[unit]["per"]).to_integral_value())
