"""Columns of calls are priced exactly, and what cannot be priced says why."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from tokentide.stream.pricing import (
    MAX_PICODOLLARS,
    MISSING,
    Call,
    CostColumns,
    CostSource,
    GenaiBook,
    PriceKey,
    RateTable,
    UnpricedReason,
    Usage,
    UsageColumns,
    inclusive_columns,
    parse_overrides,
    price_columns,
    price_one,
    to_picodollars,
    to_usd,
)
from tokentide.stream.pricing.arrow import MONEY, money_column, picodollar_column, token_column
from tokentide.stream.pricing.money import half_even
from tokentide.stream.pricing.rate import FRACTION, KINDS

AT_US = 1_790_000_000_000_000
GPT_4O = PriceKey("openai", "gpt-4o", None, None)  # 2.5 and 10 USD a million
EMBEDDING = PriceKey("openai", "text-embedding-3-small", None, None)
UNKNOWN = PriceKey("openai", "no-such-model", None, None)
HOUSE = """
prices:
  - {model: tiered, per_million_tokens: {input: "1", output: "2"}, above_input_tokens: {100: {input: "10"}}}
  - {model: dearest, per_million_tokens: {input: "1000000", output: "1000000"}}
  - {model: fine, per_million_tokens: {input: "0.000000000000000001", output: "0"}}
  - {model: dated, from: 2026-01-01, until: 2027-01-01, per_million_tokens: {input: "1", output: "1"}}
"""


@pytest.fixture
def table() -> RateTable:
    return RateTable([parse_overrides(HOUSE), GenaiBook()])


def usage(*rows: tuple[int, int], **parts: list[int]) -> UsageColumns:
    """`(input, output)` rows; parts missing unless given."""
    missing = [MISSING] * len(rows)
    return UsageColumns(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        *(np.array(parts.get(name, missing), np.int64) for name in UsageColumns._fields[2:]),
    )


def priced(
    table: RateTable,
    keys: list[PriceKey],
    used: UsageColumns,
    *,
    reported: list[int] | None = None,
    cached: list[bool] | None = None,
    estimated: list[bool] | None = None,
    exclusive: list[bool] | None = None,
    at_us: int = AT_US,
) -> CostColumns:
    return price_columns(
        table,
        table.codes(keys),
        np.full(len(keys), at_us, np.int64),
        used,
        is_exclusive=None if exclusive is None else np.array(exclusive),
        reported=None if reported is None else np.array(reported, np.int64),
        is_from_response_cache=None if cached is None else np.array(cached),
        is_estimated=None if estimated is None else np.array(estimated),
    )


def test_tokens_times_price(table: RateTable) -> None:
    """LiteLLM's own example: 10 × 2.5e-6 + 20 × 1e-5 = 0.000225 USD."""
    costs = priced(table, [GPT_4O], usage((10, 20)))
    assert costs.picodollars.tolist() == [225_000_000]
    assert costs.source.tolist() == [CostSource.CALCULATED]
    assert to_usd(225_000_000) == Decimal("0.000225")
    rate = table.rates[costs.rate[0]]
    assert (rate.model, rate.provider) == ("gpt-4o", "openai")
    assert rate.book.startswith("genai-prices ")


def test_no_rows_are_no_rows(table: RateTable) -> None:
    costs = priced(table, [], usage())
    assert [len(column) for column in costs] == [0, 0, 0, 0]


