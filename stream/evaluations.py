"""Evaluations: from events to the rows of `llm_evaluations`. They are stored, and joined with their calls by SQL."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tokentide.schemas.arrow import EVALUATION_ROWS
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.stream.decode.batch import Other
from tokentide.stream.enrich.short_texts import SHORT_TEXTS
from tokentide.stream.record_batch import RecordBatch, Source


def evaluation_rows(others: Sequence[Other], source: Source, batch: RecordBatch, stored_to: int) -> pa.Table:
    """The rows of those that are evaluations and lie at or above an offset."""
    rows = [
        _row(other, other.event, source, batch)
        for other in others
        if isinstance(other.event, EvaluationEvent) and batch.offsets[other.record] >= stored_to
    ]
    return pa.Table.from_pylist(rows, EVALUATION_ROWS)


def _row(other: Other, event: EvaluationEvent, source: Source, batch: RecordBatch) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "timestamp": event.timestamp,
        "service": event.service,
        "environment": event.environment,
        "tenant": event.tenant,
        "user_id": event.user_id,
        "request_id": event.request_id,
        "quality_score": event.quality.score,
        "quality_label": SHORT_TEXTS.text(event.quality.label) if event.quality.label else None,
        "labels": SHORT_TEXTS.labels(event.labels or {}),
        "source": source.name,
        "source_partition": source.partition,
        "source_offset": int(batch.offsets[other.record]),
        "source_index": other.item,
        "sent_at": int(batch.timestamps_ms[other.record]),
    }
