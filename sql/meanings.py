"""What each stored column means: the comments of ClickHouse's columns.

Taken from the contract, so that the two cannot drift: a test holds the comments of the migrated tables and
views against these texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tokentide.schemas.aggregates import AGGREGATES, DIMENSIONS
from tokentide.schemas.anomaly import Anomaly
from tokentide.schemas.arrow import DERIVED_COLUMNS, EVALUATION_ROWS, EVENT_ROWS
from tokentide.schemas.call import Quality
from tokentide.schemas.columns import call_columns
from tokentide.schemas.evaluation import EvaluationEvent


def _typed(description: str) -> str:
    return description.replace(", RFC 3339 UTC.", ".").replace(", decimal text.", ".")


STORED_AT: Final = "When ClickHouse stored the row; retention counts from here."

_CHANGED_BY_THE_WORKER: Final[Mapping[str, str]] = {
    "cost_usd": "Cost of the call; null: unpriced. `cost_source` says whose figure it is.",
}
"""Columns that hold something else than what was sent."""

_CONTRACT: Final = {column.name: column.description for column in call_columns()}

EVENT_MEANINGS: Final[Mapping[str, str]] = {
    name: (_CONTRACT | dict(DERIVED_COLUMNS) | dict(_CHANGED_BY_THE_WORKER))[name]
    for name in EVENT_ROWS.names
} | {"stored_at": STORED_AT}
"""Of each column of `llm_events` and of the view `events`."""

_SOURCE: Final[Mapping[str, str]] = {
    "source": "Topic and topic id of the log that the row speaks for.",
    "source_partition": "Partition of that log.",
    "segment": "Which 65,536 offsets of the partition: offset / 65,536.",
    "first_offset": "Offset at which the row begins: the segment's first, or where the span before it was full, or what retention had left.",
    "fold": "Identifies the settings and price book that the row was computed with.",
    "version": "Offset up to which (exclusive) the log was read; the highest version of a row counts.",
}

_AGGREGATE_MEANINGS: Final[Mapping[str, str]] = (
    {"window_start": "Start of the window: `[start, start + 60 s)`, event time, UTC."}
    | {name: f"Dimension: {_CONTRACT.get(name) or DERIVED_COLUMNS[name]}" for name in DIMENSIONS}
    | {aggregate.name: f"{aggregate.meaning} [{aggregate.unit}]" for aggregate in AGGREGATES}
)

_OVER_SOME_CALLS: Final[Mapping[str, str]] = {
    "input_tokens": "Input tokens, cached ones included, of the `input_known_calls`; 0 where there are none. [tokens]",
    "output_tokens": "Output tokens, reasoning included, of the `output_known_calls`; 0 where there are none. [tokens]",
    "input_tokens_max": "The longest prompt of the `input_known_calls`; 0 where there are none. [tokens]",
    "cost_usd": "Cost of the `priced_calls`; 0 where there are none: the view `costs` has NULL there. [usd]",
}
"""A 0 that may mean `unknown`. Only views say it, because the table's comments are in a migration, which never changes."""

WINDOW_MEANINGS: Final[Mapping[str, str]] = dict(_AGGREGATE_MEANINGS) | dict(_OVER_SOME_CALLS)
"""Of each column of the view `windows`; units in brackets."""

PARTIAL_MEANINGS: Final[Mapping[str, str]] = (
    dict(_SOURCE) | dict(_AGGREGATE_MEANINGS) | {"stored_at": STORED_AT}
)
"""Of each column of `llm_windows`."""

LEDGER_MEANINGS: Final[Mapping[str, str]] = dict(_SOURCE) | {
    "topic": "Name of the topic.",
    "records": "Records read.",
    "gaps": "Offsets without a record: compaction, transaction markers.",
    "items": "Events of any type found in the records, packed ones counted singly; accepted, repeated and refused.",
    "events": "Accepted calls, sent whole or in parts; each has a row in `llm_events`.",
    "test_events": "Of these, the ones marked `test`.",
    "incomplete_events": "Of the events, those made of a part whose partner never came; they have no item of their own.",
    "duplicates": "Events whose `event_id` had been seen in the span; counted here and nowhere else.",
    "rejects": "Refused events or records; each is a dead letter.",
    "rejects_by_reason": "The same by reason.",
    "parts": "Requests, responses and errors that are part of a call and not its place; it is counted where it was completed or "
    "given up.",
    "evaluations": "Evaluations; each has a row in `llm_evaluations`.",
    "unknown_fields": "Fields of accepted events that the contract does not know.",
    "lost": "Offsets before the span that retention took before they were read.",
    "min_timestamp": "Earliest event time of the span; null: no event.",
    "max_timestamp": "Latest event time of the span; null: no event.",
    "pending_offsets": "Places of the parts that waited for their partner when the log had been read up to `version`.",
    "pending_items": "Position of each of these in its record; as long as `pending_offsets`.",
    "limited_from": "Offset from which on what the span holds counts against its limit; null: an older version wrote the row.",
    "stored_at": STORED_AT,
}
"""Of each column of `llm_ledger`."""

_EVALUATION: Final = {
    name: field.description or "" for name, field in EvaluationEvent.model_fields.items()
} | {f"quality_{name}": field.description or "" for name, field in Quality.model_fields.items()}

_EVALUATION_PLACE: Final = {"source_index": "Position in a packed record, from 0."}
"""Unlike a call, an evaluation has always a record of its own."""

EVALUATION_MEANINGS: Final[Mapping[str, str]] = {
    name: (dict(DERIVED_COLUMNS) | _EVALUATION | _EVALUATION_PLACE)[name] for name in EVALUATION_ROWS.names
} | {"stored_at": STORED_AT}
"""Of each column of `llm_evaluations` and of the view `evaluations`."""

_ANOMALY_WITHOUT_DESCRIPTION: Final[Mapping[str, str]] = {
    "schema_version": "Version of the message.",
    "state": "`open` or `resolved`.",
    "severity": "`warning` or `critical`.",
}

ANOMALY_MEANINGS: Final[Mapping[str, str]] = {
    name: _typed(field.description or _ANOMALY_WITHOUT_DESCRIPTION[name])
    for name, field in Anomaly.model_fields.items()
} | {"stored_at": STORED_AT}
"""Of each column of `llm_anomalies`, where times and numbers are no text."""
