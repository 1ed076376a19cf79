"""Price overrides say what a user means, and a mistake in them is found with its line."""

from __future__ import annotations

import textwrap
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tokentide.stream.pricing import (
    Call,
    CostSource,
    GenaiBook,
    PriceFileError,
    PriceKey,
    UnpricedReason,
    Usage,
    overrides,
    parse_overrides,
    price_one,
)

TEN_AND_TEN = Usage(input_tokens=10, output_tokens=10)


def entry(text: str) -> str:
    return "prices:\n" + textwrap.indent(textwrap.dedent(text).strip(), "  ")


def cost(text: str, key: PriceKey, when: str = "2026-03-01", usage: Usage = TEN_AND_TEN) -> Decimal | None:
    at_us = int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()) * 1_000_000
    return price_one(
        Call(key=key, timestamp_us=at_us, usage=usage), [parse_overrides(text), GenaiBook()]
    ).cost_usd


def mistakes(text: str) -> list[str]:
    with pytest.raises(PriceFileError) as caught:
        parse_overrides(text, source="mine.yaml")
    return str(caught.value).splitlines()


def test_the_sample_in_the_documentation_is_a_valid_file() -> None:
    documentation = overrides.__doc__ or ""
    start = documentation.index("    prices:")
    sample = textwrap.dedent(documentation[start : documentation.index("\nThe first entry")])
    book = parse_overrides(sample)
    assert [one.model for one in book.entries] == ["gpt-4o-*", "gpt-4o-*", "prod-chat", "llama-3-*"]
    first, _, named, hosted = book.entries
    assert (first.first_day, first.end_day) == (date(2026, 1, 1), date(2026, 7, 1))
    assert first.above == {200_000: {"input": Decimal("4.00"), "output": Decimal("12.00")}}
    assert (named.name, named.per_call) == ("gpt-4-ptu", Decimal("0.0004"))
    assert hosted.per_million is None


def test_an_override_goes_before_the_book_and_only_where_it_fits() -> None:
    mine = entry(
        """
        - provider: openai
          model: gpt-4o-2024-*
          from: 2026-01-01
          until: 2026-07-01
          per_million_tokens: {input: "1", output: "1"}
        """
    )
    dated = PriceKey("openai", "gpt-4o-2024-08-06", None, None)
    mine_cost, book_cost = Decimal("0.00002"), Decimal("0.000125")
    assert cost(mine, dated) == mine_cost
    assert cost(mine, dated, "2025-12-31T23:59:59") == book_cost
    assert cost(mine, dated, "2026-01-01T00:00:00") == mine_cost
    assert cost(mine, dated, "2026-07-01T00:00:00") == book_cost
    assert cost(mine, PriceKey("azure.ai.openai", "gpt-4o-2024-08-06", None, None)) == book_cost
    assert cost(mine, PriceKey(None, "gpt-4o-2024-08-06", None, None)) == book_cost
    assert cost(mine, PriceKey("openai", "gpt-4o", None, None)) == book_cost
    assert cost(mine, PriceKey("OpenAI", "GPT-4o-2024-08-06", None, None)) == mine_cost


def test_an_override_for_the_requested_name_beats_the_book_for_the_answering_one() -> None:
    mine = entry(
        '- {model: our-deployment, name: ptu, per_million_tokens: {input: "0", output: "0"}, per_call: "0.0004"}'
    )
    key = PriceKey("azure", "gpt-4o-2024-08-06", "our-deployment", None)
    call = Call(key=key, timestamp_us=0, usage=TEN_AND_TEN)
    priced = price_one(call, [parse_overrides(mine), GenaiBook()])
    assert (priced.cost_usd, priced.model, priced.provider) == (Decimal("0.0004"), "ptu", "azure")
    assert priced.book is not None
    assert priced.book.startswith("overrides ")


def test_the_first_entry_that_fits_wins() -> None:
    both = entry(
        """
        - {model: a*, per_million_tokens: {input: "1", output: "0"}}
        - {model: "*", per_million_tokens: {input: "2", output: "0"}}
        """
    )
    assert cost(both, PriceKey(None, "abc", None, None)) == Decimal("0.00001")
    assert cost(both, PriceKey(None, "xyz", None, None)) == Decimal("0.00002")


def test_an_entry_may_be_for_one_service_tier() -> None:
    tiers = entry(
        """
        - {model: m, service_tier: batch, per_million_tokens: {input: "1", output: "0"}}
        - {model: m, service_tier: standard, per_million_tokens: {input: "2", output: "0"}}
        - {model: m, per_million_tokens: {input: "3", output: "0"}}
        """
    )
    costs = {
        tier: cost(tiers, PriceKey(None, "m", None, tier)) for tier in ("batch", None, "default", "flex")
    }
    assert costs == {
        "batch": Decimal("0.00001"),
        None: Decimal("0.00002"),
        "default": Decimal("0.00002"),
        "flex": Decimal("0.00003"),
    }


