"""The examples of events that are no call by themselves go through schema, model, decoding, joining, enrichment and fold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.contract.test_examples import MODELS, OFFSET, SOURCE, json_form, rows_of, schema_of, type_of
from tests.support.examples import FOLDER as EXAMPLES
from tests.support.examples import SENT_MS
from tokentide.schemas.arrow import EVALUATION_ROWS
from tokentide.schemas.call import CallEvent
from tokentide.stream.decode.clock import ClockLimits
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.letters import LetterPolicy
from tokentide.stream.partition import Checkpoint, PartitionFold, PartitionRules
from tokentide.stream.pricing.book import GenaiBook
from tokentide.stream.record_batch import RecordBatch
from tokentide.stream.resume import Start
from tokentide.stream.tokens import TokenMemory


@dataclass(frozen=True)
class PartExample:
    name: str
    content: dict[str, Any]

    @property
    def values(self) -> list[bytes]:
        return [json.dumps(record).encode() for record in self.content["records"]]

    @property
    def times_ms(self) -> list[int]:
        after = self.content.get("sent_after_ms", [0] * len(self.content["records"]))
        return [SENT_MS + each for each in after]

    @property
    def items(self) -> list[dict[str, Any]]:
        return [
            item
            for record in self.content["records"]
            for item in (record if isinstance(record, list) else [record])
        ]


PARTS = [
    PartExample(file.stem, json.loads(file.read_text(encoding="utf-8")))
    for file in sorted((EXAMPLES / "parts").glob("*.json"))
]
each_example = pytest.mark.parametrize("example", PARTS, ids=lambda example: example.name)


@pytest.fixture(scope="module")
def enricher() -> Enricher:
    return Enricher([GenaiBook()], ContentRules(hash_key=b"examples"), TokenMemory())


def folded(example: PartExample, enricher: Enricher) -> Checkpoint:
    rules = PartitionRules(FoldSettings(("service", "model"), 100), 1, ClockLimits(), LetterPolicy())
    fold = PartitionFold(SOURCE, Start(OFFSET, OFFSET, OFFSET), rules, Decoder(), enricher)
    count = len(example.values)
    fold.ingest(
        RecordBatch(
            OFFSET,
            OFFSET + count,
            np.arange(OFFSET, OFFSET + count),
            np.array(example.times_ms),
            [b"key"] * count,
            example.values,
        )
    )
    checkpoint = fold.checkpoint()
    assert checkpoint is not None
    return checkpoint


def test_every_type_of_event_stands_in_an_example() -> None:
    assert {item.get("event_type", "call") for example in PARTS for item in example.items} == {
        *MODELS,
        "call",
    }


@each_example
def test_schema_and_model_of_its_type_accept_each_event(example: PartExample) -> None:
    for item in example.items:
        assert list(schema_of(item).iter_errors(item)) == []
        MODELS.get(type_of(item), CallEvent).model_validate(item)


@each_example
def test_rows_are_as_the_example_says(example: PartExample, enricher: Enricher) -> None:
    rows, expected = rows_of(folded(example, enricher)), example.content["rows"]
    found = [
        {name: json_form(row[name]) for name in wanted} for row, wanted in zip(rows, expected, strict=True)
    ]
    assert found == expected


@each_example
def test_evaluations_are_as_the_example_says(example: PartExample, enricher: Enricher) -> None:
    tables = folded(example, enricher).evaluations
    assert all(table.schema == EVALUATION_ROWS for table in tables)
    rows = [{name: json_form(value) for name, value in row.items()} for t in tables for row in t.to_pylist()]
    assert rows == example.content.get("evaluations", [])


@each_example
def test_ledger_and_windows_count_as_the_example_says(example: PartExample, enricher: Enricher) -> None:
    checkpoint = folded(example, enricher)
    (ledger,) = checkpoint.ledger.to_pylist()
    counted = {"duplicates": 0, "rejects": 0, "parts": 0, "evaluations": 0, "incomplete_events": 0}
    counted |= example.content["ledger"]
    assert {name: ledger[name] for name in counted} == counted
    assert ledger["items"] == (
        ledger["events"] - ledger["incomplete_events"] + ledger["parts"] + ledger["evaluations"]
    )
    assert sum(window["calls"] for window in checkpoint.partials.to_pylist()) == len(example.content["rows"])
    assert checkpoint.letters == []