def test_a_batch_without_any_price_has_a_reason_for_every_row(table: RateTable) -> None:
    costs = priced(table, [UNKNOWN, PriceKey(None, None, None, None)], usage((1, 1), (1, 1)))
    assert costs.picodollars.tolist() == [MISSING, MISSING]
    assert costs.source.tolist() == [CostSource.UNPRICED] * 2
    assert costs.reason.tolist() == [UnpricedReason.UNKNOWN_MODEL, UnpricedReason.NO_MODEL]
    assert costs.rate.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("key", "row", "parts", "reason"),
    [
        (GPT_4O, (MISSING, 5), {}, UnpricedReason.NO_USAGE),
        (GPT_4O, (5, MISSING), {}, UnpricedReason.NO_USAGE),
        (EMBEDDING, (5, MISSING), {}, UnpricedReason.NONE),
        (EMBEDDING, (5, 0), {}, UnpricedReason.NONE),
        (EMBEDDING, (5, 1), {}, UnpricedReason.NO_PRICE_FOR_USAGE),
        (GPT_4O, (0, 0), {}, UnpricedReason.NONE),
        (GPT_4O, (5, 5), {"cache_read": [6]}, UnpricedReason.INCONSISTENT_USAGE),
        (GPT_4O, (5, 5), {"cache_read": [3], "cache_write": [3]}, UnpricedReason.INCONSISTENT_USAGE),
        (GPT_4O, (5, 5), {"cache_write_1h": [1]}, UnpricedReason.INCONSISTENT_USAGE),
        (GPT_4O, (5, 5), {"reasoning": [6]}, UnpricedReason.INCONSISTENT_USAGE),
        (UNKNOWN, (MISSING, 5), {}, UnpricedReason.UNKNOWN_MODEL),
        (PriceKey("openai", "whisper-1", None, None), (5, 0), {}, UnpricedReason.NO_PRICE_FOR_USAGE),
    ],
)
def test_usage_that_cannot_be_priced_says_why(
    table: RateTable,
    key: PriceKey,
    row: tuple[int, int],
    parts: dict[str, list[int]],
    reason: UnpricedReason,
) -> None:
    costs = priced(table, [key], usage(row, **parts))
    assert costs.reason.tolist() == [reason]
    assert (costs.picodollars[0] == MISSING) == (reason != UnpricedReason.NONE)


def test_the_providers_own_figure_wins(table: RateTable) -> None:
    keys = [GPT_4O, UNKNOWN, GPT_4O, GPT_4O]
    costs = priced(
        table,
        keys,
        usage((10, 20), (10, 20), (MISSING, MISSING), (10, 20)),
        reported=[7, 0, MAX_PICODOLLARS, MAX_PICODOLLARS + 1],
        cached=[True, False, False, False],
    )
    assert costs.picodollars.tolist() == [7, 0, MAX_PICODOLLARS, MISSING]
    assert costs.source.tolist() == [CostSource.REPORTED] * 3 + [CostSource.UNPRICED]
    assert costs.reason.tolist() == [0, 0, 0, UnpricedReason.OUT_OF_RANGE]


def test_an_answer_from_the_response_cache_costs_nothing(table: RateTable) -> None:
    costs = priced(table, [GPT_4O, UNKNOWN], usage((10, 20), (MISSING, MISSING)), cached=[True, True])
    assert costs.picodollars.tolist() == [0, 0]
    assert costs.source.tolist() == [CostSource.RESPONSE_CACHE] * 2
    assert costs.reason.tolist() == [0, 0]


def test_estimated_tokens_make_an_estimated_cost(table: RateTable) -> None:
    costs = priced(table, [GPT_4O, GPT_4O, UNKNOWN], usage(*[(1, 1)] * 3), estimated=[True, False, True])
    assert costs.source.tolist() == [CostSource.ESTIMATED, CostSource.CALCULATED, CostSource.UNPRICED]


def test_exclusive_rows_get_their_cached_tokens_added(table: RateTable) -> None:
    used = usage((10, 0), (110, 0), (MISSING, 0), cache_read=[60, 60, 60], cache_write=[40, 40, MISSING])
    whole = inclusive_columns(used, np.array([True, False, True]))
    assert whole.input_tokens.tolist() == [110, 110, MISSING]
    partly = usage((10, 0), (10, 0), cache_read=[60, MISSING], cache_write=[MISSING, 40])
    assert inclusive_columns(partly, np.array([True, True])).input_tokens.tolist() == [70, 50]
    claude = PriceKey("anthropic", "claude-3-5-haiku-latest", None, None)  # 0.8, read 0.08, write 1
    costs = priced(table, [claude] * 3, used, exclusive=[True, False, True])
    assert costs.picodollars.tolist() == [10 * 800_000 + 60 * 80_000 + 40 * 1_000_000] * 2 + [MISSING]


