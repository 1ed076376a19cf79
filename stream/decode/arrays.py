"""Views of Arrow arrays as numpy, and back: no copies where Arrow allows it."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide.schemas.arrow import MONEY
from tokentide.stream.decode.batch import Bools, Int64s


class Numbers(NamedTuple):
    """A column of numbers; what stands where `known` is false means nothing."""

    values: npt.NDArray[Any]
    known: Bools


def all_true(flags: Any) -> Bools:
    """A boolean array without nulls as numpy."""
    return cast("Bools", flags.to_numpy(zero_copy_only=False))


def numbers(column: Any) -> Numbers:
    """View an int64, float64 or timestamp array."""
    dtype = np.float64 if pa.types.is_float64(column.type) else np.int64
    values = np.frombuffer(column.buffers()[1], dtype)[column.offset :][: len(column)]
    if not column.null_count:
        return Numbers(values, np.ones(len(column), dtype=np.bool_))
    return Numbers(values, all_true(column.is_valid()))


def text_lengths(column: Any) -> npt.NDArray[np.int32]:
    """Bytes of each text; what is null counts 0."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    return cast("npt.NDArray[np.int32]", np.diff(offsets))


def has_empty_text(column: Any, lengths: npt.NDArray[np.int32]) -> bool:
    """Whether any text that is not null is empty."""
    return bool(np.count_nonzero(lengths == 0) > column.null_count)


def decimal_from_picodollars(picodollars: Int64s, *, known: Bools) -> Any:
    """Exact USD as Decimal(38, 12): the integers are its 128-bit unscaled values."""
    words = np.empty((len(picodollars), 2), dtype=np.int64)
    words[:, 0] = picodollars
    words[:, 1] = picodollars >> 63  # the sign
    validity = None if known.all() else pa.array(known).buffers()[1]
    return pa.Array.from_buffers(MONEY, len(picodollars), [validity, pa.py_buffer(words)])
