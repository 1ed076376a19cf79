"""The Arrow schemas of what the worker writes: event rows, window partials and ledger rows.

Derived from the contract and the list of aggregates; `sql/` is tested against them. Needs pyarrow, so it is
for the worker only: the SDK imports neither this module nor anything that does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from tokentide.schemas.aggregates import AGGREGATES, DIMENSIONS, Aggregate
from tokentide.schemas.columns import Column, call_columns
from tokentide.schemas.fields import ColumnKind

MONEY: Final = pa.decimal128(38, 12)
WIDE_INTEGER: Final = pa.decimal128(38, 0)
"""For sums that 64 bits cannot hold."""
TIME_US: Final = pa.timestamp("us", "UTC")
TIME_MS: Final = pa.timestamp("ms", "UTC")
TIME_S: Final = pa.timestamp("s", "UTC")

_TYPES: Final[Mapping[ColumnKind, pa.DataType]] = {
    "text": pa.string(),
    "id": pa.string(),
    "count": pa.int64(),
    "ms": pa.float64(),
    "fraction": pa.float64(),
    "number": pa.float64(),
    "money": MONEY,
    "flag": pa.bool_(),
    "timestamp": TIME_US,
    "texts": pa.list_(pa.string()),
    "labels": pa.map_(pa.string(), pa.string()),
    "content": pa.string(),
}


def arrow_type(column: Column) -> pa.DataType:
    """The type of a contract column once decoded. Content is not stored; see `input_text`."""
    return _TYPES[column.kind]


_DERIVED: Final = (
    ("window_start", TIME_S, "Start of the minute that the event counts in."),
    ("model", pa.string(), "The model that was priced; where no price is known, the one reported."),
    ("cost_source", pa.string(), "`reported`, `calculated`, `estimated`, `response_cache`; empty: unpriced."),
    ("unpriced_reason", pa.string(), "Why the cost is unknown; empty: it is known."),
    ("price_book", pa.string(), "Version of the prices used; empty: none was."),
    (
        "price_note",
        pa.string(),
        "What was assumed: `date_assumed`, `tier_assumed`, `model_assumed`, several with commas, or empty.",
    ),
    ("input_tokens_source", pa.string(), "`reported`, `counted`, `estimated`; empty: unknown."),
    ("output_tokens_source", pa.string(), "`reported`, `counted`, `estimated`; empty: unknown."),
    ("error_owner", pa.string(), "`provider`, `application`, `user`; empty: no error or unknown."),
    ("late", pa.bool_(), "Its window had already ended by the partition's newest event time."),
    (
        "assembled_from",
        pa.string(),
        "Parts that the call was made of: `request+response`, `request+error`, or one alone; empty: one `call` event.",
    ),
    ("incomplete", pa.bool_(), "True: a part of the call never came within the time limit."),
    ("input_chars", pa.int64(), "Characters of the prompt's text; null: it was not sent."),
    ("output_chars", pa.int64(), "Characters of the answer's text; null: it was not sent."),
    ("input_hash", pa.string(), "Keyed hash of the prompt, hex; empty: it was not sent."),
    ("output_hash", pa.string(), "Keyed hash of the answer, hex; empty: it was not sent."),
    ("input_text", pa.string(), "The prompt, redacted; only where keeping it is switched on."),
    ("output_text", pa.string(), "The answer, redacted; only where keeping it is switched on."),
    ("source", pa.string(), "Topic and topic id of the record."),
    ("source_partition", pa.int32(), "Partition of the record."),
    ("source_offset", pa.int64(), "Offset of the record."),
    (
        "source_index",
        pa.int32(),
        "Position in a packed record, from 0; negative: the record ended the wait of an incomplete call.",
    ),
    ("sent_at", TIME_MS, "Kafka's time of the record."),
)
"""Columns of an event row beside the contract's: name, type, meaning."""

DERIVED_COLUMNS: Final[Mapping[str, str]] = {name: meaning for name, _, meaning in _DERIVED}

