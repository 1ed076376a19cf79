"""What a price book is to the rest of pricing, and the default one: genai-prices.

Owns: finding a model in the book by the names of an event, and the prices of that model at a moment, with
what had to be assumed. Does not own: arithmetic (`rate.py`, `reference.py`) and the splitting of time into
periods (`periods.py`). Nothing here keeps what it was asked for: genai-prices' own look-up caches grow with
every name ever seen, so they are not used; `table.py` has a bounded one.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib import resources
from importlib.metadata import version as distribution_version
from typing import Final, NamedTuple, Protocol

from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TimeOfDateConstraint,
)

from tokentide.stream.pricing.names import price_context, provider_id, standard_tier
from tokentide.stream.pricing.outcome import PriceNote, UnpricedReason

# Models that genai-prices has but finds only when the provider is named.
_OPENAI_WITHOUT_PROVIDER: Final = ("text-embedding-", "ft:gpt-", "davinci-002", "babbage-002", "chatgpt-4o")
_BEDROCK_REGIONS: Final = ("us.", "eu.", "apac.", "global.", "jp.", "au.", "us-gov.", "arn:aws:bedrock:")


class Quote(NamedTuple):
    """Prices at a moment, and what was assumed to get them."""

    price: ModelPrice
    note: PriceNote


class Changes(NamedTuple):
    """When the prices of an offer may change, in UTC: at the start of days, and at times of every day."""

    days: frozenset[date]
    times: frozenset[time]


class Offer(Protocol):
    """One model's prices in one book, for one service tier."""

    @property
    def book(self) -> str:
        """Version of the book."""
        ...

    @property
    def provider(self) -> str:
        """The book's id of the provider."""
        ...

    @property
    def model(self) -> str:
        """The book's id of the model."""
        ...

    def changes(self) -> Changes:
        """Between these moments `quote` gives one answer."""
        ...

    def quote(self, at: datetime) -> Quote | UnpricedReason:
        """The prices at `at` (UTC-aware), or why there are none then."""
        ...


class PriceBook(Protocol):
    """A source of prices."""

    @property
    def version(self) -> str:
        """Names the source and its content, such as `genai-prices 0.2.3+1f2e3d4`."""
        ...

    def find(self, provider: str | None, model: str, tier: str | None) -> Sequence[Offer] | UnpricedReason:
        """The offers for the names of an event, first choice first, or why there are none."""
        ...


@dataclass(frozen=True, slots=True)
class GenaiOffer:
    """A model of genai-prices, seen from a provider."""

    book: str
    provider: str
    info: ModelInfo
    tier: str | None
    is_own: bool
    """The provider lists the model itself. Tier prices of another provider's list do not carry over."""

    @property
    def model(self) -> str:
        """The id in the book."""
        return self.info.id

    def changes(self) -> Changes:
        """Start dates and times of day of every price and variant."""
        days: set[date] = set()
        times: set[time] = set()
        for constraint in _constraints(self.info):
            if isinstance(constraint, StartDateConstraint):
                days.add(constraint.start_date)
            elif isinstance(constraint, TimeOfDateConstraint):
                times |= {_utc(constraint.start_time), _utc(constraint.end_time)}
        return Changes(frozenset(days), frozenset(times))

    def quote(self, at: datetime) -> Quote:
        """The prices at `at`; the first ones, noted as assumed, when the book has none so old."""
        note = PriceNote.DATE_ASSUMED if _is_before_first(self.info, at) else PriceNote.NOTHING
        if self.tier is None:
            return Quote(self.info.get_prices(at), note)
        context = price_context(self.tier)
        variants = [one for one in self.info.price_variants or () if _fulfils(context, one)]
        if not variants or not self.is_own:
            return Quote(self.info.get_prices(at), note | PriceNote.TIER_ASSUMED)
        if any(one.constraint is None or one.constraint.active(at) for one in variants):
            return Quote(self.info.get_prices(at, context), note)
        return Quote(_overlaid(self.info.get_prices(at), variants), PriceNote.DATE_ASSUMED)


