"""The partials that count: of each identity the highest version, of each part of a log the fold in force.

What comes out are differences: what has to be added to the sums of each series and minute. So duplicates, replays,
reordering and zombies change nothing, and a revised partial changes only what it revises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from tokentide.stream.decode.batch import Bools, Int64s
from tokentide.stream.detect.measures import WIDTH
from tokentide.stream.detect.rows import Base, Fold, PartialRows, Series

_Key = TypeVar("_Key")

MINUTE_BITS: Final = 26
"""Enough for minutes until the year 2097."""
_SERIES_BITS: Final = 21
_FOLD_BITS: Final = 16
_SERIES_OF: Final = (1 << _SERIES_BITS) - 1
_MINUTE_OF: Final = (1 << MINUTE_BITS) - 1
MOST_SERIES: Final = 1 << _SERIES_BITS
"""Series that can be numbered between two calls of `keep`."""
MOST_FOLDS: Final = 1 << _FOLD_BITS
"""Parts of logs, likewise."""

_YOUNG_ROWS: Final = 16_384
"""New rows are collected, sorted, before they are merged into the bulk: merging copies the bulk."""


class Change(NamedTuple):
    """What to add to the sums, by series and minute; pairs may repeat."""

    series: Int64s
    """Numbers; see `Identities.series_names`."""
    minute: Int64s
    values: Int64s

    def without_nothing(self) -> Change:
        """Without rows that add nothing, such as those of test calls alone."""
        adds = self.values.any(axis=1)
        return self if adds.all() else Change(self.series[adds], self.minute[adds], self.values[adds])

    @classmethod
    def joined(cls, changes: Sequence[Change]) -> Change:
        """One after the other."""
        return cls(*(np.concatenate(parts) for parts in zip(*changes, strict=True)))


class Identities:
    """Partials by identity, for one partition of the windows topic."""

    def __init__(self) -> None:
        self._rows = _Rows.empty()
        self._young = _Rows.empty()
        self._series: dict[Series, int] = {}
        self._folds: dict[Fold, int] = {}
        self._in_force: dict[Base, tuple[int, int]] = {}
        """Of each base the highest version met and the number of its fold."""

    def __len__(self) -> int:
        return len(self._rows.keys) + len(self._young.keys)

    @property
    def series_names(self) -> list[Series]:
        """Every series, by number."""
        return list(self._series)

    @property
    def series_count(self) -> int:
        """Series that have a number."""
        return len(self._series)

    @property
    def fold_count(self) -> int:
        """Parts of logs that are known."""
        return len(self._folds)

    def number_series(self, names: Iterable[Series]) -> Int64s:
        """The numbers of series; new ones get the next."""
        known = self._series
        return np.fromiter((known.setdefault(name, len(known)) for name in names), np.int64)

    def take(self, rows: PartialRows) -> Change:
        """Take partials in the order of the topic; return what changed.

        Of two folds of a part of a log the one with the highest version counts; on equal versions the later row.
        """
        series = self.number_series(rows.series_names)[rows.series]
        fold_numbers = [self._folds.setdefault(fold, len(self._folds)) for fold in rows.folds]
        switched = self._switch(rows, fold_numbers)
        fold = np.array(fold_numbers, np.int64)[rows.fold]
        keys = (((fold << _SERIES_BITS) | series) << MINUTE_BITS) | rows.minute
        newest = _newest(keys, rows.version)
        changed = self._store(keys[newest], rows.version[newest], rows.values[newest])
        return Change.joined([switched, changed])

    def _switch(self, rows: PartialRows, fold_numbers: Sequence[int]) -> Change:
        """Put the folds in force that these rows name; return what that alone changes in the sums."""
        changes = [_NOTHING]
        for code in _by_last_highest(rows):
            base = rows.folds[code].base
            version, number = int(rows.version[rows.fold == code].max()), fold_numbers[code]
            held = self._in_force.get(base)
            if held is not None and version < held[0]:
                continue
            self._in_force[base] = version, number
            if held is not None and held[1] != number:
                changes += [self._all_of(held[1], -1), self._all_of(number, 1)]
        return Change.joined(changes)

    def _all_of(self, fold: int, sign: int) -> Change:
        begin, end = fold << (_SERIES_BITS + MINUTE_BITS), (fold + 1) << (_SERIES_BITS + MINUTE_BITS)
        parts = []
        for rows in (self._rows, self._young):
            inside = slice(*np.searchsorted(rows.keys, (begin, end)).tolist())
            parts.append(_change(rows.keys[inside], sign * rows.values[inside]))
        return Change.joined(parts)

    def _store(self, keys: Int64s, versions: Int64s, values: Int64s) -> Change:
        """Keep what is newer than what is held; keys are ascending and differ."""
        differences = values.copy()
        is_newer = np.ones(len(keys), np.bool_)
        is_new = np.ones(len(keys), np.bool_)
        for rows in (self._rows, self._young):
            found, places = rows.find(keys)
            if not found.any():
                continue
            held, offered = places[found], np.flatnonzero(found)
            newer = versions[offered] > rows.versions[held]
            differences[offered] -= rows.values[held]
            is_newer[offered], is_new[offered] = newer, False
            held, offered = held[newer], offered[newer]
            rows.versions[held], rows.values[held] = versions[offered], values[offered]
        if is_new.any():
            self._add(_Rows(keys[is_new], versions[is_new], values[is_new]))
        counts = is_newer & self._counting(keys >> (_SERIES_BITS + MINUTE_BITS))
        return _change(keys[counts], differences[counts])

    def _counting(self, folds: Int64s) -> Bools:
        """Which rows are of a fold in force."""
        in_force = np.zeros(len(self._folds), np.bool_)
        in_force[[number for _, number in self._in_force.values()]] = True
        return in_force[folds]

    def _add(self, rows: _Rows) -> None:
        self._young = _merged(self._young, rows)
        if len(self._young.keys) > max(_YOUNG_ROWS, len(self._rows.keys) // 4):
            self._rows, self._young = _merged(self._rows, self._young), _Rows.empty()

    def count(self, floors: Int64s) -> int:
        """Rows that `keep` would leave."""
        return sum(int(np.count_nonzero(_above(rows.keys, floors))) for rows in (self._rows, self._young))

    def keep(self, floors: Int64s) -> None:
        """Forget the rows before the minute `floors[series]`, and number series and folds anew."""
        rows = _merged(self._rows, self._young)
        kept = np.flatnonzero(_above(rows.keys, floors))
        keys = rows.keys[kept]
        fold, old_folds = _renumbered(keys >> (_SERIES_BITS + MINUTE_BITS))
        series, old_series = _renumbered(_series(keys))
        self._folds = _chosen(self._folds, old_folds)
        self._series = _chosen(self._series, old_series)
        self._in_force = {
            base: (version, new)
            for base, (version, old) in self._in_force.items()
            if (new := _position(old_folds, old)) is not None
        }
        # Renumbering keeps the order, so the rows stay sorted.
        keys = (((fold << _SERIES_BITS) | series) << MINUTE_BITS) | (keys & _MINUTE_OF)
        self._rows, self._young = _Rows(keys, rows.versions[kept], rows.values[kept]), _Rows.empty()


class _Rows(NamedTuple):
    """Rows by ascending key; versions and values are changed in place."""

    keys: Int64s
    versions: Int64s
    values: Int64s

    @classmethod
    def empty(cls) -> _Rows:
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, WIDTH), np.int64))

    def find(self, keys: Int64s) -> tuple[Bools, Int64s]:
        """Which keys are there, and where each is or would be."""
        places = np.searchsorted(self.keys, keys)
        found = np.zeros(len(keys), np.bool_)
        inside = places < len(self.keys)
        found[inside] = self.keys[places[inside]] == keys[inside]
        return found, places


def _merged(rows: _Rows, others: _Rows) -> _Rows:
    if not len(rows.keys) or not len(others.keys):
        return others if not len(rows.keys) else rows
    keys = np.concatenate((rows.keys, others.keys))
    order = np.argsort(keys, kind="stable")
    return _Rows(
        keys[order],
        np.concatenate((rows.versions, others.versions))[order],
        np.concatenate((rows.values, others.values))[order],
    )


_NOTHING: Final = Change(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, WIDTH), np.int64))


def _change(keys: Int64s, values: Int64s) -> Change:
    return Change(_series(keys), keys & _MINUTE_OF, values)


def _above(keys: Int64s, floors: Int64s) -> Bools:
    return (keys & _MINUTE_OF) >= floors[_series(keys)]


def _series(keys: Int64s) -> Int64s:
    return (keys >> MINUTE_BITS) & _SERIES_OF


def _newest(keys: Int64s, versions: Int64s) -> Int64s:
    """Of each key the row with the highest version, of equal ones the last; in the order of the keys."""
    order = np.lexsort((versions, keys))  # stable
    is_last = np.ones(len(keys), np.bool_)
    is_last[:-1] = keys[order][1:] != keys[order][:-1]
    return order[is_last]


def _by_last_highest(rows: PartialRows) -> list[int]:
    """Codes of the folds, in the order of the last row that has the highest version of its fold."""
    order = np.lexsort((np.arange(rows.row_count), rows.version, rows.fold))
    fold = rows.fold[order]
    is_last = np.ones(len(fold), np.bool_)
    is_last[:-1] = fold[1:] != fold[:-1]
    return [int(code) for code in rows.fold[np.sort(order[is_last])]]


def _renumbered(numbers: Int64s) -> tuple[Int64s, Int64s]:
    """The same with numbers that leave nothing out, and the old number of each new one."""
    old, new = np.unique(numbers, return_inverse=True)
    return new, old


def _chosen(numbers: dict[_Key, int], old: Int64s) -> dict[_Key, int]:
    names = list(numbers)
    return {names[number]: new for new, number in enumerate(old.tolist())}


def _position(ordered: Int64s, number: int) -> int | None:
    place = int(np.searchsorted(ordered, number))
    return place if place < len(ordered) and ordered[place] == number else None
