"""The cost of every call, by the prices at the time of the event."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from tokentide.stream.decode.arrays import decimal_from_picodollars, numbers
from tokentide.stream.decode.batch import Bools, Int64s
from tokentide.stream.enrich.tables import count_array, counts, with_column
from tokentide.stream.fold.measures import Columns
from tokentide.stream.grouping import Groups, combinations, one_chunk
from tokentide.stream.pricing.columns import CostColumns, price_columns
from tokentide.stream.pricing.outcome import CostSource, PriceNote, UnpricedReason
from tokentide.stream.pricing.resolve import PriceKey
from tokentide.stream.pricing.table import RateTable
from tokentide.stream.pricing.usage import MISSING, UsageColumns, inclusive_columns
from tokentide.stream.texts import coalesce, is_one_of, pick

_KEY_COLUMNS: Final = ("provider", "response_model", "request_model", "service_tier")
_SOURCES: Final = [source.label or None for source in CostSource]
_REASONS: Final = [reason.label or None for reason in UnpricedReason]


def add_costs(table: pa.Table, rates: RateTable) -> pa.Table:
    """Price the calls; add where each cost comes from, or why there is none, and make `input_tokens` inclusive."""
    groups, texts = combinations(table, _KEY_COLUMNS)
    keys = [PriceKey(*(text or None for text in key)) for key in texts]
    usage, exclusive = _counted_whole(table, _usage(table), _equals(table, "cache_reporting", "exclusive"))
    priced = price_columns(
        rates,
        rates.codes(keys)[groups.of_row],
        numbers(one_chunk(table, "timestamp")).values,
        usage,
        is_exclusive=exclusive,
        is_without_output=_equals(table, "operation", "embeddings"),
        reported=_reported(table),
        is_from_response_cache=_from_response_cache(table),
        is_estimated=_estimated(table),
    )
    if exclusive is not None:
        table = with_column(
            table, "input_tokens", count_array(inclusive_columns(usage, exclusive).input_tokens)
        )
    known = priced.picodollars != MISSING
    if known.any():
        table = with_column(
            table, "cost_usd", decimal_from_picodollars(np.maximum(priced.picodollars, 0), known=known)
        )
    elif "cost_usd" in table.column_names:
        table = table.drop_columns(["cost_usd"])
    table = table.append_column("cost_source", pick(_SOURCES, priced.source.astype(np.int64)))
    if not known.all():
        table = table.append_column("unpriced_reason", pick(_REASONS, priced.reason.astype(np.int64)))
    return _add_names(table, rates, priced, groups, keys)


def _add_names(
    table: pa.Table, rates: RateTable, priced: CostColumns, groups: Groups, keys: list[PriceKey]
) -> pa.Table:
    """The model and provider that were priced, else those reported; the book, and what was assumed."""
    met = rates.rates
    # Rows without a rate are sent behind the rates, to the names of their key.
    which = np.where(priced.rate >= 0, priced.rate, len(met) + groups.of_row)
    models = [*(rate.model for rate in met), *(key.reported_model for key in keys)]
    table = table.append_column("model", pick(models, which))
    if "provider" not in table.column_names or table["provider"].null_count:
        inferred = pick([*(rate.provider for rate in met), *(key.provider for key in keys)], which)
        given = one_chunk(table, "provider") if "provider" in table.column_names else None
        table = with_column(table, "provider", inferred if given is None else coalesce(given, inferred))
    used = np.isin(priced.source, (CostSource.CALCULATED, CostSource.ESTIMATED))
    if used.any():
        book = np.where(used, priced.rate, len(met))
        table = table.append_column("price_book", pick([*(rate.book for rate in met), None], book))
        notes = [_note(rate.note) for rate in met]
        if any(notes):
            table = table.append_column("price_note", pick([*notes, None], book))
    return table


def _note(note: PriceNote) -> str | None:
    return ",".join(flag.name.lower() for flag in PriceNote if flag and flag in note and flag.name) or None


def _counted_whole(
    table: pa.Table, usage: UsageColumns, exclusive: Bools | None
) -> tuple[UsageColumns, Bools | None]:
    """Usage, and the rows whose input still lacks the cached tokens.

    Where the worker counted the prompt's text there are none: the whole prompt is in the text, cached or not. Only
    a text that is shorter than what came from the cache was not the whole prompt.
    """
    if exclusive is None:
        return usage, None
    reported = _equals(table, "input_tokens_source", "reported")
    lacking = exclusive & reported if reported is not None else np.zeros(len(exclusive), np.bool_)
    counted = exclusive & ~lacking & (usage.input_tokens >= 0)
    whole = np.where(counted, np.maximum(usage.input_tokens, usage.cached), usage.input_tokens)
    return usage._replace(input_tokens=whole), lacking


def _usage(table: pa.Table) -> UsageColumns:
    return UsageColumns(
        input_tokens=counts(table, "input_tokens"),
        output_tokens=counts(table, "output_tokens"),
        cache_read=counts(table, "cache_read_input_tokens"),
        cache_write=counts(table, "cache_write_input_tokens"),
        cache_write_1h=counts(table, "cache_write_1h_input_tokens"),
        reasoning=counts(table, "reasoning_output_tokens"),
    )


def _equals(table: pa.Table, name: str, value: str) -> Bools | None:
    if name not in table.column_names:
        return None
    flags = is_one_of(one_chunk(table, name), (value,))
    return flags if flags.any() else None


def _reported(table: pa.Table) -> Int64s | None:
    if "cost_usd" not in table.column_names:
        return None
    cost = Columns(table).picodollars("cost_usd")
    return np.where(cost.known, cost.values, MISSING)


def _from_response_cache(table: pa.Table) -> Bools | None:
    hits = [_equals(table, "response_cache", value) for value in ("exact", "semantic")]
    found = [hit for hit in hits if hit is not None]
    return np.logical_or.reduce(found) if found else None


def _estimated(table: pa.Table) -> Bools | None:
    sides = [_equals(table, f"{side}_tokens_source", "estimated") for side in ("input", "output")]
    found = [side for side in sides if side is not None]
    return np.logical_or.reduce(found) if found else None
