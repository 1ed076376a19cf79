"""Evaluations: from events to the rows of `llm_evaluations`. They are stored, and joined with their calls by SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from tokentide.schemas.arrow import EVALUATION_ROWS
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.stream.decode.batch import Int64s, Other


class LogOf(NamedTuple):
    """The records that events came from."""

    source: str
    partition: int
    offsets: Int64s
    timestamps_ms: Int64s


def evaluation_rows(others: Sequence[Other], log: LogOf, stored_to: int) -> pa.Table:
    """The rows of those that are evaluations and lie at or above an offset."""
    rows = [
        _row(other, other.event, log)
        for other in others
        if isinstance(other.event, EvaluationEvent) and log.offsets[other.record] >= stored_to
    ]
    return pa.Table.from_pylist(rows, EVALUATION_ROWS)


def _row(other: Other, event: EvaluationEvent, log: LogOf) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "timestamp": event.timestamp,
        "service": event.service,
        "environment": event.environment,
        "tenant": event.tenant,
        "user_id": event.user_id,
        "request_id": event.request_id,
        "quality_score": event.quality.score,
        "quality_label": event.quality.label or None,
        "labels": sorted((event.labels or {}).items()),
        "source": log.source,
        "source_partition": log.partition,
        "source_offset": int(log.offsets[other.record]),
        "source_index": other.item,
        "sent_at": int(log.timestamps_ms[other.record]),
    }
