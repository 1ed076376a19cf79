"""From the names in an event to the offers of the price books, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tokentide.stream.pricing.book import Offer, PriceBook
from tokentide.stream.pricing.outcome import UnpricedReason


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
    reason = UnpricedReason.UNKNOWN_MODEL
    for book in books:
        for model in dict.fromkeys(models):
            found = book.find(provider, model, key.service_tier)
            if isinstance(found, UnpricedReason):
                reason = found
            else:
                offers.extend(found)
    return offers, reason
