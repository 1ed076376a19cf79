"""A small log of events for tests of SQL: its event rows, the partial windows and the ledger that belong to them.

The fold here is written for reading, in plain Python over dictionaries, and computes what the tests look at.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from tokentide.schemas.aggregates import AGGREGATES, DEFAULT_DIMENSIONS, DIMENSIONS, SEGMENT_OFFSETS
from tokentide.schemas.arrow import EVALUATION_ROWS, EVENT_ROWS, LEDGER_ROWS, WINDOW_ROWS
from tokentide.schemas.sketch import bucket_key

Row = Mapping[str, Any]

SOURCE: Final = "llm.events/AAAAAAAAAAAAAAAAAAAAAA"
START: Final = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
FOLD: Final = 11


def event(offset: int, **fields: Any) -> dict[str, Any]:
    """One event row; one second after the other unless a timestamp is given."""
    timestamp = fields.pop("timestamp", START + timedelta(seconds=offset % SEGMENT_OFFSETS))
    cost = fields.pop("cost_usd", Decimal("0.0015"))
    return {
        "event_id": f"event-{offset}",
        "timestamp": timestamp,
        "window_start": timestamp.replace(second=0, microsecond=0),
        "service": "chat",
        "environment": "production",
        "provider": "openai",
        "model": "gpt-4o",
        "status": "ok",
        "input_tokens": 100,
        "output_tokens": 10,
        "duration_ms": 250.0,
        "cost_usd": None if cost is None else Decimal(cost),
        "source": SOURCE,
        "source_partition": 0,
        "source_offset": offset,
        "source_index": 0,
        "sent_at": timestamp,
        "late": False,
    } | fields


def event_table(events: Sequence[Row]) -> Any:
    """Event rows with the columns that occur, typed as the contract says."""
    names = [name for name in EVENT_ROWS.names if any(name in row for row in events)]
    schema = pa.schema([EVENT_ROWS.field(name) for name in names])
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in events], schema=schema)


def evaluation(offset: int, **fields: Any) -> dict[str, Any]:
    """One evaluation of the request `request-{offset}`."""
    return {
        "event_id": f"evaluation-{offset}",
        "timestamp": START + timedelta(days=1),
        "service": "chat",
        "environment": "production",
        "request_id": f"request-{offset}",
        "quality_score": 0.5,
        "source": SOURCE,
        "source_partition": 0,
        "source_offset": offset,
        "source_index": 0,
        "sent_at": START + timedelta(days=1),
    } | fields


def evaluation_table(evaluations: Sequence[Row]) -> Any:
    """Evaluations, with all columns."""
    rows = [{name: row.get(name) for name in EVALUATION_ROWS.names} for row in evaluations]
    return pa.Table.from_pylist(rows, schema=EVALUATION_ROWS)


def partial_table(
    events: Iterable[Row],
    *,
    fold: int = FOLD,
    version: int | None = None,
    dimensions: Sequence[str] = DEFAULT_DIMENSIONS,
) -> Any:
    """The partials of events, by source, partition, segment, window and series; `version` is the last offset + 1."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in events:
        series = tuple(row.get(name) or "" if name in dimensions else "" for name in DIMENSIONS)
        place = (row["source"], row["source_partition"], row["source_offset"] // SEGMENT_OFFSETS)
        groups[*place, row["window_start"], series].append(row)
    rows = []
    for (source, partition, segment, window_start, series), members in groups.items():
        read_up_to = version or max(member["source_offset"] for member in members) + 1
        identity = {
            "source": source,
            "source_partition": partition,
            "segment": segment,
            "first_offset": segment * SEGMENT_OFFSETS,
            "fold": fold,
            "version": read_up_to,
            "window_start": window_start,
        }
        rows.append(identity | dict(zip(DIMENSIONS, series, strict=True)) | aggregates(members))
    return pa.Table.from_pylist(rows, schema=WINDOW_ROWS)


def aggregates(events: Iterable[Row]) -> dict[str, Any]:
    """Every aggregate; those that tests look at are computed, the others are empty."""
    events = list(events)
    real = [row for row in events if not row.get("test")]
    failed = [row for row in real if row["status"] == "error"]
    durations = [row["duration_ms"] for row in real if row.get("duration_ms") is not None]
    costs = [row["cost_usd"] for row in real if row.get("cost_usd") is not None]
    turns = [row for row in real if (row.get("turn") or 0) > 1]
    prompts = [row["input_tokens"] for row in real if row.get("input_tokens") is not None]
    # Written as decimal text, so that no rounding of a double moves a score to another hundredth.
    scores = [Decimal(str(row["quality_score"])) for row in real if row.get("quality_score") is not None]
    points = [
        (row["input_tokens"], round(row["stages_model_ms"] * 1000))
        for row in real
        if row.get("stages_model_ms") is not None and row.get("input_tokens") and row["status"] == "ok"
    ]
    computed: dict[str, Any] = {
        "calls": len(real),
        "test_calls": len(events) - len(real),
        "errors": len(failed),
        "cancelled_calls": sum(row["status"] == "cancelled" for row in real),
        "errors_by_class": Counter(row.get("error_class") or "unknown" for row in failed),
        "errors_by_owner": Counter(row.get("error_owner") or "unknown" for row in failed),
        "errors_by_stage": Counter(row.get("error_stage") or "unknown" for row in failed),
        "input_known_calls": len(prompts),
        "input_tokens": sum(prompts),
        "input_tokens_max": max(prompts, default=0),
        "input_tokens_sketch": Counter(bucket_key(float(tokens)) for tokens in prompts),
        "prompt_time_calls": len(points),
        "prompt_time_input_tokens": sum(tokens for tokens, _ in points),
        "prompt_time_model_us": sum(time_us for _, time_us in points),
        "prompt_time_squares": sum(tokens * tokens for tokens, _ in points),
        "prompt_time_products": sum(tokens * time_us for tokens, time_us in points),
        "quality_scored_calls": len(scores),
        "quality_score_e4": sum(round(score * 10_000) for score in scores),
        "quality_score_squares_e8": sum(round(score * 10_000) ** 2 for score in scores),
        "quality_buckets": Counter(int(score * 100) for score in scores),
        "output_tokens": sum(row.get("output_tokens") or 0 for row in real),
        "cache_read_input_tokens": sum(row.get("cache_read_input_tokens") or 0 for row in real),
        "cost_usd": sum(costs, Decimal(0)),
        "priced_calls": len(costs),
        "multi_turn_calls": len(turns),
        "context_reported_calls": sum(row.get("context_hit") is not None for row in turns),
        "context_hits": sum(bool(row.get("context_hit")) for row in turns),
        "duration_calls": len(durations),
        "duration_us": round(sum(durations) * 1000),
        "duration_max_us": round(max(durations, default=0) * 1000),
        "duration_ms_sketch": Counter(bucket_key(value) for value in durations),
    }
    return {
        aggregate.name: _value(computed.get(aggregate.name), is_map=aggregate.merge == "map")
        for aggregate in AGGREGATES
    }


def _value(value: Any, *, is_map: bool) -> Any:
    if is_map:
        return sorted((value or {}).items())
    return 0 if value is None else value


def ledger_table(events: Iterable[Row], *, fold: int = FOLD, **overrides: Any) -> Any:
    """The ledger rows of events whose records hold one event each, from the first offset of each segment on."""
    segments: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in events:
        segments[row["source"], row["source_partition"], row["source_offset"] // SEGMENT_OFFSETS].append(row)
    rows = [
        ledger_row(
            source=source, source_partition=partition, segment=segment, events=members, fold=fold, **overrides
        )
        for (source, partition, segment), members in segments.items()
    ]
    return pa.Table.from_pylist(rows, schema=LEDGER_ROWS)


def ledger_row(
    *, source: str, source_partition: int, segment: int, events: Sequence[Row], fold: int, **overrides: Any
) -> dict[str, Any]:
    """One ledger row; offsets without an event are gaps, parts and evaluations lie in the records of events."""
    first_offset = overrides.get("first_offset", segment * SEGMENT_OFFSETS)
    version = overrides.get("version", max(row["source_offset"] for row in events) + 1)
    offsets = {row["source_offset"] for row in events}
    timestamps = [row["timestamp"] for row in events]
    incomplete = sum(bool(row.get("incomplete")) for row in events)
    besides = overrides.get("parts", 0) + overrides.get("evaluations", 0)
    return {
        "source": source,
        "source_partition": source_partition,
        "segment": segment,
        "fold": fold,
        "version": version,
        "topic": "llm.events",
        "first_offset": first_offset,
        "records": len(offsets),
        "gaps": version - first_offset - len(offsets),
        "items": len(events) - incomplete + besides,
        "events": len(events),
        "test_events": sum(bool(row.get("test")) for row in events),
        "incomplete_events": incomplete,
        "duplicates": 0,
        "rejects": 0,
        "rejects_by_reason": [],
        "parts": 0,
        "evaluations": 0,
        "unknown_fields": 0,
        "lost": 0,
        "min_timestamp": min(timestamps),
        "max_timestamp": max(timestamps),
        "pending_offsets": [],
        "pending_items": [],
        "limited_from": first_offset,
    } | overrides
