"""The event ids of a segment: which rows of a batch repeat an id that came before.

A set of Python strings costs 130 bytes an id, which packed records turn into gigabytes. This one keeps
128-bit fingerprints in an open-addressing table, 16 bytes an id at a load of a half. (A Bloom filter would be
smaller, but its false positives are lost events.)

A fingerprint is four multilinear hashes of 32 bits with random keys: h(s) = (k₀ + Σ kᵢ sᵢ mod 2⁶⁴) div 2³² over the
text's 32-bit words and its length. Whatever two texts are, if they differ, each of the four is equal with a
probability of 2⁻³² over the choice of the keys (strongly universal; Carter & Wegman 1979; Lemire & Kaser, "Strongly
Universal String Hashing is Fast", 2014). So among ten million ids of any structure two collide with a probability of
10⁻²⁵, and nobody who does not know the keys, which differ between processes, can make them collide on purpose.
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
_HASHES: Final = 4
_HALF_WORD: Final = np.uint64(32)
_FIRST_KEYS: Final = 64
"""Texts up to 248 bytes; for longer ones there are drawn more."""


class _Keys:
    """Random numbers: one row for each hash; drawn once in a process, more when a longer text comes."""

    def __init__(self) -> None:
        self._keys = _drawn(_FIRST_KEYS)

    def first(self, count: int) -> UInt64s:
        """So many of each row, always the same ones."""
        have = self._keys.shape[1]
        if count > have:
            self._keys = np.concatenate((self._keys, _drawn(max(count - have, have))), axis=1)
        return self._keys[:, :count]


def _drawn(count: int) -> UInt64s:
    return np.frombuffer(secrets.token_bytes(_HASHES * count * 8), np.uint64).reshape(_HASHES, count)


_KEYS: Final = _Keys()


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
    """The two halves of a 128-bit hash of each text of a string array; the first is never 0."""
    lengths = text_lengths(ids)
    offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset :][: len(ids) + 1]
    data = np.frombuffer(ids.buffers()[2] or b"", np.uint8)
    low = np.empty(len(ids), np.uint64)
    high = np.empty(len(ids), np.uint64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        words = _words(data, offsets[rows].astype(np.int64), length)
        low[rows], high[rows] = _hash(words, length)
    low[low == 0] = 1
    return low, high


def _words(data: npt.NDArray[np.uint8], starts: Int64s, length: int) -> UInt64s:
    """The texts as rows of 32-bit words, filled up with zeros."""
    padded = np.zeros((len(starts), -(-max(length, 1) // 4) * 4), np.uint8)
    if length and len(starts) > 1 and bool((np.diff(starts) == length).all()):
        padded[:, :length] = data[starts[0] : starts[-1] + length].reshape(-1, length)
    elif length:
        padded[:, :length] = data[starts[:, None] + np.arange(length)]
    return padded.view(np.uint32).astype(np.uint64)


def _hash(words: UInt64s, length: int) -> tuple[UInt64s, UInt64s]:
    """Sums run over 64 bits and are meant to; without the length, a text and one with zeros after it were equal."""
    keys = _KEYS.first(2 + words.shape[1])
    offset = keys[:, 0] + keys[:, 1] * np.uint64(length)
    a, b, c, d = (words @ keys[:, 2:].T + offset).T >> _HALF_WORD
    return (a << _HALF_WORD) | b, (c << _HALF_WORD) | d
