"""Rows by equal values: the step before anything that is done once per distinct value instead of once per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.stream.decode.batch import Int64s
from tokentide.stream.texts import codes_of

_MOST_COMBINATIONS: Final = 1 << 62


class Encoded(NamedTuple):
    """A text column as codes and the distinct texts; null is the empty text."""

    codes: Int64s
    texts: list[str]


class Groups(NamedTuple):
    """Rows with equal keys; groups are numbered in the order of their first row."""

    of_row: Int64s
    first_row: Int64s


def one_chunk(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece; copies only if it is in several."""
    column = table[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def encode(table: pa.Table, name: str) -> Encoded:
    """Encode a text column; one that is absent is all empty text."""
    if name not in table.column_names:
        return Encoded(np.zeros(table.num_rows, np.int64), [""])
    return Encoded(*codes_of(one_chunk(table, name)))


def group(keys: Iterable[Int64s]) -> Groups:
    """Group rows whose keys are equal in every one of the columns of `keys`, of which there is at least one."""
    combined, size = np.empty(0, np.int64), 0
    for key in keys:
        if not size:
            combined, size = _bounded(key)
            continue
        digits, base = _bounded(key)
        if size > _MOST_COMBINATIONS // base:  # numbered anew, there are no more of them than rows
            combined, size = _bounded(_ranked(combined).of_row)
            if size > _MOST_COMBINATIONS // base:
                digits, base = _bounded(_ranked(digits).of_row)
        combined, size = combined * base + digits, size * base
    assert size
    return _ranked(combined)


def _bounded(key: Int64s) -> tuple[Int64s, int]:
    """A key of numbers from 0, and the first number that is above all of them."""
    if not len(key):
        return key, 1
    if key.min() < 0 or key.max() >= _MOST_COMBINATIONS:
        key = _ranked(key).of_row
    return key, int(key.max()) + 1


def combinations(table: pa.Table, names: Sequence[str]) -> tuple[Groups, list[tuple[str, ...]]]:
    """Group rows by several text columns; return the groups and the texts of each."""
    encoded = [encode(table, name) for name in names]
    groups = group([column.codes for column in encoded])
    texts = [
        tuple(column.texts[column.codes[row]] for column in encoded) for row in groups.first_row.tolist()
    ]
    return groups, texts


def _ranked(key: Int64s) -> Groups:
    encoded = pc.dictionary_encode(pa.array(key))  # codes in the order of first appearance
    of_row = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    first_row = np.empty(len(encoded.dictionary), np.int64)
    first_row[of_row[::-1]] = np.arange(
        len(key) - 1, -1, -1
    )  # of several the last one written stays: the first row
    return Groups(of_row, first_row)
