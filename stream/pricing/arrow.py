"""Between Arrow columns and the integers that prices are computed with; no arithmetic, no copies by row.

A `decimal128(38, 12)` of USD is, in memory, the number of picodollars as a 128-bit integer. Amounts that the
contract allows fit the lower half, so reading is a view and writing fills in the sign.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokentide.stream.pricing.usage import MISSING, IntColumn

MONEY: Final = pa.decimal128(38, 12)


def token_column(column: Any) -> IntColumn:
    """An int64 Arrow array or chunked array as numpy, `MISSING` where null."""
    filled: IntColumn = column.fill_null(MISSING).to_numpy()
    return filled


def picodollar_column(column: Any) -> IntColumn:
    """A `decimal128(38, 12)` array or chunked array of USD as picodollars, `MISSING` where null.

    Raises:
        TypeError: another type; cast it first.
        OverflowError: an amount beyond int64 (9.2 million USD); the contract refuses those on entry.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if array.type != MONEY:
        raise TypeError(f"a column of money is {MONEY}, not {array.type}")
    halves = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)[
        array.offset : array.offset + len(array)
    ]
    is_null: NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    if (~is_null & (halves[:, 1] != halves[:, 0] >> 63)).any():
        raise OverflowError("an amount of money does not fit 64 bits of picodollars")
    return np.where(is_null, MISSING, halves[:, 0])


def money_column(picodollars: IntColumn) -> Any:
    """Picodollars as a `decimal128(38, 12)` array of USD, null where `MISSING`."""
    halves = np.stack([picodollars, picodollars >> 63], axis=1)
    valid = pa.array(picodollars != MISSING).buffers()[1]
    return pa.Array.from_buffers(MONEY, len(picodollars), [valid, pa.py_buffer(np.ascontiguousarray(halves))])
