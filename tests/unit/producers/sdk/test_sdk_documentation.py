"""docs/sdk.md says what the code does: defaults, reasons, names."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

from tokentide import Call, MemoryTransport, Producer, ProducerOptions, ProducerStats
from tokentide.producers.call import StageName
from tokentide.producers.counts import Drop
from tokentide.producers.routing import key_of


@pytest.fixture
def text(repository: Path) -> str:
    return (repository / "docs" / "sdk.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_option_is_there_with_its_default(text):
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \|", section(text, "Options"), re.MULTILINE)
    said = {name: ast.literal_eval(default) for name, default in rows}
    assert said == dataclasses.asdict(ProducerOptions())


def test_every_reason_is_there(text):
    rows = re.findall(r"^\| `(\w+)` \|", section(text, "What was dropped, and why"), re.MULTILINE)
    assert rows == [str(reason) for reason in Drop]


def test_every_stage_is_there(text):
    (row,) = re.findall(r"^\| `call\.stage.*$", text, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == list(get_args(StageName))


def test_every_method_of_a_call_is_there_and_no_other(text):
    said = set(re.findall(r"`call\.(\w+)\(", text))
    there = {name for name in vars(Call) if not name.startswith("_")}
    assert said == there


def test_every_piece_of_python_can_be_read(text):
    pieces = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(pieces) >= 5
    for piece in pieces:
        ast.parse(piece)


def test_the_example_of_events_in_parts_works_and_is_sent_as_it_says(text):
    part = section(text, "Events in parts, and evaluations")
    (code,) = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    broker = MemoryTransport()
    with Producer(service="shop", transport=broker, strict=True) as producer:
        exec(code, {"producer": producer})
    assert [event["event_type"] for event in broker.events] == ["request", "response", "error", "evaluation"]
    assert [key_of(record) for record in broker.records] == [b"r-17", b"r-17", b"r-18", b"r-17"]


def test_the_statistics_it_names_exist(text):
    names = {field.name for field in dataclasses.fields(ProducerStats)} | {"held"}
    assert {"emitted", "delivered", "dropped", "recovered", "mended", "suspect", "held"} <= names
    for name in ("mended", "suspect", "recovered"):
        assert f"`{name}`" in text
