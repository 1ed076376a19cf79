"""Event rows with their place in the log."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from tokentide.schemas.arrow import TIME_MS
from tokentide.stream.decode.batch import Int32s, Int64s
from tokentide.stream.record_batch import Source
from tokentide.stream.texts import constant


class Places(NamedTuple):
    """Where each event of a table stands in its partition."""

    offset: Int64s
    item: Int32s
    sent_ms: Int64s


def placed(table: pa.Table, source: Source, places: Places) -> pa.Table:
    """Add the columns that say where each event came from."""
    rows = table.num_rows
    columns = {
        "source": constant(source.name, rows),
        "source_partition": pa.repeat(pa.scalar(source.partition, pa.int32()), rows),
        "source_offset": pa.array(places.offset),
        "source_index": pa.array(places.item, pa.int32()),
        "sent_at": pa.array(places.sent_ms, TIME_MS),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def unpriced(table: pa.Table) -> int:
    """Rows without a cost."""
    if "cost_usd" not in table.column_names:
        return int(table.num_rows)
    return int(table["cost_usd"].null_count)
