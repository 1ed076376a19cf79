"""The price book finds models under the names that events use, and says when it had to assume something."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TimeOfDateConstraint,
)

from tokentide.stream.pricing import Call, GenaiBook, PriceKey, PriceNote, UnpricedReason, Usage, price_one
from tokentide.stream.pricing.book import Changes, GenaiOffer
from tokentide.stream.pricing.names import provider_id, standard_tier
from tokentide.stream.pricing.periods import DAY_US, schedule
from tokentide.stream.pricing.rate import Rate

BOOK = GenaiBook()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TEN_AND_TEN = Usage(input_tokens=10, output_tokens=10)


def offer(provider: str | None, model: str, tier: str | None = None) -> GenaiOffer:
    found = BOOK.find(provider, model, tier)
    assert not isinstance(found, UnpricedReason)
    return found[0]


def price(**per_million: str) -> ModelPrice:
    return ModelPrice(**{f"{kind}_mtok": Decimal(usd) for kind, usd in per_million.items()})


def book_of(info: ModelInfo) -> GenaiBook:
    provider = Provider(id="house", name="House", api_pattern="x", models=[info])
    return GenaiBook([provider], version="house 1")


def model(
    prices: ModelPrice | list[ConditionalPrice], variants: list[PriceVariant] | None = None
) -> ModelInfo:
    return ModelInfo(id="m", match=ClauseEquals("m"), prices=prices, price_variants=variants)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("name", "book_id"),
    [
        ("openai", "openai"),
        ("OpenAI ", "openai"),
        ("azure.ai.openai", "azure"),
        ("az.ai.openai", "azure"),
        ("azure.ai.inference", "azure"),
        ("azure_openai", "azure"),
        ("aws.bedrock", "aws"),
        ("amazon_bedrock", "aws"),
        ("gcp.vertex_ai", "google"),
        ("gcp.gemini", "google"),
        ("gcp.gen_ai", "google"),
        ("google_vertexai", "google"),
        ("mistral_ai", "mistral"),
        ("x_ai", "x-ai"),
        ("xai", "x-ai"),
        ("anthropic", "anthropic"),
        ("cohere", "cohere"),
        ("deepseek", "deepseek"),
        ("groq", "groq"),
        ("perplexity", "perplexity"),
        ("together_ai", "together"),
        ("fireworks_ai", "fireworks"),
        ("moonshot_ai", "moonshotai"),
        ("voyageai", "voyageai"),
    ],
)
def test_a_provider_is_found_under_the_names_of_events(name: str, book_id: str) -> None:
    found = BOOK._provider(name)
    assert found is not None
    assert found.id == book_id


def test_every_alias_leads_to_a_provider_of_the_book() -> None:
    known = {provider.id for provider in providers}
    from tokentide.stream.pricing.names import _PROVIDERS  # noqa: PLC0415

    assert set(_PROVIDERS.values()) <= known
    assert provider_id("Something Else") == "something else"


@pytest.mark.parametrize(
    ("provider", "name", "found"),
    [
        (None, "gpt-4o-2024-08-06", ("openai", "gpt-4o")),
        (None, "gpt-35-turbo", ("openai", "gpt-3.5-turbo")),
        (None, "openai/gpt-4o", ("openai", "gpt-4o")),
        (None, "azure/gpt-4o", ("azure", "gpt-4o")),
        (None, "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        (None, "text-embedding-3-small", ("openai", "text-embedding-3-small")),
        (None, "ft:gpt-4o-mini-2024-07-18:acme::x", ("openai", "ft:gpt-4o-mini")),
        (None, "claude-3-5-haiku-20241022", ("anthropic", "claude-3-5-haiku-latest")),
        (None, "anthropic/claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        (None, "gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        (
            None,
            "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
            ("aws", "regional.anthropic.claude-3-7-sonnet-20250219-v1:0"),
        ),
        (
            "aws.bedrock",
            "anthropic.claude-3-haiku-20240307-v1:0",
            ("aws", "regional.anthropic.claude-3-haiku-20240307-v1:0"),
        ),
        ("azure.ai.openai", "gpt-35-turbo", ("azure", "gpt-3.5-turbo")),
        ("openai", " gpt-4 ", ("openai", "gpt-4")),
    ],
)
def test_a_model_is_found_under_the_names_of_events(
    provider: str | None, name: str, found: tuple[str, str]
) -> None:
    it = offer(provider, name)
    assert (it.provider, it.model) == found


@pytest.mark.parametrize(
    ("provider", "name", "reason"),
    [
        ("vllm", "gpt-4o", UnpricedReason.UNKNOWN_PROVIDER),
        ("local", "llama3", UnpricedReason.UNKNOWN_PROVIDER),
        ("openai", "claude-sonnet-4-5", UnpricedReason.UNKNOWN_MODEL),
        (None, "our-own-model", UnpricedReason.UNKNOWN_MODEL),
        (None, "nowhere/gpt-nothing", UnpricedReason.UNKNOWN_MODEL),
    ],
)
def test_what_the_book_does_not_have_is_not_guessed(
    provider: str | None, name: str, reason: UnpricedReason
) -> None:
    assert BOOK.find(provider, name, None) is reason


def test_the_version_names_the_release_and_its_data() -> None:
    assert BOOK.version.startswith("genai-prices 0.")
    assert len(BOOK.version.partition("+")[2]) == 7
    with pytest.raises(ValueError, match="needs a version"):
        GenaiBook([])


def test_looking_up_does_not_fill_the_librarys_own_memory() -> None:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    snapshot = get_snapshot()
    before = len(snapshot._lookup_cache), len(snapshot._provider_misses)
    for number in range(5):
        BOOK.find(None, f"made-up-{number}", None)
        BOOK.find("openai", f"gpt-4o-{number}", None)
    assert (len(snapshot._lookup_cache), len(snapshot._provider_misses)) == before


@pytest.mark.parametrize("tier", [None, "", "auto", "default", "Standard", "on_demand"])
def test_every_name_of_the_standard_tier_is_the_standard_price(tier: str | None) -> None:
    assert standard_tier(tier) is None
    assert offer("openai", "gpt-5", tier).quote(NOW) == offer("openai", "gpt-5").quote(NOW)


def test_a_tier_has_its_price() -> None:
    assert offer("openai", "gpt-5", "flex").quote(NOW).price.input_mtok == Decimal("0.625")
    assert offer("openai", "gpt-5", "Priority").quote(NOW).price.input_mtok == Decimal("2.5")
    assert offer("openai", "gpt-4", "batch").quote(NOW).price.input_mtok == Decimal(15)
    assert offer("openai", "gpt-4", "batch").quote(NOW).note == PriceNote.NOTHING


def test_a_tier_without_a_price_is_priced_as_standard_and_says_so() -> None:
    quote = offer("openai", "gpt-4", "scale").quote(NOW)
    assert (quote.price.input_mtok, quote.note) == (Decimal(30), PriceNote.TIER_ASSUMED)


def test_a_tier_price_of_another_providers_list_does_not_carry_over() -> None:
    azure = offer("azure", "gpt-4", "batch")
    assert not azure.is_own
    assert azure.quote(NOW).note == PriceNote.TIER_ASSUMED
    assert azure.quote(NOW).price.input_mtok == Decimal(30)


def test_an_event_older_than_a_tiers_first_price_takes_that_and_says_so() -> None:
    quote = offer("openai", "gpt-4", "batch").quote(datetime(2025, 3, 1, tzinfo=UTC))
    assert (quote.price.input_mtok, quote.note) == (Decimal(15), PriceNote.DATE_ASSUMED)


def test_of_several_later_tier_prices_the_earliest_is_taken() -> None:
    variants = [
        PriceVariant({"processing": "batch"}, price(input=usd), StartDateConstraint(date(year, 1, 1)))
        for year, usd in ((2027, "3"), (2026, "2"), (2028, "4"))
    ]
    book = book_of(model(price(input="5", output="6"), variants))
    found = book.find("house", "m", "batch")
    assert not isinstance(found, UnpricedReason)
    quote = found[0].quote(datetime(2025, 6, 1, tzinfo=UTC))
    assert (quote.price.input_mtok, quote.price.output_mtok) == (Decimal(2), Decimal(6))
    assert quote.note == PriceNote.DATE_ASSUMED


def test_an_event_older_than_every_price_takes_the_first_and_says_so() -> None:
    dated = [
        ConditionalPrice(StartDateConstraint(date(2025, 1, 1)), prices=price(input="1", output="1")),
        ConditionalPrice(StartDateConstraint(date(2026, 1, 1)), prices=price(input="2", output="2")),
    ]
    book = book_of(model(dated))
    key = PriceKey("house", "m", None, None)
    costs = {
        day: price_one(Call(key=key, timestamp_us=at(day), usage=TEN_AND_TEN), [book])
        for day in ("2023-11-16", "2025-01-01", "2025-12-31T23:59:59", "2026-01-01")
    }
    assert [cost.picodollars for cost in costs.values()] == [20_000_000, 20_000_000, 20_000_000, 40_000_000]
    assert [cost.note for cost in costs.values()] == [PriceNote.DATE_ASSUMED] + [PriceNote.NOTHING] * 3


def test_a_price_without_a_date_counts_for_all_time() -> None:
    """BurstGPT's ids in November 2022: the book knows one price, without a history."""
    for name, cost in (("gpt-3.5-turbo", 20_000_000), ("gpt-4", 900_000_000)):
        call = Call(key=PriceKey(None, name, None, None), timestamp_us=at("2022-11-01"), usage=TEN_AND_TEN)
        priced = price_one(call, [BOOK])
        assert (priced.picodollars, priced.note, priced.model) == (cost, PriceNote.NOTHING, name)


