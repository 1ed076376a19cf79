"""Small things that every step does with a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tokentide.stream.decode.arrays import numbers
from tokentide.stream.decode.batch import Bools, Int64s
from tokentide.stream.grouping import one_chunk
from tokentide.stream.pricing.usage import MISSING


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The table with a column added or replaced."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


def counts(table: pa.Table, name: str) -> Int64s:
    """A count column with `MISSING` where it is unknown or absent."""
    if name not in table.column_names:
        return np.full(table.num_rows, MISSING, np.int64)
    number = numbers(one_chunk(table, name))
    return number.values if number.known.all() else np.where(number.known, number.values, MISSING)


def count_array(values: Int64s) -> Any:
    """The opposite of `counts`."""
    unknown = values == MISSING
    return pa.array(values, mask=unknown) if unknown.any() else pa.array(values)


def where_known(table: pa.Table, name: str) -> Bools:
    """Rows in which a column is there and not null."""
    if name not in table.column_names:
        return np.zeros(table.num_rows, dtype=np.bool_)
    known: Bools = one_chunk(table, name).is_valid().to_numpy(zero_copy_only=False)
    return known
