"""Pricing: what a call cost, by the prices at the time of the event, in exact integers.

Two ways that agree: `price_one` for a single call and `price_columns` for batches. Prices come from books
asked in order: the user's overrides (`parse_overrides`), then genai-prices (`GenaiBook`). Decisions and
their reasons: docs/decisions/0006-exact-prices.md.
"""

from tokentide.stream.pricing.book import GenaiBook, Offer, PriceBook
from tokentide.stream.pricing.columns import CostColumns, price_columns
from tokentide.stream.pricing.money import MAX_PICODOLLARS, PICODOLLARS_PER_USD, to_picodollars, to_usd
from tokentide.stream.pricing.outcome import CostSource, PricedCall, PriceNote, UnpricedReason
from tokentide.stream.pricing.override_file import PriceFileError, parse_overrides
from tokentide.stream.pricing.overrides import Override, OverrideBook
from tokentide.stream.pricing.rate import Rate
from tokentide.stream.pricing.reference import Call, ExactPrice, price_one, price_quantities
from tokentide.stream.pricing.resolve import PriceKey
from tokentide.stream.pricing.table import RateTable
from tokentide.stream.pricing.usage import (
    MISSING,
    Usage,
    UsageColumns,
    inclusive,
    inclusive_columns,
)

__all__ = [
    "MAX_PICODOLLARS",
    "MISSING",
    "PICODOLLARS_PER_USD",
    "Call",
    "CostColumns",
    "CostSource",
    "ExactPrice",
    "GenaiBook",
    "Offer",
    "Override",
    "OverrideBook",
    "PriceBook",
    "PriceFileError",
    "PriceKey",
    "PriceNote",
    "PricedCall",
    "Rate",
    "RateTable",
    "UnpricedReason",
    "Usage",
    "UsageColumns",
    "inclusive",
    "inclusive_columns",
    "parse_overrides",
    "price_columns",
    "price_one",
    "price_quantities",
    "to_picodollars",
    "to_usd",
]
