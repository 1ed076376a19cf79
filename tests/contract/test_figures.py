"""Figures in the documents that follow from the program: they change together or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tokentide.config.settings import Settings
from tokentide.producers.json_input import MAX_DOCUMENT_BYTES
from tokentide.schemas.aggregates import SEGMENT_OFFSETS
from tokentide.schemas.limits import MAX_RECORD_BYTES
from tokentide.sinks.clickhouse import DEFAULT_MAX_INSERT_BYTES
from tokentide.stream.fold.extent import SpanLimits
from tokentide.stream.join.waiting import ROOM_BYTES, JoinLimits
from tokentide.stream.transport.batches import FAR, PAUSE_S, SMALL_BYTES

ROOT = Path(__file__).resolve().parents[2]
KIB, MIB = 1 << 10, 1 << 20
WORKER = Settings().worker
ANSWER_WAIT_MINUTES = JoinLimits().answer_wait_ms / 60_000


@pytest.mark.parametrize(
    ("document", "said", "value"),
    [
        ("../README.md", r"after (\d+) minutes \(an answer", ANSWER_WAIT_MINUTES),
        ("sdk.md", r"nobody answers\*\* within (\d+) minutes", ANSWER_WAIT_MINUTES),
        ("sdk.md", r"At most (\d+) MiB of parts wait", ROOM_BYTES / MIB),
        ("delivery.md", r"of ([\d,]+) offsets", SEGMENT_OFFSETS),
        ("delivery.md", r"each of which takes about ([\d.]+) seconds", SpanLimits().work_ns / 1e9),
        ("delivery.md", r"more than (\w+) fetches lie between two", FAR),
        ("decisions/0014-spans.md", r"that comes to ([\d.]+) seconds", SpanLimits().work_ns / 1e9),
        ("decisions/0014-spans.md", r"more than (\w+) fetches lie between", FAR),
        ("operations.md", r"about ([\d.]+) seconds of processor time each", SpanLimits().work_ns / 1e9),
        ("delivery.md", r"every second \(or after ([\d,]+) rows\)", WORKER.checkpoint_rows),
        ("traffic.md", r"Longer than a record may be\*\* \((\d+) MiB\)", MAX_RECORD_BYTES / MIB),
        ("traffic.md", r"any number of lines and have (\d+) MiB", MAX_DOCUMENT_BYTES / MIB),
        ("decisions/0004-embedded-broker.md", r"fetch_max_wait_ms`, (\d+) by", WORKER.fetch_max_wait_ms),
        ("decisions/0012-speed.md", r"checkpoint comes after ([\d,]+) rows", WORKER.checkpoint_rows),
        ("decisions/0012-speed.md", r"(\d+) MiB of a partition", WORKER.fetch_max_partition_bytes / MIB),
        ("decisions/0012-speed.md", r"insert has at most (\d+) MiB", DEFAULT_MAX_INSERT_BYTES / MIB),
        ("decisions/0012-speed.md", r"fetch below (\d+) KB", SMALL_BYTES / KIB),
        ("decisions/0012-speed.md", r"waits until ([\d.]+) s after", PAUSE_S),
    ],
)
def test_a_document_says_what_holds(document, said, value):
    text = " ".join((ROOT / "docs" / document).read_text(encoding="utf-8").split())
    (figure,) = re.findall(said, text)
    assert float({"four": "4"}.get(figure, figure).replace(",", "")) == value


def test_an_answer_waits_the_minute_that_documents_say():
    assert JoinLimits().request_wait_ms == 60_000
    readme, sdk = (
        " ".join((ROOT / name).read_text(encoding="utf-8").split()) for name in ("README.md", "docs/sdk.md")
    )
    assert "an answer after one)" in readme
    assert "An answer waits a minute for a request" in sdk
