"""Text columns with few distinct values, as dictionary arrays: codes to compute with, and half the cost of an insert."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.stream.decode.batch import Bools, Int64s

DICTIONARY = pa.dictionary(pa.int32(), pa.string())


def pick(texts: Sequence[str | None], which: Int64s) -> Any:
    """The column whose row `i` is `texts[which[i]]`; None is null."""
    distinct = list(dict.fromkeys(text for text in texts if text is not None))
    code_of = {text: code for code, text in enumerate(distinct)}
    codes = np.array([-1 if text is None else code_of[text] for text in texts], np.int32)[which]
    unknown = codes < 0
    indices = pa.array(codes, mask=unknown) if unknown.any() else pa.array(codes)
    return pa.DictionaryArray.from_arrays(indices, pa.array(distinct, pa.string()))


def constant(text: str, rows: int) -> Any:
    """The same text in every row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def codes_of(column: Any) -> tuple[Int64s, list[str]]:
    """Codes and texts of a text column; null is a code of its own, with the empty text."""
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    texts: list[str] = encoded.dictionary.to_pylist()
    if not encoded.null_count:
        return encoded.indices.to_numpy().astype(np.int64), texts
    codes = pc.fill_null(encoded.indices, len(texts)).to_numpy().astype(np.int64)
    return codes, [*texts, ""]


def is_one_of(column: Any, values: Collection[str]) -> Bools:
    """Where a text column has one of the values; null has none, not even the empty text."""
    codes, texts = codes_of(column)
    wanted = np.array([text in values for text in texts], np.bool_)
    if column.null_count:
        wanted[-1] = False
    if not wanted.any():
        return np.zeros(len(codes), np.bool_)
    return np.ones(len(codes), np.bool_) if wanted.all() else wanted[codes]


def coalesce(first: Any, second: Any) -> Any:
    """The first column where it is known, else the second; both may be dictionaries."""
    return pc.dictionary_encode(pc.coalesce(pc.cast(first, pa.string()), pc.cast(second, pa.string())))
