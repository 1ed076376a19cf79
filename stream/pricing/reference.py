"""Pricing one call, the plain way: genai-prices' own Decimal arithmetic, rounded once.

The reference that the columnar path is tested against, the tool for a single question (`tokentide prices`),
and the way to price usage that an event does not carry (audio, images, searches: `price_quantities`).
About 0.15 ms a call; the stream uses `columns.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

from genai_prices.types import ModelPrice
from genai_prices.types import Usage as Quantities

from tokentide.stream.pricing.book import Offer, PriceBook, Quote, is_free
from tokentide.stream.pricing.money import EXACT_DIGITS, MAX_PICODOLLARS, to_picodollars
from tokentide.stream.pricing.outcome import CostSource, PricedCall, PriceNote, UnpricedReason
from tokentide.stream.pricing.resolve import PriceKey, find_offers
from tokentide.stream.pricing.usage import Usage

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What of an event decides its cost.

    Attributes:
        key: provider, models and service tier.
        timestamp_us: when the call finished, microseconds UTC: the time of the price.
        usage: inclusive tokens.
        is_without_output: the kind of call has no output tokens (embeddings); missing ones are no gap.
        reported_picodollars: the provider's own figure, if it gave one; it wins.
        is_from_response_cache: the answer came from the application's cache; it cost nothing.
        is_estimated: input or output tokens are estimates.
    """

    key: PriceKey
    timestamp_us: int
    usage: Usage
    is_without_output: bool = False
    reported_picodollars: int | None = None
    is_from_response_cache: bool = False
    is_estimated: bool = False


class ExactPrice(NamedTuple):
    """A price as exact decimals, before any rounding."""

    input_usd: Decimal
    output_usd: Decimal
    total_usd: Decimal


def price_one(call: Call, books: Sequence[PriceBook]) -> PricedCall:
    """The cost of one call. Books are asked in order: overrides first."""
    offers, reason = find_offers(books, call.key)
    quoted = _first_quote(offers, call.timestamp_us, reason)
    if call.is_without_output and call.usage.output_tokens is None:
        call = replace(call, usage=replace(call.usage, output_tokens=0))
    cost, source, reason = _cost(call, quoted)
    if isinstance(quoted, UnpricedReason) or reason:
        model, provider, book, note = call.key.reported_model, None, None, PriceNote.NOTHING
    else:
        offer, quote = quoted
        model, provider, book, note = offer.model, offer.provider, offer.book, quote.note
    if source in (CostSource.REPORTED, CostSource.RESPONSE_CACHE):
        provider, book, note = None, None, PriceNote.NOTHING  # no price of the book was used
    return PricedCall(cost, source, reason, note, model, provider, book)


def price_quantities(
    quantities: Mapping[str, int], key: PriceKey, at: datetime, books: Sequence[PriceBook]
) -> ExactPrice | UnpricedReason:
    """The exact price of any usage, by the usage keys of genai-prices (`input_audio_tokens`, …)."""
    offers, reason = find_offers(books, key)
    quoted = _first_quote(offers, (at - _EPOCH) // timedelta(microseconds=1), reason)
    return quoted if isinstance(quoted, UnpricedReason) else exact_price(quoted[1].price, quantities)


def exact_price(price: ModelPrice, quantities: Mapping[str, int]) -> ExactPrice:
    """What genai-prices charges for `quantities`, at full precision."""
    with localcontext(prec=EXACT_DIGITS):
        charged = price.calc_price(Quantities(**quantities))
    return ExactPrice(charged["input_price"], charged["output_price"], charged["total_price"])


def _first_quote(
    offers: Sequence[Offer], timestamp_us: int, otherwise: UnpricedReason
) -> tuple[Offer, Quote] | UnpricedReason:
    at = _EPOCH + timedelta(microseconds=timestamp_us)
    reasons: list[UnpricedReason] = []
    for offer in offers:
        quote = offer.quote(at)
        if not isinstance(quote, UnpricedReason):
            return offer, quote
        reasons.append(quote)
    return reasons[0] if reasons else otherwise


def _cost(
    call: Call, quoted: tuple[Offer, Quote] | UnpricedReason
) -> tuple[int | None, CostSource, UnpricedReason]:
    if call.reported_picodollars is not None:
        return _in_range(call.reported_picodollars, CostSource.REPORTED)
    if call.is_from_response_cache:
        return 0, CostSource.RESPONSE_CACHE, UnpricedReason.NONE
    if isinstance(quoted, UnpricedReason):
        return None, CostSource.UNPRICED, quoted
    price = quoted[1].price
    if reason := _usage_problem(call.usage, price):
        return None, CostSource.UNPRICED, reason
    cost = to_picodollars(exact_price(price, _quantities(call.usage)).total_usd)
    return _in_range(cost, CostSource.ESTIMATED if call.is_estimated else CostSource.CALCULATED)


def _in_range(cost: int, source: CostSource) -> tuple[int | None, CostSource, UnpricedReason]:
    if cost > MAX_PICODOLLARS:
        return None, CostSource.UNPRICED, UnpricedReason.OUT_OF_RANGE
    return cost, source, UnpricedReason.NONE


def _usage_problem(usage: Usage, price: ModelPrice) -> UnpricedReason:
    has_input = price.input_mtok is not None or is_free(price)
    has_output = price.output_mtok is not None or is_free(price)
    if usage.input_tokens is None or (usage.output_tokens is None and has_output):
        return UnpricedReason.NO_USAGE
    read, write, write_1h = usage.cache_read or 0, usage.cache_write or 0, usage.cache_write_1h or 0
    output = usage.output_tokens or 0
    if read + write > usage.input_tokens or write_1h > write or (usage.reasoning or 0) > output:
        return UnpricedReason.INCONSISTENT_USAGE
    if (usage.input_tokens and not has_input) or (output and not has_output):
        return UnpricedReason.NO_PRICE_FOR_USAGE
    return UnpricedReason.NONE


def _quantities(usage: Usage) -> dict[str, int]:
    write, write_1h = usage.cache_write or 0, usage.cache_write_1h or 0
    return {
        "input_tokens": usage.input_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
        "cache_read_tokens": usage.cache_read or 0,
        "cache_write_tokens": write,
        "cache_write_5m_tokens": write - write_1h,
        "cache_write_1h_tokens": write_1h,
        "output_reasoning_tokens": usage.reasoning or 0,
    }