EVENT_ROWS: Final = pa.schema(
    [pa.field(c.name, arrow_type(c)) for c in call_columns() if c.kind != "content"]
    + [pa.field(name, kind) for name, kind, _ in _DERIVED]
)
"""One row per event of `llm_events`; `stored_at` is ClickHouse's own. Null means unknown; in text
columns ClickHouse stores it as the empty string."""

SOURCE_FIELDS: Final = (
    pa.field("source", pa.string()),
    pa.field("source_partition", pa.int32()),
    pa.field("segment", pa.int64()),
    pa.field("first_offset", pa.int64()),
    pa.field("fold", pa.uint64()),
    pa.field("version", pa.int64()),
)
"""Which part of which log a partial or ledger row speaks for: the offsets from `first_offset` (the segment's first,
or where the span before was full, or what retention had left) to `version` (exclusive) of a segment of a partition. `fold` identifies the settings and price book
that it was computed with."""


def aggregate_type(aggregate: Aggregate) -> pa.DataType:
    """The type of an aggregate's column."""
    if aggregate.is_wide:
        return MONEY if aggregate.unit == "usd" else WIDE_INTEGER
    match aggregate.key_type:
        case "bucket":
            return pa.map_(pa.int16(), pa.int64())
        case "name":
            return pa.map_(pa.string(), pa.int64())
        case None:
            return pa.int64()


WINDOW_ROWS: Final = pa.schema(
    [
        *SOURCE_FIELDS,
        pa.field("window_start", TIME_S),
        *(pa.field(name, pa.string()) for name in DIMENSIONS),
        *(pa.field(aggregate.name, aggregate_type(aggregate)) for aggregate in AGGREGATES),
    ]
)
"""One row per partial of `llm_windows`: the absolute aggregate of one series in one window and span."""

LEDGER_ROWS: Final = pa.schema(
    [
        *SOURCE_FIELDS,
        pa.field("topic", pa.string()),
        pa.field("records", pa.int64()),
        pa.field("gaps", pa.int64()),
        pa.field("items", pa.int64()),
        pa.field("events", pa.int64()),
        pa.field("test_events", pa.int64()),
        pa.field("incomplete_events", pa.int64()),
        pa.field("duplicates", pa.int64()),
        pa.field("rejects", pa.int64()),
        pa.field("rejects_by_reason", pa.map_(pa.string(), pa.int64())),
        pa.field("parts", pa.int64()),
        pa.field("evaluations", pa.int64()),
        pa.field("unknown_fields", pa.int64()),
        pa.field("lost", pa.int64()),
        pa.field("min_timestamp", TIME_US),
        pa.field("max_timestamp", TIME_US),
        pa.field("pending_offsets", pa.list_(pa.int64())),
        pa.field("pending_items", pa.list_(pa.int32())),
        pa.field("limited_from", pa.int64()),
    ]
)
"""One row per span of a segment: `version - first_offset = records + gaps` and
`items = events - incomplete_events + duplicates + rejects + parts + evaluations`, where `events` holds the `test_events` and
the `incomplete_events` (calls of parts whose partner never came, which have no item of their own) too, `parts` are
requests and answers that are part of a call and not its place, and `lost` counts offsets of the segment that retention took before
they were read. The places of parts that wait for their partner at `version` are in `pending_offsets` and `pending_items`. From
`limited_from` on, what the span holds counts against its limit (`tokentide.stream.fold.extent`); null: an older version wrote the row."""

EVALUATION_ROWS: Final = pa.schema(
    [
        pa.field("event_id", pa.string()),
        pa.field("timestamp", TIME_US),
        *(
            pa.field(name, pa.string())
            for name in ("service", "environment", "tenant", "user_id", "request_id")
        ),
        pa.field("quality_score", pa.float64()),
        pa.field("quality_label", pa.string()),
        pa.field("labels", pa.map_(pa.string(), pa.string())),
        pa.field("source", pa.string()),
        pa.field("source_partition", pa.int32()),
        pa.field("source_offset", pa.int64()),
        pa.field("source_index", pa.int32()),
        pa.field("sent_at", TIME_MS),
    ]
)
"""One row per evaluation of `llm_evaluations`; `stored_at` is ClickHouse's own."""