def test_night_rates_hold_by_the_utc_time_of_the_event() -> None:
    key = PriceKey("deepseek", "deepseek-chat", None, None)
    costs = [
        price_one(
            Call(key=key, timestamp_us=at(f"2026-11-20T{clock}"), usage=TEN_AND_TEN), [BOOK]
        ).picodollars
        for clock in ("00:29:59.999999", "00:30:00", "16:29:59.999999", "16:30:00")
    ]
    night, day = 10 * (135_000 + 550_000), 10 * (270_000 + 1_100_000)
    assert costs == [night, day, day, night]


def test_a_schedule_changes_at_days_and_at_times_of_the_day() -> None:
    tokyo = timezone(timedelta(hours=9))
    prices = [
        ConditionalPrice(prices=price(input="1", output="1")),
        ConditionalPrice(
            TimeOfDateConstraint(time(8, tzinfo=tokyo), time(2)), prices=price(input="2", output="2")
        ),
        ConditionalPrice(StartDateConstraint(date(2026, 5, 1)), prices=price(input="3", output="3")),
    ]
    info = model(prices)
    it = GenaiOffer("house 1", "house", info, None, is_own=True)
    assert it.changes() == Changes(frozenset({date(2026, 5, 1)}), frozenset({time(23), time(2)}))
    found = schedule([it], UnpricedReason.UNKNOWN_MODEL)
    assert (len(found.days_us), len(found.times_us)) == (1, 2)
    for moment in (
        "2026-04-30T01:59:59",
        "2026-04-30T02:00:00",
        "2026-04-30T22:59:59",
        "2026-04-30T23:00:00",
        "2026-05-01T00:00:00",
        "1999-01-01T12:00:00",
    ):
        timestamp_us = at(moment)
        cell = found.at(timestamp_us)
        assert isinstance(cell, Rate)
        expected = it.quote(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=timestamp_us))
        assert cell.bands[0].prices[0] == int(expected.price.input_mtok * 10**18)  # type: ignore[operator]
    assert found.at(-DAY_US) == found.at(-3 * DAY_US)