class GenaiBook:
    """The prices of genai-prices, by default those that come with the installed version.

    Prices of the book without a start date count for all time: for most models it knows no history, so an
    event of 2023 is priced as its model is listed now. Overrides with `until` can state what was true then.

    Args:
        providers: the book's content; None takes what the installed genai-prices brings.
        version: a name of the content; needed with `providers`.
    """

    def __init__(self, providers: Sequence[Provider] | None = None, *, version: str | None = None) -> None:
        if providers is None:
            from genai_prices.data import providers as bundled  # noqa: PLC0415  # 0.25 s, 30,000 lines

            providers = bundled
            version = version or bundled_version()
        if version is None:
            raise ValueError("a GenaiBook of given providers needs a version: a name of that content")
        self._providers = list(providers)
        self._by_id = {provider.id: provider for provider in self._providers}
        self.version = version

    def find(self, provider: str | None, model: str, tier: str | None) -> tuple[GenaiOffer] | UnpricedReason:
        """The offer of the named provider, or of the one that the model's name tells.

        With a provider named, the book's own matching decides: neither a provider that it does not have nor
        a name that it does not know there is replaced by a guess.
        """
        if provider is not None:
            named = self._provider(provider)
            if named is None:
                return UnpricedReason.UNKNOWN_PROVIDER
            offer = self._offer(named, model.strip(), tier)
            return (offer,) if offer else UnpricedReason.UNKNOWN_MODEL
        for likely, name in self._likely(model.strip()):
            if offer := self._offer(likely, name, tier):
                return (offer,)
        return UnpricedReason.UNKNOWN_MODEL

    def _provider(self, name: str) -> Provider | None:
        wanted = provider_id(name)
        if found := self._by_id.get(wanted):
            return found
        for provider in self._providers:
            if provider.provider_match is not None and provider.provider_match.is_match(wanted):
                return provider
        return None

    def _likely(self, model: str) -> Iterator[tuple[Provider, str]]:
        """Providers that the model's name tells, with the name to look for there."""
        lowered = model.lower()
        if lowered.startswith(_BEDROCK_REGIONS) and "aws" in self._by_id:
            yield self._by_id["aws"], model
        head, slash, rest = model.partition("/")
        if slash and (named := self._provider(head)):
            yield named, rest
        for provider in self._providers:
            if provider.model_match is not None and provider.model_match.is_match(lowered):
                yield provider, model
        if lowered.startswith(_OPENAI_WITHOUT_PROVIDER) and "openai" in self._by_id:
            yield self._by_id["openai"], model

    def _offer(self, provider: Provider, model: str, tier: str | None) -> GenaiOffer | None:
        info = provider.find_model(model, all_providers=self._providers)
        if info is None:
            return None
        is_own = any(info is own for own in provider.models)
        return GenaiOffer(self.version, provider.id, info, standard_tier(tier), is_own)


def is_free(price: ModelPrice) -> bool:
    """The book lists no price at all: how it lists free models (`…:free`, moderation)."""
    return all(value is None for value in vars(price).values())


def bundled_version() -> str:
    """`genai-prices 0.2.3+1f2e3d4`: the distribution's version and the start of its data's SHA-256."""
    data = (resources.files("genai_prices") / "data.py").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return f"genai-prices {distribution_version('genai-prices')}+{digest[:7]}"


def _constraints(info: ModelInfo) -> Iterator[StartDateConstraint | TimeOfDateConstraint | None]:
    if not isinstance(info.prices, ModelPrice):
        yield from (one.constraint for one in info.prices)
    yield from (one.constraint for one in info.price_variants or ())


def _is_before_first(info: ModelInfo, at: datetime) -> bool:
    """No price of the list is in force at `at`; genai-prices then takes the first of the list."""
    if isinstance(info.prices, ModelPrice):
        return False
    conditional: Sequence[ConditionalPrice] = info.prices
    return not any(one.constraint is None or one.constraint.active(at) for one in conditional)


def _fulfils(context: dict[str, str], variant: PriceVariant) -> bool:
    return all(context.get(key) == value for key, value in variant.when.items())


def _overlaid(standard: ModelPrice, variants: Sequence[PriceVariant]) -> ModelPrice:
    """The standard prices with those of the variant that started first."""

    def started(variant: PriceVariant) -> date:
        constraint = variant.constraint
        return constraint.start_date if isinstance(constraint, StartDateConstraint) else date.min

    overlaid = copy.copy(standard)
    first = min(variants, key=started)
    overlaid.__dict__.update({key: price for key, price in vars(first.prices).items() if price is not None})
    return overlaid


def _utc(moment: time) -> time:
    """A time of day of the book in UTC, naive; the book's own are UTC already or have an offset."""
    if moment.tzinfo is None:
        return moment
    shifted = datetime.combine(date(2000, 1, 2), moment).astimezone(UTC)
    return shifted.time()
