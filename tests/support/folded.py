"""Events through the worker's real path, from bytes to partial windows: decoder, enrichment, fold.

Prices are these alone, so that costs can be worked out by hand: acme/one takes a millionth of a dollar for a token of
the prompt and two for one of the answer, and openai/gpt-4o, whose tokenizer is known, the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from tests.support.reference_fold import Key, Value, picodollars
from tokentide.schemas.aggregates import AGGREGATES, DEFAULT_DIMENSIONS, DIMENSIONS
from tokentide.stream.decode.clock import ClockLimits
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.letters import LetterPolicy
from tokentide.stream.partition import PartitionFold, PartitionRules
from tokentide.stream.pricing.override_file import parse_overrides
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.resume import Start
from tokentide.stream.tokens import TokenMemory

MICRODOLLAR: Final = 1_000_000
"""In picodollars; a token of a prompt."""
_PRICES: Final = """
prices:
  - {provider: acme, model: one, per_million_tokens: {input: "1", output: "2"}}
  - {provider: openai, model: gpt-4o, per_million_tokens: {input: "1", output: "2"}}
"""
_SENT_MS: Final = 1_800_000_000_000
_MANY: Final = 1_000_000


class Folded(NamedTuple):
    """What the worker makes of a log."""

    windows: dict[Key, dict[str, Value]]
    """By window and series, as in the reference; the latest of each that was published."""
    stored: dict[Key, dict[str, Value]]
    """The same, from a single checkpoint at the end."""
    rows: dict[int, dict[str, Any]]
    """The event row by the position of its event in the log; repeated ids have none."""


@cache
def enricher() -> Enricher:
    """Only its memories outlive a call, and these are said to change nothing."""
    return Enricher([parse_overrides(_PRICES)], ContentRules(), TokenMemory())


def fold(
    events: Sequence[Mapping[str, Any]],
    *,
    dimensions: Sequence[str] = DEFAULT_DIMENSIONS,
    series_cap: int = _MANY,
    sizes: Sequence[int] = (_MANY,),
) -> Folded:
    """Fold one record an event, in batches of these sizes in turn; what has changed is published after every batch.

    All events must be valid.
    """
    rules = PartitionRules(FoldSettings(dimensions, series_cap), 1, ClockLimits(), LetterPolicy())
    start = Start(read_from=0, stored_to=0, resume_at=0)
    partition = PartitionFold(Source("llm.events:id", "llm.events", 0), start, rules, Decoder(), enricher())
    windows: dict[Key, dict[str, Value]] = {}
    turn = 0
    while partition.position < len(events):
        begin = partition.position
        taken = partition.ingest(_batch(begin, events[begin : begin + sizes[turn % len(sizes)]]))
        assert not taken.refused, taken.refused
        windows |= by_key(partition.published())
        turn += 1
    checkpoint = partition.checkpoint()
    if checkpoint is None:
        return Folded(windows, {}, {})
    rows = {row["source_offset"]: row for table in checkpoint.rows for row in table.to_pylist()}
    return Folded(windows, by_key(checkpoint.partials), rows)


def _batch(begin: int, events: Sequence[Mapping[str, Any]]) -> RecordBatch:
    return RecordBatch(
        begin,
        begin + len(events),
        np.arange(begin, begin + len(events)),
        np.full(len(events), _SENT_MS),
        [None] * len(events),
        [json.dumps(event).encode() for event in events],
    )


def by_key(partials: pa.Table) -> dict[Key, dict[str, Value]]:
    """Rows of `llm_windows` as plain values; no two may have the same window and series."""
    found: dict[Key, dict[str, Value]] = {}
    for row in partials.to_pylist():
        key = (int(row["window_start"].timestamp()), tuple(row[name] for name in DIMENSIONS))
        assert key not in found
        found[key] = {aggregate.name: _plain(row[aggregate.name], aggregate.unit) for aggregate in AGGREGATES}
    return found


def _plain(value: Any, unit: str) -> Value:
    if unit == "usd":
        return picodollars(value) or 0
    if isinstance(value, list):
        assert len(dict(value)) == len(value)  # a key twice would be a count lost
        return dict(value)
    return int(value)


def without_nothing(window: Mapping[str, Value]) -> dict[str, Value]:
    """What is not zero or empty."""
    return {name: value for name, value in window.items() if value}
