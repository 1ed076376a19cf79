"""Properties of prices: the columns agree with the reference, and both with genai-prices itself."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import genai_prices
import numpy as np
import pytest
from genai_prices.data import providers
from genai_prices.types import ClauseAnd, ClauseOr, MatchLogic
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide.stream.pricing import (
    MISSING,
    Call,
    CostSource,
    GenaiBook,
    PriceKey,
    PriceNote,
    RateTable,
    UnpricedReason,
    Usage,
    UsageColumns,
    inclusive,
    parse_overrides,
    price_columns,
    price_one,
    to_picodollars,
)
from tokentide.stream.pricing.book import is_free

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MODELS = [(provider.id, model.id) for provider in providers for model in provider.models]
VARYING = [
    (provider.id, model.id)
    for provider in providers
    for model in provider.models
    if isinstance(model.prices, list) or model.price_variants
]
# Prices that no book has: below a picodollar, near the limits, with thresholds of their own, with dates.
ODD = """
prices:
  - {provider: odd, model: thirds, per_million_tokens: {input: "0.333333333333333333", output: "0.666666666666666667",
     cache_read: "0.000000000000000001"}, per_call: "0.000000000000333333"}
  - {provider: odd, model: halves, per_million_tokens: {input: "0.0000005", output: "0.0000005"}}
  - {provider: odd, model: dear, per_million_tokens: {input: "1000000", output: "999999.999999", reasoning: "1"}}
  - provider: odd
    model: banded
    per_million_tokens: {input: "1", output: "2", cache_read: "0.1", cache_write: "1.25", cache_write_1h: "2"}
    above_input_tokens: {1000: {input: "3", output: "5"}, 5000: {input: "7"}, 200000: {cache_read: "0.2", output: "11"}}
  - {provider: odd, model: dated, from: 2024-01-01, until: 2025-01-01, per_million_tokens: {input: "1", output: "1"}}
  - {provider: odd, model: dated, from: 2025-06-01, per_million_tokens: {input: "2", output: "2"}}
  - {provider: odd, model: hosted, infra: true}
  - {model: gpt-4o, until: 2024-06-01, service_tier: standard, per_million_tokens: {input: "5", output: "15"}}
