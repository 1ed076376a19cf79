"""From the names in an event to the offers of the price books, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from tokentide.stream.pricing.book import Changes, Offer, PriceBook, Quote
from tokentide.stream.pricing.outcome import PriceNote, UnpricedReason


class PriceKey(NamedTuple):
    """What of an event decides its prices, beside the time. None where the event does not say."""

    provider: str | None
    response_model: str | None
    request_model: str | None
    service_tier: str | None

    @property
    def reported_model(self) -> str | None:
        """The model to show where none is priced."""
        return self.response_model or self.request_model


def find_offers(books: Sequence[PriceBook], key: PriceKey) -> tuple[list[Offer], UnpricedReason]:
    """The offers for a key, first choice first, and the reason if there are none.

    Books are asked in their order, so that an override for the requested name (a deployment, say) beats the
    default price of the name that answered; within a book the response's model comes before the request's.
    """
    models = [name for name in (key.response_model, key.request_model) if name and name.strip()]
    if not models:
        return [], UnpricedReason.NO_MODEL
    provider = key.provider if key.provider and key.provider.strip() else None
    offers: list[Offer] = []
    has_answered_model = False
    reason = UnpricedReason.UNKNOWN_MODEL
    for book in books:
        for model in dict.fromkeys(models):
            found = book.find(provider, model, key.service_tier)
            if isinstance(found, UnpricedReason):
                reason = found
            else:
                offers.extend(found)
                has_answered_model |= model == models[0]
    return offers if has_answered_model else [_ModelAssumed(offer) for offer in offers], reason


class _ModelAssumed:
    """An offer for the model that was asked for, where no book has the one that answered."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self.book = offer.book
        self.provider = offer.provider
        self.model = offer.model

    def changes(self) -> Changes:
        return self._offer.changes()

    def quote(self, at: datetime) -> Quote | UnpricedReason:
        quote = self._offer.quote(at)
        if isinstance(quote, UnpricedReason):
            return quote
        return quote._replace(note=quote.note | PriceNote.MODEL_ASSUMED)
