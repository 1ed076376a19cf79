"""Recorded traces through the whole path: the totals of the files, whatever happens to the workers.

Each file is counted here by itself, with nothing of the product's.
"""

from __future__ import annotations

import csv
import gzip
import json
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import NewPipeline
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.data

TOTALS = "count() AS calls, countIf(status = 'error') AS errors, sum(input_tokens) AS input, sum(output_tokens) AS output"


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        if ".csv" in path.name:
            yield from csv.DictReader(lines)
        else:
            yield from (json.loads(line) for line in lines)


def replay(running: Pipeline, name: str, path: Path, *options: str) -> None:
    running.run("replay", "--format", name, str(path), "--speed", "max", *options)


def numbers(row: dict[str, Any]) -> dict[str, int]:
    return {name: int(value) for name, value in row.items()}


@pytest.mark.parametrize("workers", [1, 3])
def test_azure(new_pipeline: NewPipeline, public_data: Path, workers: int) -> None:
    path = public_data / "azure2023" / "AzureLLMInferenceTrace_code.csv"
    rows = list(rows_of(path))
    running = new_pipeline()
    running.start_workers(workers)
    replay(running, "azure-llm-2023", path)
    running.wait()

    row = running.one(
        "SELECT count() AS calls, quantileExact(0.5)(input_tokens) AS i, quantileExact(0.5)(output_tokens) AS o FROM events"
    )
    assert numbers(row) == {"calls": 8819, "i": 1469, "o": 13}
    assert statistics.median_high(int(r["ContextTokens"]) for r in rows) == 1469
    per_minute = Counter(r["TIMESTAMP"][:16] for r in rows)
    stored = running.query(
        "SELECT formatDateTime(window_start, '%F %H:%i') AS minute, sum(calls) AS n FROM windows GROUP BY minute"
    )
    assert {r["minute"]: int(r["n"]) for r in stored} == dict(per_minute)
    running.run("audit")


@pytest.mark.parametrize("workers", [1, 3])
def test_burstgpt_also_when_a_worker_is_killed_in_the_middle(
    new_pipeline: NewPipeline, public_data: Path, workers: int
) -> None:
    path = public_data / "burstgpt" / "BurstGPT_1_days0-3.csv.gz"
    running = new_pipeline(TOKENTIDE_WORKER_CHECKPOINT_SECONDS="0.2")
    running.start_workers(workers)
    replay(running, "burstgpt", path)
    running.kill_worker()
    running.start_workers(1)
    running.wait()

    assert numbers(running.one(f"SELECT {TOTALS} FROM events")) == {
        "calls": 10_796, "errors": 954, "input": 6_576_387, "output": 2_593_858,
    }  # fmt: skip
    by_model = running.query(
        "SELECT model, sum(calls) AS calls, sum(errors) AS errors, sum(priced_calls) AS priced FROM windows GROUP BY model"
    )
    assert {r["model"]: (int(r["calls"]), int(r["errors"]), int(r["priced"])) for r in by_model} == {
        "gpt-3.5-turbo": (7111, 508, 7111),
        "gpt-4": (3685, 446, 3685),
    }
    running.run("audit")


def test_mooncake_ragpulse_exgentic_and_claude_code(new_pipeline: NewPipeline, public_data: Path) -> None:
    running = new_pipeline()
    running.start_workers(1)
    files = {
        "mooncake": public_data / "mooncake" / "conversation_trace_min00-30.jsonl.gz",
        "ragpulse": public_data / "ragpulse" / "0_trace_days0-3.jsonl.gz",
        "otel-spans": public_data / "agent_spans" / "exgentic_swebench_spans_A.jsonl.gz",
        "claude-code": public_data / "agent_spans" / "claude_code_turns_A.jsonl.gz",
    }
    for name, path in files.items():
        replay(running, name, path, "--service", name)
    running.wait()
    stored = {
        row.pop("service"): numbers(row)
        for row in running.query(
            f"SELECT service, {TOTALS}, ifNull(sum(cache_read_input_tokens), 0) AS cached FROM events GROUP BY service"
        )
    }
    assert stored["mooncake"] == {
        "calls": 5719, "errors": 0, "input": 73_604_194, "cached": 25_555_226,
        "output": sum(row["output_length"] for row in rows_of(files["mooncake"])),
    }  # fmt: skip
    for name, (input_, output, failed) in {
        "ragpulse": ("input_length", "output_length", lambda _: False),
        "otel-spans": ("input_tokens", "output_tokens", lambda row: row["is_error"]),
        "claude-code": ("input_tokens", "output_tokens", lambda _: False),
    }.items():
        rows = list(rows_of(files[name]))
        counted = {
            "calls": len(rows),
            "errors": sum(1 for row in rows if failed(row)),
            "input": sum(row[input_] or 0 for row in rows),
            "output": sum(row[output] or 0 for row in rows),
        }
        assert {key: stored[name][key] for key in counted} == counted, name
    running.run("audit")
