"""The Azure trace through the whole path: the file's counts, medians and calls per minute."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.conftest import NewPipeline
from tests.integration.pipeline.trace_ways import Way, assert_right, pipeline_for, send
from tests.integration.pipeline.traces import AZURE, rows_of

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    "way", [*(pytest.param(way, marks=pytest.mark.long) for way in ("one worker", "three workers")), "killed"]
)
def test_azure(new_pipeline: NewPipeline, public_data: Path, way: Way) -> None:
    running = pipeline_for(new_pipeline, way)
    send(running, way, public_data, AZURE)

    assert assert_right(running, public_data, AZURE)["azure-llm-2023"].calls == 8819
    ((input_, output),) = running.client.query(
        "SELECT quantileExact(0.5)(input_tokens), quantileExact(0.5)(output_tokens) FROM events"
    ).result_rows
    rows = list(rows_of(AZURE.path(public_data)))
    assert input_ == statistics.median_high(int(row["ContextTokens"]) for row in rows) == 1469
    assert output == statistics.median_high(int(row["GeneratedTokens"]) for row in rows) == 13
    minutes = running.client.query(
        "SELECT formatDateTime(window_start, '%F %H:%i') AS minute, sum(calls) FROM windows GROUP BY minute"
    ).result_rows
    assert {minute: int(calls) for minute, calls in minutes} == Counter(row["TIMESTAMP"][:16] for row in rows)