def test_the_schedule_of_nothing_is_its_reason() -> None:
    assert schedule([], UnpricedReason.NO_MODEL).at(0) is UnpricedReason.NO_MODEL


def test_the_answering_model_is_priced_before_the_requested_one() -> None:
    both = PriceKey("openai", "gpt-4o-mini-2024-07-18", "gpt-4", None)
    only_requested = PriceKey("azure", "unlisted-deployment", "gpt-4", None)
    calls = [
        Call(key=key, timestamp_us=at("2026-11-20"), usage=TEN_AND_TEN) for key in (both, only_requested)
    ]
    assert [price_one(call, [BOOK]).model for call in calls] == ["gpt-4o-mini", "gpt-4"]


def test_an_unpriced_call_keeps_the_model_it_names() -> None:
    unknown = PriceKey(None, "house-llm", "house-llm-latest", None)
    priced = price_one(Call(key=unknown, timestamp_us=0, usage=TEN_AND_TEN), [BOOK])
    assert (priced.model, priced.cost_usd, priced.book) == ("house-llm", None, None)
    for empty in (None, "", "  "):
        nameless = price_one(
            Call(key=PriceKey("openai", empty, None, None), timestamp_us=0, usage=TEN_AND_TEN), [BOOK]
        )
        assert nameless.reason == UnpricedReason.NO_MODEL
