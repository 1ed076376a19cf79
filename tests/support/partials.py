"""Handmade window partials: a line each, as rows of `llm_windows` and as records of the windows topic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tokentide.schemas.aggregates import DIMENSIONS
from tokentide.schemas.arrow import SOURCE_FIELDS, WINDOW_ROWS
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.rows import PartialDecoder
from tokentide.stream.kafka_out import encode_partials

SOURCE = "llm.events:AAAAAAAAAAAAAAAAAAAAAA"
START = 28_401_120
"""Minutes since 1970: 2024-01-01T00:00Z."""


@dataclass(frozen=True)
class Partial:
    """One partial; `minute` counts from `START`."""

    minute: int
    counts: Counts
    version: int = 1
    partition: int = 0
    segment: int = 0
    first_offset: int = 0
    fold: int = 11
    source: str = SOURCE
    series: dict[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """All columns of `WINDOW_ROWS`."""
        series = {"environment": "default", "service": "checkout", "provider": "openai", "model": "gpt-4o"}
        return _EMPTY | dict.fromkeys(DIMENSIONS, "") | series | self.series | self.counts._asdict() | {
            "source": self.source,
            "source_partition": self.partition,
            "segment": self.segment,
            "first_offset": self.first_offset,
            "fold": self.fold,
            "version": self.version,
            "window_start": 60 * (START + self.minute),
        }  # fmt: skip

    def but(self, **changes: Any) -> Partial:
        """The same with changes."""
        return replace(self, **changes)


def _empty(kind: pa.DataType) -> Any:
    if pa.types.is_map(kind):
        return []
    return Decimal(0) if pa.types.is_decimal(kind) else 0


_EMPTY = {f.name: _empty(f.type) for f in WINDOW_ROWS}


def partial_table(partials: Iterable[Partial]) -> pa.Table:
    """Rows of `WINDOW_ROWS`."""
    return pa.Table.from_pylist([partial.row() for partial in partials], schema=WINDOW_ROWS)


def record(partials: Iterable[Partial]) -> bytes:
    """The value of one record of the windows topic."""
    return encode_partials(partial_table(partials))


_DETECTED = pa.schema(
    [
        field
        for field in WINDOW_ROWS
        if field.name
        in {*(source.name for source in SOURCE_FIELDS), "window_start", *DIMENSIONS, *Counts._fields}
    ]
)


def decoded(partials: Iterable[Partial]) -> pa.Table:
    """One record as the detector takes it; made of the columns that it reads, which is quicker."""
    rows = [partial.row() for partial in partials]
    table = pa.table({name: [row[name] for row in rows] for name in _DETECTED.names}, schema=_DETECTED)
    return PartialDecoder().decode(encode_partials(table))
