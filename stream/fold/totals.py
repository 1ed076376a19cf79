"""The absolute aggregates of a segment's slots: matrices of integers, and maps of counts."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tokentide.schemas.aggregates import AGGREGATES
from tokentide.stream.decode.batch import Bools, Int64s
from tokentide.stream.fold.measures import WORD_BITS, Measures, words_of

_KEY_BITS: Final = 17
_KEY_BIAS: Final = 1 << 16
"""Sketch keys are between −2¹⁵ and 2¹⁵; names are small positions."""

SUMS: Final = tuple(a.name for a in AGGREGATES if a.merge == "sum" and not a.is_wide)
WIDE: Final = tuple(a.name for a in AGGREGATES if a.is_wide)
PEAKS: Final = tuple(a.name for a in AGGREGATES if a.merge == "max")
MAPS: Final = tuple(a.name for a in AGGREGATES if a.merge == "map")

Reader = Literal["store", "publish"]
"""Who takes changed aggregates: ClickHouse, and the windows topic, which goes on while ClickHouse is away."""
READERS: Final[tuple[Reader, ...]] = ("store", "publish")

UInt64s = npt.NDArray[np.uint64]
_Scalar = TypeVar("_Scalar", bound=np.generic)
_HIGH, _LOW = "/high", "/low"
"""A wide sum is two; these endings cannot clash with the name of an aggregate."""


class MapCounts(NamedTuple):
    """Entries of one map aggregate over some slots, ordered by slot and key."""

    owner: Int64s
    """Position in the list of slots asked for."""
    key: Int64s
    calls: Int64s


class Totals:
    """Aggregates by slot number. Adding is exact and commutative; nothing is ever taken away.

    An aggregate takes memory from the first time that something is added to it: most producers report a third of
    what there is.
    """

    def __init__(self) -> None:
        self._room = 64
        self._slots = 0
        self._sums: dict[str, Int64s] = {}
        self._peaks: dict[str, Int64s] = {}
        self._maps = {name: _SparseCounts() for name in MAPS}
        self._dirty: dict[Reader, Bools] = {reader: np.zeros(self._room, np.bool_) for reader in READERS}

    def add(self, slot: Int64s, measures: Measures, slots: int) -> None:
        """Add each row's measures to its slot; `slots` is how many there are now."""
        self._make_room(slots)
        order = np.argsort(_narrow(slot), kind="stable")
        ordered = slot[order]
        starts = _starts(ordered)
        touched = ordered[starts]
        self._mark_dirty(touched)
        for name, values in measures.sums.items():
            self._add_sum(name, touched, np.add.reduceat(values[order], starts, dtype=np.int64))
        for name, values in measures.wide.items():
            high, low = words_of(values[order])
            self._add_sum(f"{name}{_HIGH}", touched, np.add.reduceat(high, starts))
            self._add_sum(f"{name}{_LOW}", touched, np.add.reduceat(low, starts))
        for name, values in measures.peaks.items():
            peaks = self._column(self._peaks, name)
            peaks[touched] = np.maximum(peaks[touched], np.maximum.reduceat(values[order], starts))
        for name, keyed in measures.maps.items():
            self._maps[name].add((slot[keyed.rows] << _KEY_BITS) + keyed.keys + _KEY_BIAS)

    def add_ones(self, name: str, slot: Int64s, slots: int) -> None:
        """Add one to a plain sum for each row."""
        self._make_room(slots)
        np.add.at(self._column(self._sums, name), slot, 1)
        self._mark_dirty(slot)

    def _mark_dirty(self, slots: Int64s) -> None:
        for dirty in self._dirty.values():
            dirty[slots] = True

    def _add_sum(self, name: str, touched: Int64s, added: Int64s) -> None:
        self._column(self._sums, name)[touched] += added

    def _column(self, columns: dict[str, Int64s], name: str) -> Int64s:
        if name not in columns:
            columns[name] = np.zeros(self._room, np.int64)
        return columns[name]

    def dirty_slots(self, reader: Reader) -> Int64s:
        """Slots with additions that this reader has not taken, in order."""
        return np.flatnonzero(self._dirty[reader][: self._slots])

    def mark_clean(self, reader: Reader, slots: Int64s) -> None:
        """This reader has taken these slots' aggregates."""
        self._dirty[reader][slots] = False

    def sums(self, name: str, slots: Int64s) -> Int64s:
        """The sum of each slot.

        Raises:
            OverflowError: a sum has left 64 bits, which the limits of the contract exclude for honest data.
        """
        return _checked(_taken(self._sums, name, slots), name)

    def peaks(self, name: str, slots: Int64s) -> Int64s:
        """The maximum of each slot; 0 where nothing was reported."""
        return _taken(self._peaks, name, slots)

    def wide(self, name: str, slots: Int64s) -> tuple[Int64s, UInt64s]:
        """The wide sum of each slot as the high and the low word of a 128-bit integer."""
        low = self.sums(f"{name}{_LOW}", slots)
        high = self.sums(f"{name}{_HIGH}", slots) + (low >> WORD_BITS)
        low_word = (low & ((1 << WORD_BITS) - 1)).astype(np.uint64)
        return high >> WORD_BITS, (high.astype(np.uint64) << np.uint64(WORD_BITS)) | low_word

    def map_counts(self, name: str, slots: Int64s) -> MapCounts:
        """The entries of these slots; `slot` is the position in `slots`."""
        keys, counts = self._maps[name].of(slots)
        owner = np.searchsorted(slots, keys >> _KEY_BITS)
        return MapCounts(owner, (keys & ((1 << _KEY_BITS) - 1)) - _KEY_BIAS, counts)

    def _make_room(self, slots: int) -> None:
        self._slots = max(self._slots, slots)
        if slots <= self._room:
            return
        room = max(slots, 2 * self._room)
        self._dirty = {reader: _wider(dirty, room) for reader, dirty in self._dirty.items()}
        self._sums = {name: _wider(values, room) for name, values in self._sums.items()}
        self._peaks = {name: _wider(values, room) for name, values in self._peaks.items()}
        self._room = room


