"""A model that answered and has no price: the one that was asked for is taken, and that is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tokentide.stream.pricing import GenaiBook, PriceKey, parse_overrides
from tokentide.stream.pricing.book import PriceBook, Quote
from tokentide.stream.pricing.outcome import PriceNote, UnpricedReason
from tokentide.stream.pricing.resolve import find_offers

AT = datetime(2026, 8, 1, tzinfo=UTC)
DEPLOYMENT = (
    "prices:\n  - {model: my-deployment, from: 2026-01-01, per_million_tokens: {input: '1', output: '1'}}\n"
)


def note(books: list[PriceBook], *, answered: str | None, asked: str) -> PriceNote:
    offers, _ = find_offers(books, PriceKey("openai", answered, asked, None))
    quote = offers[0].quote(AT)
    assert isinstance(quote, Quote)
    return quote.note


def test_the_price_of_the_model_that_was_asked_for_is_an_assumption() -> None:
    assert note([GenaiBook()], answered="no-such-model", asked="gpt-4o") is PriceNote.MODEL_ASSUMED


@pytest.mark.parametrize("answered", [None, "gpt-4o", "gpt-4o-mini"])
def test_nothing_is_assumed_where_the_one_that_answered_has_a_price(answered: str | None) -> None:
    assert note([GenaiBook()], answered=answered, asked="gpt-4o") is PriceNote.NOTHING


def test_nor_where_an_own_price_names_the_deployment_and_a_book_knows_the_model_behind_it() -> None:
    books: list[PriceBook] = [parse_overrides(DEPLOYMENT), GenaiBook()]
    assert note(books, answered="gpt-4o", asked="my-deployment") is PriceNote.NOTHING


def test_an_offer_keeps_its_names_its_changes_and_its_gaps() -> None:
    book = parse_overrides(DEPLOYMENT)
    (plain,), _ = find_offers([book], PriceKey(None, None, "my-deployment", None))
    (assumed,), _ = find_offers([book], PriceKey(None, "no-such-model", "my-deployment", None))
    assert (assumed.book, assumed.provider, assumed.model) == (plain.book, plain.provider, plain.model)
    assert assumed.changes() == plain.changes()
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert assumed.quote(long_ago) is plain.quote(long_ago) is UnpricedReason.BEFORE_FIRST_PRICE