def test_the_hour_long_cache_writes_have_their_own_price(table: RateTable) -> None:
    claude = PriceKey("anthropic", "claude-3-5-haiku-latest", None, None)
    costs = priced(table, [claude], usage((100, 0), cache_write=[100], cache_write_1h=[30]))
    assert costs.picodollars.tolist() == [70 * 1_000_000 + 30 * 1_600_000]


def test_a_long_prompt_pays_the_higher_price_for_all_of_it(table: RateTable) -> None:
    tiered = PriceKey(None, "tiered", None, None)
    costs = priced(table, [tiered] * 3, usage((100, 1), (101, 1), (0, 1)))
    assert costs.picodollars.tolist() == [102_000_000, 1_012_000_000, 2_000_000]


def test_a_sum_below_a_picodollar_rounds_to_the_even_one(table: RateTable) -> None:
    """A price of 10⁻²⁴ USD a token: half a picodollar are 500,000,000,000 tokens; the contract allows 10¹⁰."""
    fine = PriceKey(None, "fine", None, None)
    half = FRACTION // 2
    costs = priced(table, [fine] * 5, usage((half, 0), (half + 1, 0), (half * 3, 0), (half * 5, 0), (7, 0)))
    assert costs.picodollars.tolist() == [0, 1, 2, 2, 0]
    assert [half_even(n, 2) for n in (0, 1, 2, 3, 5)] == [0, 0, 1, 2, 2]


def test_a_product_beyond_64_bits_is_exact_or_refused(table: RateTable) -> None:
    """A dollar a token: 10¹² picodollars, so that 10⁷ tokens would leave int64 and 999,999 just fit."""
    dearest = PriceKey(None, "dearest", None, None)
    costs = priced(
        table,
        [dearest] * 4 + [GPT_4O],
        usage((999_999, 0), (1_000_000, 0), (10_000_000_000, 10_000_000_000), (0, 5), (1, 1)),
    )
    assert costs.picodollars.tolist() == [999_999 * 10**12, MISSING, MISSING, 5 * 10**12, 12_500_000]
    assert costs.reason.tolist() == [0, UnpricedReason.OUT_OF_RANGE, UnpricedReason.OUT_OF_RANGE, 0, 0]


def test_an_override_ends_when_it_says(table: RateTable) -> None:
    dated = PriceKey(None, "dated", None, None)
    year_us = 365 * 86_400_000_000
    new_year_us = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
    at_the_turn = [priced(table, [dated], usage((1, 1)), at_us=new_year_us + us).reason[0] for us in (-1, 0)]
    assert at_the_turn == [UnpricedReason.BEFORE_FIRST_PRICE, 0]
    reasons = [
        priced(table, [dated], usage((1, 1)), at_us=at_us).reason[0]
        for at_us in (AT_US - year_us, AT_US, AT_US + year_us)
    ]
    assert reasons == [UnpricedReason.BEFORE_FIRST_PRICE, 0, UnpricedReason.AFTER_LAST_PRICE]


def test_rows_of_one_batch_may_lie_in_different_periods(table: RateTable) -> None:
    """DeepSeek charges half at night; the two rows share a key and a batch."""
    key = PriceKey("deepseek", "deepseek-chat", None, None)
    noon_us = 1_790_000_000_000_000 // 86_400_000_000 * 86_400_000_000 + 43_200_000_000
    costs = price_columns(
        table,
        table.codes([key, GPT_4O, key, key, key]),
        noon_us - np.array([0, 0, 43_200_000_000, 41_400_000_001, 41_400_000_000]),  # day rate from 00:30
        usage(*[(10, 0)] * 5),
    )
    assert costs.picodollars.tolist() == [2_700_000, 25_000_000, 1_350_000, 1_350_000, 2_700_000]


