"""Every recorded usage of the public test set `costs/`, priced as exact decimals.

The set states, for 795 response bodies and every provider that could have sent them, what genai-prices asked
on 21 August 2026. Its price table of that day is the book here, not the installed one, whose prices move.
Seven of the 10,199 figures do not follow from that table; where they come from is stated beside them.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from genai_prices.types import _providers_from_raw  # how its own updater reads such a file; not public

from tokentide.stream.pricing import (
    MISSING,
    Call,
    CostSource,
    ExactPrice,
    GenaiBook,
    PriceBook,
    PriceKey,
    RateTable,
    UnpricedReason,
    Usage,
    UsageColumns,
    inclusive,
    parse_overrides,
    price_columns,
    price_one,
    price_quantities,
)

pytestmark = pytest.mark.data

# Noon: DeepSeek's night rebate is not in force then.
RECORDED_AT = datetime(2026, 8, 21, 12, tzinfo=UTC)
RECORDED_AT_US = int(RECORDED_AT.timestamp()) * 1_000_000

# Bedrock's price of that model (OpenAI's and a tenth more) stands in neither table: the one of the day does
# not have the model, the installed one has a later price. So it is stated as a user would.
BEDROCK_LUNA = """
prices:
  - provider: aws
    model: openai.gpt-5.6-luna
    per_million_tokens: {input: "1.1", output: "6.6"}
