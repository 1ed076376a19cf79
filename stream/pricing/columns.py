"""Pricing many calls at once: integers times integers, over columns.

The result is exact: whole picodollars are multiplied and summed in int64, the part of a price below a
picodollar apart from them, and the sum is rounded once, half to even. Rows whose products might leave int64
are counted with Python's integers instead. Property tests hold every row against `reference.py`.

Measured: 0.08 to 0.1 µs a row in batches of 20,000 rows with 20 models, on one core of the build machine.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokentide.stream.pricing.money import MAX_PICODOLLARS
from tokentide.stream.pricing.outcome import CostSource, UnpricedReason
from tokentide.stream.pricing.rate import FRACTION, picodollars
from tokentide.stream.pricing.table import BandArrays, RateTable
from tokentide.stream.pricing.usage import (
    MISSING,
    FlagColumn,
    IntColumn,
    UsageColumns,
    inclusive_columns,
)

_ROOM: Final = 2**62
"""Sums stay below half of int64, so that a few of them may be added without a check."""


class CostColumns(NamedTuple):
    """The costs of calls, one row a call.

    Attributes:
        picodollars: the cost; `MISSING` where unpriced.
        source: numbers of `CostSource`.
        reason: numbers of `UnpricedReason`; 0 where priced.
        rate: index into `RateTable.rates` of the price that was found, used or not; -1 where none was.
    """

    picodollars: IntColumn
    source: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    rate: NDArray[np.int32]


def price_columns(
    table: RateTable,
    codes: NDArray[np.int32],
    timestamps_us: IntColumn,
    usage: UsageColumns,
    *,
    is_exclusive: FlagColumn | None = None,
    is_without_output: FlagColumn | None = None,
    reported: IntColumn | None = None,
    is_from_response_cache: FlagColumn | None = None,
    is_estimated: FlagColumn | None = None,
) -> CostColumns:
    """The cost of every row. All columns have one length; token counts are at most 2⁶⁰.

    Args:
        table: where `codes` come from.
        codes: of each row's `PriceKey`, from the latest `table.codes` call.
        timestamps_us: when each call finished, microseconds UTC.
        usage: tokens as reported; `MISSING` is unknown, not zero.
        is_exclusive: rows whose input tokens exclude cached ones; None is none.
        is_without_output: rows of a kind of call that has no output tokens (embeddings), where missing
            ones are no gap; None is none.
        reported: the providers' own figures in picodollars, `MISSING` where there is none; they win.
        is_from_response_cache: rows answered by the application's cache; they cost nothing.
        is_estimated: rows whose tokens are estimates.
    """
    cells = table.cells(codes, timestamps_us)
    reason = np.where(cells < 0, -cells, 0).astype(np.uint8)
    rate = np.maximum(cells, np.int32(-1))
    inclusive = inclusive_columns(usage, is_exclusive)
    if is_without_output is not None:
        gaps = is_without_output & (inclusive.output_tokens < 0)
        inclusive = inclusive._replace(output_tokens=np.where(gaps, 0, inclusive.output_tokens))
    band = _bands(table, rate, inclusive.input_tokens)
    known = _refuse(reason, table.arrays()[1], band, inclusive)
    cost = _costs(table, rate, band, known, reason)
    source = np.full(len(cost), CostSource.CALCULATED, np.uint8)
    if is_estimated is not None:
        source[is_estimated] = CostSource.ESTIMATED
    if is_from_response_cache is not None:
        cost[is_from_response_cache] = 0
        source[is_from_response_cache] = CostSource.RESPONSE_CACHE
        reason[is_from_response_cache] = UnpricedReason.NONE
    if reported is not None:
        _take_reported(reported, cost, source, reason)
    is_unpriced = reason != UnpricedReason.NONE
    cost[is_unpriced] = MISSING
    source[is_unpriced] = CostSource.UNPRICED
    return CostColumns(cost, source, reason, rate)


def _bands(table: RateTable, rate: NDArray[np.int32], input_tokens: IntColumn) -> NDArray[np.int32]:
    """The band of each row; of rows without a rate, any."""
    rates, _ = table.arrays()
    known = np.maximum(rate, 0)
    band = rates.first_band[known]
    for thresholds in rates.thresholds:
        band += input_tokens > thresholds[known]
    return band


def _refuse(
    reason: NDArray[np.uint8], bands: BandArrays, band: NDArray[np.int32], usage: UsageColumns
) -> UsageColumns:
    """Put a reason where the usage cannot be priced and none is yet; return the usage, missing parts as 0."""
    has_output = bands.has_output[band]
    known = UsageColumns(*(np.maximum(column, 0) for column in usage))
    refusals = (
        (UnpricedReason.NO_USAGE, (usage.input_tokens < 0) | ((usage.output_tokens < 0) & has_output)),
        (
            UnpricedReason.INCONSISTENT_USAGE,
            (known.cache_read + known.cache_write > known.input_tokens)
            | (known.cache_write_1h > known.cache_write)
            | (known.reasoning > known.output_tokens),
        ),
        (
            UnpricedReason.NO_PRICE_FOR_USAGE,
            ((known.input_tokens > 0) & ~bands.has_input[band]) | ((known.output_tokens > 0) & ~has_output),
        ),
    )
    for why, refused in refusals:
        if refused.any():
            reason[refused & (reason == UnpricedReason.NONE)] = why
    return known


def _costs(
    table: RateTable,
    rate: NDArray[np.int32],
    band: NDArray[np.int32],
    usage: UsageColumns,
    reason: NDArray[np.uint8],
) -> IntColumn:
    """The cost of the rows without a reason; adds OUT_OF_RANGE. What the other rows hold means nothing."""
    bands = table.arrays()[1]
    tokens = _kinds(usage)
    cost = bands.per_call_whole[band]
    for count, price in zip(tokens, bands.whole, strict=True):
        if count.any():
            cost += count * price[band]
    if bands.max_fraction:
        _add_fractions(cost, tokens, bands, band)
    for row in _rows_beyond_int64(tokens, bands, band, reason):
        counts = [int(count[row]) for count in tokens]
        exact = picodollars(table.band(int(rate[row]), int(usage.input_tokens[row])), counts)
        cost[row] = MAX_PICODOLLARS + 1 if exact is None else min(exact, MAX_PICODOLLARS + 1)
    reason[(cost > MAX_PICODOLLARS) & (reason == UnpricedReason.NONE)] = UnpricedReason.OUT_OF_RANGE
    return cost


def _kinds(usage: UsageColumns) -> tuple[IntColumn, ...]:
    """The tokens of each of `rate.KINDS`: the parts without overlap."""
    return (
        usage.input_tokens - usage.cache_read - usage.cache_write,
        usage.cache_read,
        usage.cache_write - usage.cache_write_1h,
        usage.cache_write_1h,
        usage.output_tokens - usage.reasoning,
        usage.reasoning,
    )


def _add_fractions(
    cost: IntColumn, tokens: tuple[IntColumn, ...], bands: BandArrays, band: NDArray[np.int32]
) -> None:
    """Add what the prices have below a picodollar, the sum of a row rounded half to even."""
    rows = np.flatnonzero(bands.has_fraction[band])
    if not len(rows):
        return
    of = band[rows]
    below = bands.per_call_fraction[of]
    for count, price in zip(tokens, bands.fraction, strict=True):
        below += count[rows] * price[of]
    whole, rest = np.divmod(below, FRACTION)
    whole += cost[rows]
    cost[rows] = whole + ((2 * rest > FRACTION) | ((2 * rest == FRACTION) & (whole % 2 == 1)))


def _rows_beyond_int64(
    tokens: tuple[IntColumn, ...], bands: BandArrays, band: NDArray[np.int32], reason: NDArray[np.uint8]
) -> IntColumn:
    """Rows whose products may have left int64: more tokens of a kind than any price allows for."""
    most = np.maximum.reduce(tokens)
    beyond = most > _ROOM // (len(tokens) * max(bands.max_whole, 1))
    if bands.max_fraction:
        beyond |= bands.has_fraction[band] & (most > _ROOM // (len(tokens) * bands.max_fraction))
    return np.flatnonzero(beyond & (reason == UnpricedReason.NONE))


def _take_reported(
    reported: IntColumn, cost: IntColumn, source: NDArray[np.uint8], reason: NDArray[np.uint8]
) -> None:
    """Let the providers' own figures win where there are any."""
    given = reported >= 0
    cost[given] = reported[given]
    source[given] = CostSource.REPORTED
    reason[given] = UnpricedReason.NONE
    reason[reported > MAX_PICODOLLARS] = UnpricedReason.OUT_OF_RANGE
