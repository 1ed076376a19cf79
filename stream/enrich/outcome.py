"""The outcome of a call: its status where none was sent, and the window it belongs to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tokentide.schemas.aggregates import WINDOW_SECONDS
from tokentide.schemas.arrow import TIME_S
from tokentide.stream.decode.arrays import numbers
from tokentide.stream.enrich.tables import where_known, with_column
from tokentide.stream.grouping import one_chunk
from tokentide.stream.texts import coalesce, pick

_ERROR_COLUMNS = ("error_type", "error_message", "error_http_status", "error_stage", "error_class")


def add_status(table: pa.Table) -> pa.Table:
    """Fill in an absent status: `error` where anything of an error was reported, else `ok`."""
    known = where_known(table, "status")
    if known.all() and table.num_rows:
        return table
    failed = np.zeros(table.num_rows, dtype=np.bool_)
    for name in _ERROR_COLUMNS:
        failed |= where_known(table, name)
    derived = pick(("ok", "error"), failed.astype(np.int64))
    if "status" in table.column_names:
        derived = coalesce(one_chunk(table, "status"), derived)
    return with_column(table, "status", derived)


def add_window_start(table: pa.Table) -> pa.Table:
    """Add the start of the minute that each event counts in."""
    timestamps = numbers(one_chunk(table, "timestamp")).values
    seconds = timestamps // (WINDOW_SECONDS * 1_000_000) * WINDOW_SECONDS
    return with_column(table, "window_start", pa.array(seconds, TIME_S))
