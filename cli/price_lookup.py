"""One question to the price books: what does this model cost, then and there? Needs the extra [stream]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final

from tokentide.cli.exits import UsageError
from tokentide.cli.terminal import counted
from tokentide.stream.pricing import (
    Call,
    GenaiBook,
    OverrideBook,
    PriceBook,
    PricedCall,
    PriceFileError,
    PriceKey,
    PriceNote,
    Rate,
    UnpricedReason,
    Usage,
    parse_overrides,
    price_one,
)
from tokentide.stream.pricing.periods import Schedule, schedule
from tokentide.stream.pricing.rate import Band
from tokentide.stream.pricing.resolve import find_offers

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
KIND_NAMES: Final = ("input", "cache read", "cache write", "cache write 1 h", "output", "reasoning")
NOTES: Final = {
    PriceNote.DATE_ASSUMED: "the date is before the first known price, which was taken",
    PriceNote.TIER_ASSUMED: "the service tier has no price of its own; the standard price was taken",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked."""

    key: PriceKey
    at: datetime
    usage: Usage | None = None
    """Tokens of a call to price; None: only the prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Prices at the moment asked for, and the cost of the call where one was given."""

    rate: Rate | UnpricedReason
    cost: PricedCall | None
    changes: tuple[datetime, ...]
    """Days on which the prices asked for change, in order; past ones, too."""


def load_overrides(path: Path) -> OverrideBook:
    """The user's own prices.

    Raises:
        UsageError: the file cannot be read.
        PriceFileError: it has mistakes; names every one with its line.
    """
    try:
        return parse_overrides(path.read_text(encoding="utf-8"), source=str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error


def price_books(overrides: Path | None) -> list[PriceBook]:
    """The books in the order in which they are asked, as a worker has them.

    Raises:
        UsageError: the overrides cannot be read or have mistakes.
    """
    if overrides is None:
        return [GenaiBook()]
    try:
        return [load_overrides(overrides), GenaiBook()]
    except PriceFileError as error:
        raise UsageError(
            f"the price overrides have {counted(len(error.problems), 'mistake')}", hint=str(error)
        ) from error


def ask(question: Question, books: Sequence[PriceBook]) -> Answer:
    """Look the model up as a worker would."""
    offers, reason = find_offers(books, question.key)
    found = schedule(offers, reason)
    timestamp_us = (question.at - _EPOCH) // _MICROSECOND
    cost = None
    if question.usage is not None:
        cost = price_one(Call(key=question.key, timestamp_us=timestamp_us, usage=question.usage), books)
    return Answer(rate=found.at(timestamp_us), cost=cost, changes=tuple(_changes(found)))


def _changes(found: Schedule) -> Iterator[datetime]:
    """Starts of days with other prices than the day before; books name days for every tier and entry of a model."""
    prices = [[cell.bands if isinstance(cell, Rate) else cell for cell in day] for day in found.cells]
    for day_us, (before, after) in zip(found.days_us, pairwise(prices), strict=True):
        if before != after:
            yield _EPOCH + timedelta(microseconds=day_us)


def per_million(band: Band) -> Iterator[tuple[str, Decimal]]:
    """What each kind of token costs, in USD per million; kinds that cost the same as their whole included."""
    for name, price in zip(KIND_NAMES, band.prices, strict=True):
        if price is not None:
            yield name, plain(Decimal(price).scaleb(-18))


def per_call(band: Band) -> Decimal | None:
    """A fixed charge for each call, in USD."""
    return plain(Decimal(band.per_call).scaleb(-24)) if band.per_call else None


def plain(amount: Decimal) -> Decimal:
    """Without zeros at the end and without an exponent."""
    amount = amount.normalize()
    return amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount


def notes_of(note: PriceNote) -> list[str]:
    """What was assumed, in words."""
    return [text for flag, text in NOTES.items() if flag in note]


def similar_models(model: str, *, limit: int = 5) -> list[str]:
    """Models of the book with similar names, as `provider model`."""
    import difflib  # noqa: PLC0415 - only for a name that was not found

    from genai_prices.data import providers  # noqa: PLC0415 - 30,000 lines

    names = {
        info.id.lower(): f"{provider.id} {info.id}" for provider in providers for info in provider.models
    }
    return [names[one] for one in difflib.get_close_matches(model.lower(), names, n=limit, cutoff=0.6)]
