"""What pricing a call comes to: a cost and its source, or a reason why there is none.

The numbers of the enums are what the columnar path writes (uint8); `label` is what SQL shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum, IntFlag

from tokentide.stream.pricing.money import to_usd


class _Labelled(IntEnum):
    @property
    def label(self) -> str:
        """The name in lower case, as in SQL."""
        return self.name.lower()


class CostSource(_Labelled):
    """Where a cost comes from."""

    UNPRICED = 0
    """Nowhere: the cost is unknown and a reason says why. Shown as the empty string."""
    REPORTED = 1
    """The provider's own figure."""
    CALCULATED = 2
    """Reported or exactly counted tokens times a price of the book."""
    ESTIMATED = 3
    """As calculated, but from estimated tokens."""
    RESPONSE_CACHE = 4
    """The answer came from the application's cache: no call, no cost."""

    @property
    def label(self) -> str:
        """The name in lower case, empty for an unpriced call."""
        return self.name.lower() if self else ""


class UnpricedReason(_Labelled):
    """Why a call has no cost. `NONE` where it has one."""

    NONE = 0
    NO_MODEL = 1
    """The event names no model."""
    UNKNOWN_PROVIDER = 2
    """The event names a provider that no price book knows: a self-hosted model, say. Prices of other
    providers for the same model would be a guess."""
    UNKNOWN_MODEL = 3
    """No price book has the model at this provider."""
    NO_USAGE = 4
    """Input or output tokens are missing where the model charges for them."""
    NO_PRICE_FOR_USAGE = 5
    """The book has the model, but no price for a kind of token that was used (it charges by the minute or
    the image, say)."""
    INCONSISTENT_USAGE = 6
    """A part is larger than its whole. Refused upstream; if one comes through, it is not priced."""
    OUT_OF_RANGE = 7
    """The cost does not fit `Decimal64(12)`."""
    BEFORE_FIRST_PRICE = 8
    """Only an override has the model, and its first price starts later."""
    AFTER_LAST_PRICE = 9
    """Only an override has the model, and its last price has ended, or there is a gap."""

    @property
    def label(self) -> str:
        """The name in lower case, empty for a priced call."""
        return self.name.lower() if self else ""


class PriceNote(IntFlag):
    """What had to be assumed for a price; 0 when nothing."""

    NOTHING = 0
    DATE_ASSUMED = 1
    """The event is older than the first known price of the kind; that first price was taken."""
    TIER_ASSUMED = 2
    """The service tier has no price of its own for this model; the standard price was taken."""
    MODEL_ASSUMED = 4
    """No book has the model that answered; the price of the one that was asked for was taken."""


@dataclass(frozen=True, slots=True)
class PricedCall:
    """The cost of one call.

    Attributes:
        picodollars: the cost, or None when unpriced.
        source: where it comes from.
        reason: why there is none.
        note: what was assumed.
        model: the priced model's id in the book; when unpriced, the response or request model as given.
        provider: the book's provider id; None when no price of a book was used.
        book: version of the price book; None likewise.
    """

    picodollars: int | None
    source: CostSource
    reason: UnpricedReason
    note: PriceNote
    model: str | None
    provider: str | None
    book: str | None

    @property
    def cost_usd(self) -> Decimal | None:
        """The cost in USD with 12 decimals."""
        return None if self.picodollars is None else to_usd(self.picodollars)
