"""Slots: one per (window, series) of a segment, numbered in the order of their first event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.schemas.aggregates import DIMENSIONS, OTHER_SERIES
from tokentide.stream.decode.batch import Int64s

Series = tuple[str, ...]
"""The values of `DIMENSIONS`, in that order; empty text where unknown or not in use."""

_OTHER: Final[Series] = tuple(OTHER_SERIES if name == "service" else "" for name in DIMENSIONS)
_MOST_COMBINATIONS: Final = 1 << 62


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
        self._numbers: dict[Slot, int] = {}
        self.overflowed = 0
        """Slots given to `__other__` because of the cap."""

    def __len__(self) -> int:
        return len(self._numbers)

    def all(self) -> list[Slot]:
        """Every slot, by number."""
        return list(self._numbers)

    def assign(self, table: pa.Table, window_start: Int64s) -> Int64s:
        """Return the slot number of each row; rows are in the order of the log."""
        codes, values = self._codes(table)
        group, first = _grouped([window_start, *codes])
        numbers = np.fromiter(
            (
                self._number(int(window_start[row]), tuple(names[code[row]] for code, names in values))
                for row in first.tolist()
            ),
            dtype=np.int64,
            count=len(first),
        )
        return numbers[group]

    def _codes(self, table: pa.Table) -> tuple[list[Int64s], list[tuple[Int64s, list[str]]]]:
        codes: list[Int64s] = []
        values: list[tuple[Int64s, list[str]]] = []
        nothing = np.zeros(table.num_rows, np.int64)
        for name in DIMENSIONS:
            if name not in self._dimensions or name not in table.column_names:
                values.append((nothing, [""]))
                continue
            code, names = _encoded(table[name])
            if len(names) > 1:
                codes.append(code)
            values.append((code, names))
        return codes, values

    def _number(self, window_start: int, series: Series) -> int:
        if series not in self._series:
            if len(self._series) < self._series_cap:
                self._series.add(series)
            else:
                series = _OTHER
                self.overflowed += 1
        return self._numbers.setdefault(Slot(window_start, series), len(self._numbers))


def _encoded(column: pa.ChunkedArray) -> tuple[Int64s, list[str]]:
    """Codes and texts; null is the empty text."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    encoded = pc.dictionary_encode(pc.fill_null(array, "") if array.null_count else array)
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary.to_pylist()


def _grouped(keys: Iterable[Int64s]) -> tuple[Int64s, Int64s]:
    """Group rows by equal keys: per row its group, per group its first row, groups by their first row."""
    combined: Int64s | None = None
    for key in keys:
        group, _ = _ranked(key)
        if combined is None:
            combined = group
        else:
            size = int(group.max(initial=0)) + 1
            assert int(combined.max(initial=0)) + 1 < _MOST_COMBINATIONS // size
            combined, _ = _ranked(combined * size + group)
    assert combined is not None
    return _ranked(combined)


def _ranked(key: Int64s) -> tuple[Int64s, Int64s]:
    encoded = pc.dictionary_encode(pa.array(key))  # codes in the order of first appearance
    group = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    first = np.full(len(encoded.dictionary), len(key), np.int64)
    np.minimum.at(first, group, np.arange(len(key)))
    return group, first
