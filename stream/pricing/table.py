"""Resolved prices of the keys seen so far, as arrays that columns can be multiplied with.

A price book answers about 15,000 questions a second, a stream asks more. So each combination of provider,
models and tier is looked up once; what comes back is kept as integers, by period and by size of the prompt.

Owns: the bounded memory of resolved keys and the arrays. Does not own: arithmetic (`columns.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokentide.stream.pricing.book import PriceBook
from tokentide.stream.pricing.periods import DAY_US, Cell, Schedule, schedule
from tokentide.stream.pricing.rate import FRACTION, INPUT, KINDS, OUTPUT, Band, Rate
from tokentide.stream.pricing.resolve import PriceKey, find_offers

_VARIES: Final = np.iinfo(np.int32).min  # the key's price depends on the time of the event
_NEVER: Final = np.iinfo(np.int64).max


class BandArrays(NamedTuple):
    """The bands of all rates, one row a band; the bands of a rate follow each other.

    `whole` and `fraction` are prices of one token of each of `KINDS`: whole picodollars, and the rest in
    10⁻²⁴ USD. A price that does not exist is 0 here; `has_input` and `has_output` tell.
    """

    whole: tuple[NDArray[np.int64], ...]
    fraction: tuple[NDArray[np.int64], ...]
    per_call_whole: NDArray[np.int64]
    per_call_fraction: NDArray[np.int64]
    has_input: NDArray[np.bool_]
    has_output: NDArray[np.bool_]
    has_fraction: NDArray[np.bool_]
    max_whole: int
    max_fraction: int


class RateArrays(NamedTuple):
    """All rates, one row a rate: its first band, and the thresholds of the further ones (`_NEVER`: none)."""

    first_band: NDArray[np.int32]
    thresholds: tuple[NDArray[np.int64], ...]


class _Varying(NamedTuple):
    days_us: NDArray[np.int64]
    times_us: NDArray[np.int64]
    cells: NDArray[np.int32]


class RateTable:
    """Prices by key, for one list of books. Not for use by several threads at once.

    Args:
        books: asked in order; overrides first.
        max_keys: keys remembered. When more come, everything is forgotten and the table starts anew, so
            that names made up without end (a deployment per call) cannot fill the memory.
    """

    def __init__(self, books: Sequence[PriceBook], *, max_keys: int = 65_536) -> None:
        if max_keys < 1:
            raise ValueError(f"max_keys is {max_keys}; a table holds at least one key")
        self.books = tuple(books)
        self._max_keys = max_keys
        self._codes: dict[PriceKey, int] = {}
        self._constant: list[int] = []
        self._varying: dict[int, _Varying] = {}
        self._rates: list[Rate] = []
        self._rate_index: dict[Rate, int] = {}
        self._cells_of_codes: NDArray[np.int32] | None = None
        self._arrays: tuple[RateArrays, BandArrays] | None = None

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def rates(self) -> Sequence[Rate]:
        """Every rate met so far; `CostColumns.rate` points into it until the next call of `codes`."""
        return self._rates

    def codes(self, keys: Sequence[PriceKey]) -> NDArray[np.int32]:
        """A code for each key, for `price_columns`; valid until the next call."""
        new = [key for key in dict.fromkeys(keys) if key not in self._codes]
        if len(self._codes) + len(new) > self._max_keys:
            self._forget()
            new = list(dict.fromkeys(keys))
        for key in new:
            self._add(key)
        return np.fromiter((self._codes[key] for key in keys), np.int32, len(keys))

    def cells(self, codes: NDArray[np.int32], timestamps_us: NDArray[np.int64]) -> NDArray[np.int32]:
        """What holds for each row: the index of a rate, or the negative number of an `UnpricedReason`."""
        if self._cells_of_codes is None:
            self._cells_of_codes = np.array(self._constant, np.int32)
        cells = self._cells_of_codes[codes]
        varies = cells == _VARIES
        if not varies.any():
            return cells
        for code in np.unique(codes[varies]):
            rows = np.flatnonzero(codes == code)
            varying = self._varying[int(code)]
            at = timestamps_us[rows]
            days = np.searchsorted(varying.days_us, at, side="right")
            times = np.searchsorted(varying.times_us, at % DAY_US, side="right")
            cells[rows] = varying.cells[days, times]
        return cells

    def arrays(self) -> tuple[RateArrays, BandArrays]:
        """The prices of all rates; rebuilt when rates have come."""
        if self._arrays is None:
            self._arrays = (_rate_arrays(self._rates), _band_arrays(self._rates))
        return self._arrays

    def band(self, rate: int, input_tokens: int) -> Band:
        """The band of one row, for exact arithmetic outside int64."""
        return self._rates[rate].band(input_tokens)

    def _forget(self) -> None:
        self._codes = {}
        self._constant = []
        self._varying = {}
        self._rates = []
        self._rate_index = {}
        self._cells_of_codes = self._arrays = None

    def _add(self, key: PriceKey) -> None:
        offers, reason = find_offers(self.books, key)
        found = schedule(offers, reason)
        cells = [[self._cell(cell) for cell in row] for row in found.cells]
        code = len(self._codes)
        distinct = {cell for row in cells for cell in row}
        if len(distinct) == 1:
            self._constant.append(distinct.pop())
        else:
            self._constant.append(_VARIES)
            self._varying[code] = _varying(found, cells)
        self._codes[key] = code
        self._cells_of_codes = None

    def _cell(self, cell: Cell) -> int:
        if not isinstance(cell, Rate):
            return -int(cell)
        index = self._rate_index.get(cell)
        if index is None:
            index = self._rate_index[cell] = len(self._rates)
            self._rates.append(cell)
            self._arrays = None
        return index


def _varying(found: Schedule, cells: Sequence[Sequence[int]]) -> _Varying:
    return _Varying(
        np.array(found.days_us, np.int64), np.array(found.times_us, np.int64), np.array(cells, np.int32)
    )


def _rate_arrays(rates: Sequence[Rate]) -> RateArrays:
    numbers = [len(rate.bands) for rate in rates]
    first = np.cumsum([0, *numbers[:-1]], dtype=np.int32) if rates else np.zeros(1, np.int32)
    thresholds = tuple(
        np.array([_threshold(rate, further) for rate in rates], np.int64)
        for further in range(1, max(numbers, default=1))
    )
    return RateArrays(first, thresholds)


def _threshold(rate: Rate, further: int) -> int:
    return rate.bands[further].above if further < len(rate.bands) else _NEVER


def _band_arrays(rates: Sequence[Rate]) -> BandArrays:
    # Without any rate one free band stands for all rows; none of them is priced.
    bands = [band for rate in rates for band in rate.bands] or [Band(-1, (0,) * len(KINDS), 0)]
    prices = [_split(band.prices[kind] or 0 for band in bands) for kind in range(len(KINDS))]
    per_call = _split(band.per_call for band in bands)
    whole, fraction = tuple(price.whole for price in prices), tuple(price.fraction for price in prices)
    return BandArrays(
        whole,
        fraction,
        per_call.whole,
        per_call.fraction,
        has_input=np.array([band.prices[INPUT] is not None for band in bands]),
        has_output=np.array([band.prices[OUTPUT] is not None for band in bands]),
        has_fraction=np.any([*fraction, per_call.fraction], axis=0),
        max_whole=max(int(column.max()) for column in whole),
        max_fraction=max(int(column.max()) for column in fraction),
    )


class _Split(NamedTuple):
    whole: NDArray[np.int64]
    fraction: NDArray[np.int64]


def _split(prices: Iterable[int]) -> _Split:
    parts = [divmod(price, FRACTION) for price in prices]
    return _Split(np.array([whole for whole, _ in parts]), np.array([fraction for _, fraction in parts]))