"""

EVENT_KEYS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h",
    "output_reasoning_tokens": "reasoning",
}


class Figure(NamedTuple):
    key: PriceKey
    usage: dict[str, int]
    expected: tuple[Decimal, Decimal] | None
    """Input and output price in USD; None where no price was known."""


@pytest.fixture(scope="module")
def of_the_day(public_data: Path) -> GenaiBook:
    with gzip.open(public_data / "costs" / "genai_prices_data.json.gz") as file:
        return GenaiBook(_providers_from_raw(json.load(file)), version="genai-prices 47df840a")


@pytest.fixture(scope="module")
def records(public_data: Path) -> list[dict[str, Any]]:
    with gzip.open(public_data / "costs" / "genai_prices_usages_A.json.gz") as file:
        found: list[dict[str, Any]] = json.load(file)
    assert len(found) == 795
    return found


def figures(records: list[dict[str, Any]]) -> Iterator[Figure]:
    for record in records:
        model = record.get("model") or record["body"].get("model")
        for extracted in record["extracted"]:
            for asked in extracted["extractors"]:
                yield Figure(
                    PriceKey(asked["provider_id"], model, None, None),
                    extracted["usage"],
                    (Decimal(asked["input_price"]), Decimal(asked["output_price"]))
                    if "input_price" in asked
                    else None,
                )


def differs(figure: Figure, books: list[PriceBook]) -> bool:
    priced = price_quantities(figure.usage, figure.key, RECORDED_AT, books)
    return (priced[:2] if isinstance(priced, ExactPrice) else None) != figure.expected


def test_every_record_is_priced_to_the_last_decimal(
    records: list[dict[str, Any]], of_the_day: GenaiBook
) -> None:
    asked = list(figures(records))
    assert Counter(figure.expected is None for figure in asked) == {True: 8446, False: 1753}

    not_of_the_day = [figure for figure in asked if differs(figure, [of_the_day])]
    assert Counter(figure.key[:2] for figure in not_of_the_day) == {
        ("google", "gemini-2.5-flash-image"): 3,  # corrected after the table was written
        ("zai", "glm-5.2"): 1,  # a provider added after it
        ("aws", "openai.gpt-5.6-luna"): 3,
    }
    corrected: list[PriceBook] = [parse_overrides(BEDROCK_LUNA), GenaiBook()]
    assert [figure for figure in not_of_the_day if differs(figure, corrected)] == []


def test_what_an_event_can_carry_costs_the_same_in_columns_and_one_by_one(
    records: list[dict[str, Any]], of_the_day: GenaiBook
) -> None:
    asked = [
        figure
        for figure in figures(records)
        if figure.usage.keys() <= EVENT_KEYS.keys() and not differs(figure, [of_the_day])
    ]
    table = RateTable([of_the_day])
    usages = [_usage(figure.usage) for figure in asked]
    costs = price_columns(
        table,
        table.codes([figure.key for figure in asked]),
        np.full(len(asked), RECORDED_AT_US, np.int64),
        UsageColumns(
            *(
                np.array([_or_missing(getattr(usage, field)) for usage in usages], np.int64)
                for field in UsageColumns._fields
            )
        ),
        is_without_output=np.full(len(asked), fill_value=True),
    )
    seen: Counter[str] = Counter()
    for row, (figure, usage) in enumerate(zip(asked, usages, strict=True)):
        one = price_one(
            Call(key=figure.key, timestamp_us=RECORDED_AT_US, usage=usage, is_without_output=True),
            [of_the_day],
        )
        assert (costs.source[row], costs.reason[row]) == (one.source, one.reason)
        assert costs.picodollars[row] == (MISSING if one.picodollars is None else one.picodollars)
        if figure.expected is not None:
            assert one.cost_usd == sum(figure.expected)
            assert one.source == CostSource.CALCULATED
        seen[one.reason.label] += 1
    assert seen == {"": 1514, "unknown_model": 7564, "unknown_provider": 665, "no_model": 185}


def _usage(quantities: dict[str, int]) -> Usage:
    """The recorder left zeros out of the extracted usage; the one body without input tokens says 0."""
    return Usage(**{"input_tokens": 0} | {EVENT_KEYS[name]: count for name, count in quantities.items()})


def _or_missing(count: int | None) -> int:
    return MISSING if count is None else count


def test_recorded_anthropic_bodies_become_inclusive_and_openai_ones_are(
    records: list[dict[str, Any]],
) -> None:
    """Anthropic's `input_tokens` exclude what was read from and written to the cache, OpenAI's do not."""
    seen: Counter[str] = Counter()
    for record in records:
        body = record["body"].get("usage") or {}
        for extracted in record["extracted"]:
            flavors = {(asked["provider_id"], asked["api_flavor"]) for asked in extracted["extractors"]}
            expected = extracted["usage"].get("input_tokens", 0)
            if ("anthropic", "default") in flavors and "cache_read_input_tokens" in body:
                raw = Usage(
                    input_tokens=body["input_tokens"],
                    cache_read=body["cache_read_input_tokens"],
                    cache_write=body.get("cache_creation_input_tokens"),
                )
                assert inclusive(raw).input_tokens == expected
                cached = (raw.cache_read or 0) + (raw.cache_write or 0)
                seen["anthropic, cached" if cached else "anthropic"] += 1
            elif ("openai", "chat") in flavors and "prompt_tokens" in body:
                assert body["prompt_tokens"] == expected
                cached = (body.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
                assert cached <= expected
                seen["openai, cached" if cached else "openai"] += 1
    assert seen["anthropic, cached"] == 6
    assert seen["openai, cached"] >= 1
    assert seen["anthropic"] + seen["openai"] >= 300


def test_mixing_the_two_forms_up_would_be_seen(public_data: Path) -> None:
    """claude-3-5-sonnet-20240620, prompt caching: 4 tokens beside the cached ones, as its API reports them."""
    with gzip.open(public_data / "provider_calls" / "llm_calls_openllmetry.jsonl.gz") as file:
        bodies = [call["response"] for call in map(json.loads, file) if call["host"] == "api.anthropic.com"]
    cached = [
        body
        for body in bodies
        if isinstance(body, dict) and (body.get("usage") or {}).get("cache_read_input_tokens")
    ]
    assert cached
    for body in cached:
        raw = Usage(
            input_tokens=body["usage"]["input_tokens"],
            output_tokens=body["usage"]["output_tokens"],
            cache_read=body["usage"]["cache_read_input_tokens"],
            cache_write=body["usage"]["cache_creation_input_tokens"],
        )
        key = PriceKey("anthropic", body["model"], None, None)
        as_given = price_one(Call(key=key, timestamp_us=RECORDED_AT_US, usage=raw), [GenaiBook()])
        right = price_one(Call(key=key, timestamp_us=RECORDED_AT_US, usage=inclusive(raw)), [GenaiBook()])
        assert as_given.reason == UnpricedReason.INCONSISTENT_USAGE
        assert right.source == CostSource.CALCULATED
