"""Evaluations: from events to the rows of `llm_evaluations`. They are stored, and joined with their calls by SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from tokentide.schemas.arrow import EVALUATION_ROWS
from tokentide.stream.decode.batch import Other
from tokentide.stream.enrich.short_texts import SHORT_TEXTS
from tokentide.stream.record_batch import RecordBatch, Source

_AS_SENT: Final = (
    "event_id", "timestamp", "service", "tenant", "user_id", "request_id", "quality_score",
)  # fmt: skip


def evaluation_rows(others: Sequence[Other], source: Source, batch: RecordBatch, stored_to: int) -> pa.Table:
    """The rows of those that are evaluations and lie at or above an offset."""
    rows = [
        _row(other, source, batch)
        for other in others
        if other.kind == "evaluation" and batch.offsets[other.record] >= stored_to
    ]
    return pa.Table.from_pylist(rows, EVALUATION_ROWS)


def _row(other: Other, source: Source, batch: RecordBatch) -> dict[str, object]:
    values = other.values
    label, labels = values.get("quality_label"), values.get("labels")
    return {
        **{name: values.get(name) for name in _AS_SENT},
        "environment": values.get("environment", "default"),
        "quality_label": SHORT_TEXTS.text(label) if isinstance(label, str) else None,
        "labels": SHORT_TEXTS.labels(labels if isinstance(labels, Mapping) else {}),
        "source": source.name,
        "source_partition": source.partition,
        "source_offset": int(batch.offsets[other.record]),
        "source_index": other.item,
        "sent_at": int(batch.timestamps_ms[other.record]),
    }