"""
ODD_MODELS = [("odd", name) for name in ("thirds", "halves", "dear", "banded", "dated", "hosted", "none")]
BOOKS = [parse_overrides(ODD), GenaiBook()]

counts = st.one_of(
    st.integers(0, 20),
    st.integers(0, 300_000),
    st.sampled_from([1000, 1001, 5000, 5001, 199_999, 200_000, 200_001, 272_000, 272_001]),
    st.integers(0, 10_000_000_000),
)
parts = st.none() | st.integers(0, 50) | counts
usages = st.builds(
    Usage,
    input_tokens=st.none() | counts,
    output_tokens=st.none() | counts,
    cache_read=parts,
    cache_write=parts,
    cache_write_1h=parts,
    reasoning=parts,
)
consistent = st.builds(
    lambda read, write, hour, rest, reasoning, text: Usage(
        input_tokens=read + write + hour + rest,
        output_tokens=reasoning + text,
        cache_read=read,
        cache_write=write + hour,
        cache_write_1h=hour,
        reasoning=reasoning,
    ),
    *[counts] * 6,
)
keys = st.builds(
    lambda names, requested, tier: PriceKey(names[0], names[1], requested, tier),
    st.sampled_from(ODD_MODELS)
    | st.sampled_from(MODELS)
    | st.sampled_from(VARYING)
    | st.just(("openai", "gpt-4o")),
    st.none() | st.sampled_from(["gpt-4o", "thirds", "nobody's"]),
    st.sampled_from([None, "default", "batch", "Priority", "flex", "fast", "scale"]),
)
timestamps = st.datetimes(datetime(2000, 1, 1), datetime(2028, 1, 1)).map(  # noqa: DTZ001  # made aware below
    lambda naive: (naive.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
)
calls = st.builds(
    Call,
    key=keys,
    timestamp_us=timestamps,
    usage=consistent | usages,
    is_without_output=st.booleans(),
    reported_picodollars=st.sampled_from([None, None, None, 0, 225_000_000, 10**18 - 1, 10**18]),
    is_from_response_cache=st.sampled_from([False, False, False, True]),
    is_estimated=st.booleans(),
)


def columns(batch: list[Usage]) -> UsageColumns:
    return UsageColumns(
        *(
            np.array(
                [MISSING if (count := getattr(usage, field)) is None else count for usage in batch], np.int64
            )
            for field in UsageColumns._fields
        )
    )


@settings(deadline=None, max_examples=150)
@given(batch=st.lists(calls, min_size=1, max_size=12))
def test_columns_and_reference_agree_on_every_row(batch: list[Call]) -> None:
    table = RateTable(BOOKS)
    reported = [MISSING if call.reported_picodollars is None else call.reported_picodollars for call in batch]
    costs = price_columns(
        table,
        table.codes([call.key for call in batch]),
        np.array([call.timestamp_us for call in batch], np.int64),
        columns([call.usage for call in batch]),
        is_without_output=np.array([call.is_without_output for call in batch]),
        reported=np.array(reported, np.int64),
        is_from_response_cache=np.array([call.is_from_response_cache for call in batch]),
        is_estimated=np.array([call.is_estimated for call in batch]),
    )
    for row, call in enumerate(batch):
        expected = price_one(call, BOOKS)
        found = (
            None if costs.picodollars[row] == MISSING else int(costs.picodollars[row]),
            CostSource(costs.source[row]),
            UnpricedReason(costs.reason[row]),
        )
        assert found == (expected.picodollars, expected.source, expected.reason)
        if expected.book is not None:
            rate = table.rates[costs.rate[row]]
            assert (rate.model, rate.provider, rate.book, rate.note) == (
                expected.model,
                expected.provider,
                expected.book,
                expected.note,
            )


def test_every_model_of_the_book_costs_what_genai_prices_asks() -> None:
    """Two usages for each name of each model, at a moment of their own; the seed is fixed."""
    generator = random.Random(20261120)
    batch = [
        (PriceKey(provider.id, name, None, None), _moment(generator), _random_usage(generator))
        for provider in providers
        for model in provider.models
        for name in (model.id, _a_name(model.match)) * 2
    ]
    table = RateTable([GenaiBook()])
    costs = price_columns(
        table,
        table.codes([key for key, _, _ in batch]),
        np.array([(at - EPOCH) // timedelta(microseconds=1) for _, at, _ in batch], np.int64),
        columns([usage for _, _, usage in batch]),
    )
    seen: dict[str, set[tuple[str | None, str]]] = {"priced": set(), "partly": set(), "not found": set()}
    for row, (key, at, usage) in enumerate(batch):
        try:
            with localcontext(prec=80):
                asked = genai_prices.calc_price(
                    _genai_usage(usage),
                    key.response_model or "",
                    provider_id=key.provider,
                    genai_request_timestamp=at,
                )
        except LookupError:  # an id that no name matches
            assert costs.reason[row] == UnpricedReason.UNKNOWN_MODEL
            seen["not found"].add(key[:2])
            continue
        price = asked.model_price
        if is_free(price) or (price.input_mtok is not None and price.output_mtok is not None):
            assert costs.picodollars[row] == to_picodollars(asked.total_price), (key, at, usage)
            assert costs.source[row] == CostSource.CALCULATED
            seen["priced"].add((key.provider, asked.model.id))
        else:
            assert costs.reason[row] == UnpricedReason.NO_PRICE_FOR_USAGE
            seen["partly"].add((key.provider, asked.model.id))
    assert len(seen["priced"] | seen["partly"]) > 0.97 * len(MODELS)
    assert len(seen["partly"]) < 0.06 * len(MODELS)


@pytest.mark.parametrize("tier", ["batch", "priority", "flex", "fast"])
def test_a_service_tier_costs_what_genai_prices_asks_in_that_context(tier: str) -> None:
    generator = random.Random(tier)
    context = {"service_tier": tier, "processing": tier, "speed": tier}
    at = datetime(2027, 6, 1, 9, tzinfo=UTC)  # every tier price of the book has started by then
    seen = 0
    for names in VARYING:
        usage = _random_usage(generator)
        found = price_one(
            Call(
                key=PriceKey(*names, None, tier),
                timestamp_us=(at - EPOCH) // timedelta(microseconds=1),
                usage=usage,
            ),
            BOOKS,
        )
        if found.picodollars is None:
            continue
        with localcontext(prec=80):
            asked = genai_prices.calc_price(
                _genai_usage(usage),
                names[1],
                provider_id=names[0],
                genai_request_timestamp=at,
                price_context=context,
            )
        assert found.picodollars == to_picodollars(asked.total_price)
        assert found.note in (PriceNote.NOTHING, PriceNote.TIER_ASSUMED)
        seen += found.note == PriceNote.NOTHING
    assert seen > 10


@given(usage=usages)
def test_the_inclusive_form_only_ever_adds_the_cached_tokens(usage: Usage) -> None:
    whole = inclusive(usage)
    if usage.input_tokens is None:
        assert whole == usage
    else:
        assert whole.input_tokens == usage.input_tokens + (usage.cache_read or 0) + (usage.cache_write or 0)
        assert (whole.cache_read, whole.output_tokens) == (usage.cache_read, usage.output_tokens)


@settings(deadline=None, max_examples=50)
@given(usage=consistent, at=timestamps)
def test_a_cached_token_never_costs_more_than_none_cached_where_the_cache_is_cheaper(
    usage: Usage, at: int
) -> None:
    key = PriceKey("anthropic", "claude-3-5-haiku-latest", None, None)
    read_only = Usage(input_tokens=usage.input_tokens, output_tokens=0, cache_read=usage.cache_read)
    uncached = Usage(input_tokens=usage.input_tokens, output_tokens=0)
    cheaper = price_one(Call(key=key, timestamp_us=at, usage=read_only), BOOKS)
    dearer = price_one(Call(key=key, timestamp_us=at, usage=uncached), BOOKS)
    if cheaper.picodollars is not None and dearer.picodollars is not None:
        assert 0 <= cheaper.picodollars <= dearer.picodollars


def _a_name(match: MatchLogic) -> str:
    """A name that the clause (or the first of several) is made for."""
    if isinstance(match, ClauseOr):
        return _a_name(match.or_[0])
    if isinstance(match, ClauseAnd):
        return "".join(_a_name(clause) for clause in match.and_)
    return next(iter(vars(match).values()))


def _moment(generator: random.Random) -> datetime:
    return datetime(2023, 1, 1, tzinfo=UTC) + timedelta(seconds=generator.randrange(4 * 365 * 86_400))


def _random_usage(generator: random.Random) -> Usage:
    read, write, hour, rest, reasoning, text = (
        generator.choice((0, generator.randrange(500), generator.randrange(400_000))) for _ in range(6)
    )
    return Usage(
        input_tokens=read + write + hour + rest + 1,
        output_tokens=reasoning + text + 1,
        cache_read=read,
        cache_write=write + hour,
        cache_write_1h=hour,
        reasoning=reasoning,
    )


def _genai_usage(usage: Usage) -> genai_prices.Usage:
    hour = usage.cache_write_1h or 0
    return genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        cache_write_5m_tokens=(usage.cache_write or 0) - hour,
        cache_write_1h_tokens=hour,
        output_reasoning_tokens=usage.reasoning,
    )


def test_half_a_picodollar_goes_to_the_even_one() -> None:
    key = PriceKey("odd", "halves", None, None)
    costs = [
        price_one(Call(key=key, timestamp_us=0, usage=Usage(tokens, 0)), BOOKS).cost_usd
        for tokens in (1, 2, 3, 5)
    ]
    assert costs == [Decimal("0E-12"), Decimal("1E-12"), Decimal("2E-12"), Decimal("2E-12")]
