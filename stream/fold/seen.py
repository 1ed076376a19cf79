"""The event ids of a segment: which rows of a batch repeat an id that came before.

A set of Python strings costs 130 bytes an id, which packed records turn into gigabytes. This one keeps
128-bit fingerprints in an open-addressing table, 16 bytes an id at a load of a half: two different ids collide with
a probability of 10⁻²⁵ for ten million ids, and the seeds differ between processes so that nobody can make them
collide on purpose. (A Bloom filter would be smaller, but its false positives are lost events.)
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokentide.stream.decode.arrays import text_lengths
from tokentide.stream.decode.batch import Bools, Int64s

UInt64s = npt.NDArray[np.uint64]

_FIRST_SIZE: Final = 1 << 17
"""2 MiB: a segment of single events fits in without growing."""
_MOST_FULL: Final = 0.6
_MULTIPLIERS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_SEEDS: Final = (np.uint64(secrets.randbits(64)), np.uint64(secrets.randbits(64)))
_HALF_WORD: Final = np.uint64(32)


class SeenIds:
    """A growing set of event ids."""

    def __init__(self) -> None:
        self._low: UInt64s = np.zeros(_FIRST_SIZE, np.uint64)
        self._high: UInt64s = np.zeros(_FIRST_SIZE, np.uint64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, ids: Any) -> Bools:
        """Add a string array without nulls; return per row whether its id was there already, in this batch or before."""
        low, high = fingerprints(ids)
        first = _first_of_equals(low, high)
        if first is None:
            return self._add_distinct(low, high)
        repeated = np.ones(len(low), dtype=np.bool_)
        repeated[first] = self._add_distinct(low[first], high[first])
        return repeated

    def _add_distinct(self, low: UInt64s, high: UInt64s) -> Bools:
        while self._count + len(low) > _MOST_FULL * len(self._low):
            self._grow()
        known = _insert(self._low, self._high, low, high)
        self._count += len(low) - int(np.count_nonzero(known))
        return known

    def _grow(self) -> None:
        taken = self._low != 0
        low, high = self._low[taken], self._high[taken]
        self._low = np.zeros(len(self._low) * 2, np.uint64)
        self._high = np.zeros(len(self._high) * 2, np.uint64)
        _insert(self._low, self._high, low, high)


def _first_of_equals(low: UInt64s, high: UInt64s) -> Int64s | None:
    """Rows that are the first of their fingerprint, or None where all are distinct."""
    ordered = np.sort(low)
    if not (ordered[1:] == ordered[:-1]).any():
        return None
    _, first = np.unique(np.stack((low, high), axis=1), axis=0, return_index=True)
    return np.sort(first)


def _insert(table_low: UInt64s, table_high: UInt64s, low: UInt64s, high: UInt64s) -> Bools:
    """Insert distinct fingerprints; return which were there. Linear probing, all open rows one step at a time."""
    mask = np.uint64(len(table_low) - 1)
    known = np.zeros(len(low), dtype=np.bool_)
    rows: Int64s = np.arange(len(low))
    place = high & mask
    while len(rows):
        here = table_low[place]
        same = here == low[rows]
        if same.any():
            same &= table_high[place] == high[rows]
            known[rows[same]] = True
        free = here == 0
        table_low[place[free]] = low[rows[free]]  # of several for one place, one stays
        won = free & (table_low[place] == low[rows])
        table_high[place[won]] = high[rows[won]]
        going_on = ~(same | won)
        rows, place = rows[going_on], (place[going_on] + np.uint64(1)) & mask
    return known


def fingerprints(ids: Any) -> tuple[UInt64s, UInt64s]:
    """Two independent 64-bit hashes of each text of a string array; the first is never 0."""
    lengths = text_lengths(ids)
    offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset :][: len(ids) + 1]
    data = np.frombuffer(ids.buffers()[2] or b"", np.uint8)
    low = np.empty(len(ids), np.uint64)
    high = np.empty(len(ids), np.uint64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        words = _words(data, offsets[rows].astype(np.int64), length)
        low[rows] = _hash(words, length, 0)
        high[rows] = _hash(words, length, 1)
    low[low == 0] = 1
    return low, high


def _words(data: npt.NDArray[np.uint8], starts: Int64s, length: int) -> UInt64s:
    """The texts as rows of 64-bit words, filled up with zeros."""
    padded = np.zeros((len(starts), -(-max(length, 1) // 8) * 8), np.uint8)
    if length and len(starts) > 1 and bool((np.diff(starts) == length).all()):
        padded[:, :length] = data[starts[0] : starts[-1] + length].reshape(-1, length)
    elif length:
        padded[:, :length] = data[starts[:, None] + np.arange(length)]
    return padded.view(np.uint64)


def _hash(words: UInt64s, length: int, which: int) -> UInt64s:
    multiplier = _MULTIPLIERS[which]
    value = np.full(len(words), _SEEDS[which] ^ np.uint64(length), np.uint64)
    for column in range(words.shape[1]):
        value = (value ^ words[:, column]) * multiplier
        value ^= value >> _HALF_WORD
    value *= multiplier
    value ^= value >> _HALF_WORD
    return value