class _SparseCounts:
    """Counts by key: a sorted base and the keys added since, which are merged when the counts are asked for.

    Keys begin with the slot, slots are numbered by age and the young ones change, so a merge only has to sort the
    base's tail.
    """

    def __init__(self) -> None:
        self._keys: Int64s = np.empty(0, np.int64)
        self._counts: Int64s = np.empty(0, np.int64)
        self._added: list[Int64s] = []

    def add(self, keys: Int64s) -> None:
        self._added.append(keys)

    def of(self, slots: Int64s) -> tuple[Int64s, Int64s]:
        """Keys and counts of these ordered slots."""
        self._merge()
        begins = np.searchsorted(self._keys, slots << _KEY_BITS)
        ends = np.searchsorted(self._keys, (slots + 1) << _KEY_BITS)
        rows = _ranges(begins, ends)
        return self._keys[rows], self._counts[rows]

    def _merge(self) -> None:
        if not self._added:
            return
        fresh = np.sort(np.concatenate(self._added))
        self._added.clear()
        if not len(fresh):
            return
        tail = int(np.searchsorted(self._keys, fresh[0]))
        keys, counts = _counted(fresh)
        if tail < len(self._keys):
            keys, counts = _merged(self._keys[tail:], self._counts[tail:], keys, counts)
        self._keys = np.concatenate((self._keys[:tail], keys))
        self._counts = np.concatenate((self._counts[:tail], counts))


def _starts(ordered: Int64s) -> Int64s:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def _counted(ordered: Int64s) -> tuple[Int64s, Int64s]:
    starts = _starts(ordered)
    return ordered[starts], np.diff(np.concatenate((starts, [len(ordered)])))


def _merged(keys: Int64s, counts: Int64s, more: Int64s, more_counts: Int64s) -> tuple[Int64s, Int64s]:
    """Two sorted lists of distinct keys as one, counts of equal keys added."""
    together = np.concatenate((keys, more))
    order = np.argsort(together, kind="stable")
    ordered = together[order]
    starts = _starts(ordered)
    summed: Int64s = np.add.reduceat(np.concatenate((counts, more_counts))[order], starts)
    return ordered[starts], summed


def _ranges(begins: Int64s, ends: Int64s) -> Int64s:
    """All positions of the half-open ranges, in order."""
    lengths = ends - begins
    total = int(lengths.sum())
    before = np.cumsum(lengths) - lengths
    positions: Int64s = np.arange(total) + np.repeat(begins - before, lengths)
    return positions


def _narrow(slot: Int64s) -> npt.NDArray[Any]:
    """16-bit numbers sort by radix, which is several times faster."""
    if slot.max(initial=0) < 1 << 16:
        return slot.astype(np.uint16)
    return slot


def _wider(column: npt.NDArray[_Scalar], room: int) -> npt.NDArray[_Scalar]:
    return np.concatenate((column, np.zeros(room - len(column), column.dtype)))


def _taken(columns: dict[str, Int64s], name: str, slots: Int64s) -> Int64s:
    return columns[name][slots] if name in columns else np.zeros(len(slots), np.int64)


def _checked(values: Int64s, name: str) -> Int64s:
    if (values < 0).any():
        raise OverflowError(f"the sum of `{name}` left 64 bits; the events are outside the contract's limits")
    return values
