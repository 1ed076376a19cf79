"""README's example of a call in parts is stored as README shows."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from tests.contract.test_examples import rows_of
from tests.contract.test_part_examples import PartExample, folded
from tests.support.documents import Document
from tokentide.producers.routing import key_of
from tokentide.stream.enrich.content import ContentRules
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.partition import Checkpoint
from tokentide.stream.pricing.book import GenaiBook
from tokentide.stream.tokens import TokenMemory

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = Document(README, README.read_text(encoding="utf-8")).blocks
(PARTS,) = (
    block.text.splitlines()
    for block in BLOCKS
    if block.language == "json" and '"event_type": "request"' in block.text
)
(ANSWERS,) = (
    block.text for block in BLOCKS if block.language == "console" and "assembled_from" in block.text
)


def shown(query: str) -> dict[str, str]:
    """The one row that README shows as the answer to a query of this view."""
    (table,) = re.findall(rf"^\$ .* FROM {query} .*\n((?:[┌│└].*\n)+)", ANSWERS, re.MULTILINE)
    head, row, _ = table.splitlines()
    values = [cell.strip() for cell in row.strip("│").split("│")]
    return dict(zip(re.findall(r"\w+", head), values, strict=True))


def as_printed(value: object) -> str:
    """As ClickHouse writes it: no zeros at the end of a fraction."""
    match value:
        case Decimal():
            return f"{value:f}".rstrip("0")
        case float():
            return f"{value:g}"
        case _:
            return str(value)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    enricher = Enricher([GenaiBook()], ContentRules(hash_key=b"readme"), TokenMemory())
    content = {"records": [json.loads(line) for line in PARTS], "sent_after_ms": [0, 0, 300_000]}
    return folded(PartExample("README", content), enricher)


def test_the_parts_have_one_key() -> None:
    assert [key_of(line.encode()) for line in PARTS] == [b"r-17"] * 3


def test_the_call_is_as_shown(checkpoint: Checkpoint) -> None:
    (row,) = rows_of(checkpoint)
    said = shown("events")
    assert len(said) == 5
    assert {name: as_printed(row[name]) for name in said} == said


def test_the_evaluation_is_as_shown_with_values_of_its_call(checkpoint: Checkpoint) -> None:
    (row,) = rows_of(checkpoint)
    (evaluation,) = (each for table in checkpoint.evaluations for each in table.to_pylist())
    said = shown("evaluated_calls")
    assert evaluation["service"] == row["service"] == "checkout"
    assert said == {
        "request_id": evaluation["request_id"],
        "model": row["model"],
        "prompt_name": row["prompt_name"],
        "quality_score": str(evaluation["quality_score"]),
        "quality_label": evaluation["quality_label"],
    }