def test_the_table_looks_a_key_up_once() -> None:
    class CountingBook(GenaiBook):
        asked = 0

        def find(self, provider: str | None, model: str, tier: str | None):  # type: ignore[no-untyped-def]
            type(self).asked += 1
            return super().find(provider, model, tier)

    book = CountingBook()
    table = RateTable([book])
    for _ in range(3):
        table.codes([GPT_4O, UNKNOWN, GPT_4O])
    assert book.asked == 2
    assert len(table) == 2


def test_the_table_forgets_everything_when_names_do_not_end() -> None:
    table = RateTable([GenaiBook()], max_keys=10)
    for number in range(35):
        keys = [GPT_4O, PriceKey("openai", f"made-up-{number}", None, None)]
        costs = priced(table, keys, usage((10, 20), (10, 20)))
        assert costs.picodollars.tolist() == [225_000_000, MISSING]
        assert len(table) <= 10
    with pytest.raises(ValueError, match="max_keys is 0"):
        RateTable([], max_keys=0)


def test_more_keys_in_one_batch_than_the_table_remembers_are_all_priced() -> None:
    table = RateTable([GenaiBook()], max_keys=3)
    keys = [PriceKey("openai", name, None, None) for name in ("gpt-4o", "gpt-4", "gpt-5", "o3", "gpt-4.1")]
    costs = priced(table, keys, usage(*[(1, 0)] * 5))
    assert (costs.picodollars > 0).all()


def test_kinds_of_token_have_no_overlap_and_leave_nothing_out(table: RateTable) -> None:
    """One of each kind, priced by itself, costs as much as all of them together."""
    claude = PriceKey("anthropic", "claude-3-5-haiku-latest", None, None)
    rate = price_one(
        Call(
            key=claude,
            timestamp_us=AT_US,
            usage=Usage(
                input_tokens=4, output_tokens=2, cache_read=1, cache_write=2, cache_write_1h=1, reasoning=1
            ),
        ),
        [GenaiBook()],
    )
    table.codes([claude])
    per_kind = table.band(0, 4).prices
    assert len(per_kind) == len(KINDS)
    assert rate.picodollars == sum(price or 0 for price in per_kind) // FRACTION


def test_money_goes_through_arrow_without_loss() -> None:
    amounts = [0, 1, 225_000_000, MAX_PICODOLLARS, MISSING, 7]
    column = money_column(np.array(amounts, np.int64))
    column.validate(full=True)
    assert column.type == MONEY
    assert column.to_pylist() == [None if amount == MISSING else to_usd(amount) for amount in amounts]
    assert picodollar_column(column).tolist() == amounts
    assert picodollar_column(column[2:4]).tolist() == amounts[2:4]
    assert picodollar_column(pa.chunked_array([column[:1], column[3:]])).tolist() == [
        *amounts[:1],
        *amounts[3:],
    ]
    assert money_column(np.array([], np.int64)).to_pylist() == []
    assert picodollar_column(pa.array([None, None], MONEY)).tolist() == [MISSING, MISSING]


def test_money_that_is_no_money_is_refused() -> None:
    with pytest.raises(TypeError, match=r"decimal128\(38, 12\), not double"):
        picodollar_column(pa.array([1.5]))
    with pytest.raises(OverflowError, match="64 bits"):
        picodollar_column(pa.array([Decimal(9300000)], MONEY))


def test_token_columns_mark_what_is_missing() -> None:
    assert token_column(pa.array([3, None, 0], pa.int64())).tolist() == [3, MISSING, 0]
    assert token_column(pa.chunked_array([[1], [None]], pa.int64())).tolist() == [1, MISSING]


def test_usd_become_picodollars_half_to_even() -> None:
    given = ["0.000225", "0.0000000000005", "0.0000000000015", "0.0000000000025", "999999.999999999999"]
    assert [to_picodollars(Decimal(usd)) for usd in given] == [225_000_000, 0, 2, 2, MAX_PICODOLLARS]