def test_a_self_hosted_model_costs_nothing_by_the_token() -> None:
    hosted = entry("- {provider: vllm, model: llama-*, infra: true}")
    call = Call(key=PriceKey("vLLM", "llama-3-70b", None, None), timestamp_us=0, usage=TEN_AND_TEN)
    priced = price_one(call, [parse_overrides(hosted), GenaiBook()])
    assert (priced.cost_usd, priced.source) == (Decimal("0E-12"), CostSource.CALCULATED)


def test_only_the_star_is_special_in_a_model_pattern() -> None:
    odd = entry('- {model: "m[1]?", per_million_tokens: {input: "1", output: "1"}}')
    call = Call(key=PriceKey("x", "m1x", None, None), timestamp_us=0, usage=TEN_AND_TEN)
    assert price_one(call, [parse_overrides(odd)]).reason == UnpricedReason.UNKNOWN_MODEL
    assert cost(odd, PriceKey("x", "m[1]?", None, None)) == Decimal("0.00002")


def test_a_price_is_the_decimal_that_was_written_with_or_without_quotes() -> None:
    for written in ("0.1", '"0.1"', "0.10", "0.100000000000000000"):
        text = entry(f"- {{model: m, per_million_tokens: {{input: {written}, output: 0}}}}")
        price = parse_overrides(text).entries[0].per_million
        assert price is not None
        assert price["input"] == Decimal("0.1")


def test_the_version_follows_the_text() -> None:
    one, two = entry("- {model: m, infra: true}"), entry("- {model: n, infra: true}")
    assert parse_overrides(one).version == parse_overrides(one).version != parse_overrides(two).version
    assert parse_overrides(one).version.startswith("overrides ")


@pytest.mark.parametrize("empty", ["", "# nothing yet\n", "prices: []", "{}"])
def test_a_file_may_be_empty(empty: str) -> None:
    assert parse_overrides(empty).entries == ()


def test_every_mistake_is_named_with_its_line() -> None:
    found = mistakes(
        textwrap.dedent(
            """\
            prices:
              - model: a
                per_milion_tokens: {input: "1"}
              - provider: openai
                per_million_tokens:
                  input: "two"
                  output: -1
                  cache_writes: "1"
              - model: b
                from: 2026-13-01
                per_million_tokens: {output: "1", cache_write_1h: "1"}
              - model: c
                from: 2026-05-01
                until: 2026-05-01
                per_million_tokens: {input: "1", output: "1"}
                above_input_tokens: {many: {input: "1"}, 200000: {cache_read: "1"}}
            """
        )
    )
    assert [line.split(": ", 2)[:2] for line in found] == [
        ["mine.yaml:2:5", "prices[0]"],
        ["mine.yaml:3:5", "prices[0]"],
        ["mine.yaml:4:5", "prices[1]"],
        ["mine.yaml:6:14", "prices[1].per_million_tokens.input"],
        ["mine.yaml:7:15", "prices[1].per_million_tokens.output"],
        ["mine.yaml:8:7", "prices[1].per_million_tokens"],
        ["mine.yaml:10:11", "prices[2].from"],
        ["mine.yaml:11:25", "prices[2].per_million_tokens"],
        ["mine.yaml:11:25", "prices[2].per_million_tokens"],
        ["mine.yaml:14:12", "prices[3].until"],
        ["mine.yaml:16:26", "prices[3].above_input_tokens"],
        ["mine.yaml:16:54", "prices[3].above_input_tokens.200000"],
    ]
    assert "did you mean `per_million_tokens`?" in found[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prices: {a: b}", "must be a list of entries"),
        ("- model: a", "must be a mapping of prices"),
        ("price: []", "did you mean `prices`?"),
        ("prices: [3]", "must be a mapping of provider"),
        ("prices: [{model: a}]", "needs `per_million_tokens`"),
        ("prices: [{model: '', infra: true}]", "must be a text"),
        ("prices: [{model: [a], infra: true}]", "must be a text"),
        ("prices: [{model: a, model: b, infra: true}]", "stands here twice"),
        ("prices: [{model: a, infra: yes}]", "must be true or false"),
        (
            "prices: [{model: a, infra: true, per_million_tokens: {input: 1}}]",
            "does not go with `infra: true`",
        ),
        ("prices: [{model: a, per_million_tokens: {input: 1e3}}]", 'such as "2.50"'),
        ("prices: [{model: a, per_million_tokens: {input: 1000001}}]", "at most 1,000,000"),
        ("prices: [{model: a, per_million_tokens: {input: .5}}]", 'such as "2.50"'),
        ("prices: [{model: a, per_million_tokens: {input: 0x10}}]", 'such as "2.50"'),
        ("prices: [{model: a, per_million_tokens: {input: 1, reasoning: 1}}]", "needs a price for `output`"),
        ("prices: [{model: a, per_million_tokens: {output: 1}}]", "needs `input`"),
        ("prices: [{model: a, per_million_tokens: [1]}]", "must be a mapping of input"),
        ("prices: [{[a]: b}]", "a key is a plain word"),
        ("prices: [", "YAML"),
        ("prices: \t- a", "YAML"),
        ("a: \x00", "YAML"),
    ],
)
def test_what_is_wrong_comes_with_what_to_write(text: str, says: str) -> None:
    assert any(says in line for line in mistakes(text)), mistakes(text)
