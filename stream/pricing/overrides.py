"""The user's own prices, which go before the default book.

A YAML file states them; `parse_overrides` reads it and says for every mistake on which line it is and what
to write instead. A file to start from:

    prices:
      # A price agreed with the provider, for one half-year. Outside of it the next entry or book counts.
      - provider: openai                 # as events name it; without it, any provider
        model: gpt-4o-*                  # `*` stands for anything; case does not matter
        from: 2026-01-01                 # first day, UTC
        until: 2026-07-01                # first day on which it no longer holds
        per_million_tokens:              # USD, exact decimals
          input: "2.00"
          output: "8.00"
          cache_read: "1.00"
          cache_write: "2.50"
          cache_write_1h: "4.00"
          reasoning: "8.00"              # what is left out is charged as its whole: reasoning as output
        above_input_tokens:              # dearer long prompts; the whole call pays the higher price
          200000: {input: "4.00", output: "12.00"}
      # Another price for the same model in batches.
      - model: gpt-4o-*
        service_tier: batch              # without it, every tier
        per_million_tokens: {input: "1.00", output: "4.00"}
      # A deployment name, shown as `gpt-4-ptu`, with a charge per call.
      - provider: azure
        model: prod-chat
        name: gpt-4-ptu
        per_million_tokens: {input: "0", output: "0"}
        per_call: "0.0004"
      # Self-hosted: its cost is the host's (`infra_cost_usd` of the event), tokens cost nothing.
      - provider: vllm
        model: llama-3-*
        infra: true

The first entry that fits an event's names, tier and time wins. Does not own: reading the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import translate
from functools import cached_property

from genai_prices.types import ModelPrice, Tier, TieredPrices

from tokentide.stream.pricing.book import Changes, Quote
from tokentide.stream.pricing.names import provider_id, standard_tier
from tokentide.stream.pricing.outcome import PriceNote, UnpricedReason

STANDARD = "standard"
"""What `service_tier` of an entry says to mean only the standard tier."""

_PRICE_KEYS: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
}
"""Kinds of token in the file, and the price keys of genai-prices."""

TOKEN_KINDS = tuple(_PRICE_KEYS)


@dataclass(frozen=True)
class Override:
    """One entry of the file.

    Attributes:
        model: pattern of model names, `*` for anything.
        provider: the provider it is for; None is any, also none named.
        name: the model to show; None shows the event's.
        first_day: first day (UTC) it holds; None is always.
        end_day: first day it no longer holds; None is never.
        service_tier: the tier it is for; None is any, `standard` the one without a name.
        per_million: USD per million tokens by kind; empty for `infra`.
        above: the same for prompts of more tokens than the key.
        per_call: USD per call.
    """

    model: str
    provider: str | None = None
    name: str | None = None
    first_day: date | None = None
    end_day: date | None = None
    service_tier: str | None = None
    per_million: Mapping[str, Decimal] | None = None
    above: Mapping[int, Mapping[str, Decimal]] | None = None
    per_call: Decimal | None = None

    def fits(self, provider: str | None, model: str, tier: str | None) -> bool:
        """Whether it is for these names of an event."""
        if self.provider is not None and (
            provider is None or provider_id(provider) != provider_id(self.provider)
        ):
            return False
        if self.service_tier is not None and (standard_tier(tier) or STANDARD) != (
            standard_tier(self.service_tier) or STANDARD
        ):
            return False
        return self._pattern.match(model.strip().lower()) is not None

    @cached_property
    def price(self) -> ModelPrice:
        """The prices in the form of genai-prices."""
        base = (
            self.per_million if self.per_million is not None else {"input": Decimal(0), "output": Decimal(0)}
        )
        prices = {_PRICE_KEYS[kind]: self._tiered(kind, price) for kind, price in base.items()}
        if self.per_call is not None:
            prices["requests_kcount"] = self.per_call * 1000
        return ModelPrice(**prices)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        literal = self.model.strip().lower().replace("[", "[[]").replace("?", "[?]")
        return re.compile(translate(literal))

    def _tiered(self, kind: str, base: Decimal) -> Decimal | TieredPrices:
        tiers = [Tier(start, prices[kind]) for start, prices in (self.above or {}).items() if kind in prices]
        return TieredPrices(base, tiers) if tiers else base


@dataclass(frozen=True)
class OverrideOffer:
    """An override, for the names of one event."""

    book: str
    provider: str
    model: str
    entry: Override

    def changes(self) -> Changes:
        """The first day and the day after the last."""
        days = {day for day in (self.entry.first_day, self.entry.end_day) if day is not None}
        return Changes(frozenset(days), frozenset())

    def quote(self, at: datetime) -> Quote | UnpricedReason:
        """The prices at `at`, unless it is outside the entry's days."""
        day = at.astimezone(UTC).date()
        if self.entry.first_day is not None and day < self.entry.first_day:
            return UnpricedReason.BEFORE_FIRST_PRICE
        if self.entry.end_day is not None and day >= self.entry.end_day:
            return UnpricedReason.AFTER_LAST_PRICE
        return Quote(self.entry.price, PriceNote.NOTHING)


class OverrideBook:
    """The user's prices.

    Args:
        entries: in the order in which they are tried.
        version: names their content; `overrides_version` makes one of a file's text.
    """

    def __init__(self, entries: Sequence[Override], *, version: str) -> None:
        self.entries = tuple(entries)
        self.version = version

    def find(
        self, provider: str | None, model: str, tier: str | None
    ) -> tuple[OverrideOffer, ...] | UnpricedReason:
        """Every entry that fits the names; which of them holds is a matter of the time."""
        shown = provider_id(provider) if provider else ""
        offers = tuple(
            OverrideOffer(self.version, shown, entry.name or model.strip(), entry)
            for entry in self.entries
            if entry.fits(provider, model, tier)
        )
        return offers or UnpricedReason.UNKNOWN_MODEL


def overrides_version(text: str) -> str:
    """`overrides 1f2e3d4c5b6a`: the start of the text's SHA-256."""
    return f"overrides {hashlib.sha256(text.encode()).hexdigest()[:12]}"
