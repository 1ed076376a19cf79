"""Slots: one per (window, series) of a segment, numbered in the order of their first event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.schemas.aggregates import DIMENSIONS, OTHER_SERIES
from tokentide.stream.decode.batch import Int64s
from tokentide.stream.grouping import Encoded, encode, group

Series = tuple[str, ...]
"""The values of `DIMENSIONS`, in that order; empty text where unknown or not in use."""

_OTHER: Final[Series] = tuple(OTHER_SERIES if name == "service" else "" for name in DIMENSIONS)


class Slot(NamedTuple):
    """The identity of a partial within its segment."""

    window_start: int
    """Seconds since 1970 UTC."""
    series: Series


class Slots:
    """The slots of one segment.

    At most `series_cap` different series get slots of their own, in the order in which they appear in the log; the
    rest shares the series `__other__`. That order is the log's, so another worker decides the same.
    """

    def __init__(self, dimensions: Sequence[str], series_cap: int) -> None:
        self._dimensions = frozenset(dimensions)
        self._series_cap = series_cap
        self._series: set[Series] = set()
        self._numbers: dict[tuple[int, Series], int] = {}
        self.overflowed = 0
        """Slots given to `__other__` because of the cap."""

    def __len__(self) -> int:
        return len(self._numbers)

    def all(self) -> list[Slot]:
        """Every slot, by number."""
        return [Slot(*key) for key in self._numbers]

    def assign(self, table: pa.Table, window_start: Int64s) -> Int64s:
        """Return the slot number of each row; rows are in the order of the log."""
        encoded = [
            encode(table, name) if name in self._dimensions else Encoded(np.zeros(0, np.int64), [""])
            for name in DIMENSIONS
        ]
        varying = [column.codes for column in encoded if len(column.texts) > 1]
        groups = group([window_start, *varying])
        first = groups.first_row
        series = zip(*(_texts(column, first) for column in encoded), strict=True)
        windows = window_start[first].tolist()
        numbers = [self._number(window, names) for window, names in zip(windows, series, strict=True)]
        return np.array(numbers, np.int64)[groups.of_row]

    def _number(self, window_start: int, series: Series) -> int:
        known = self._numbers.get((window_start, series))
        if known is not None:
            return known
        if series not in self._series:
            if len(self._series) < self._series_cap:
                self._series.add(series)
            else:
                series = _OTHER
                self.overflowed += 1
        return self._numbers.setdefault((window_start, series), len(self._numbers))


def _texts(column: Encoded, rows: Int64s) -> Sequence[str]:
    """The texts of some rows."""
    if len(column.texts) == 1:
        return column.texts * len(rows)
    return [column.texts[code] for code in column.codes[rows].tolist()]
