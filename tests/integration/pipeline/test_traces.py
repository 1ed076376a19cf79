"""Recorded traces through the whole path: the totals of the files, whatever happens to the workers.

Each trace runs with one worker, with three, and with a worker that is killed while it works; each such way sees
at least four traces on each broker.
"""

from __future__ import annotations

import random
import statistics
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest

from tests.integration.conftest import NewPipeline
from tests.integration.pipeline.killing import (
    SETTINGS,
    Fed,
    kill_at_random,
    kill_with_work_in_hand,
    read_again,
    start_ready_workers,
)
from tests.integration.pipeline.traces import (
    AZURE,
    BURSTGPT,
    CLAUDE_CODE,
    EXGENTIC,
    MOONCAKE,
    RAGPULSE,
    Totals,
    Trace,
    rows_of,
)
from tests.support.brokers import Broker
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.data

Way = Literal["one worker", "three workers", "killed"]
WAYS: tuple[Way, ...] = ("one worker", "three workers", "killed")

SHARES: dict[tuple[str, Way], tuple[Trace, ...]] = {
    ("embedded", "one worker"): (MOONCAKE, CLAUDE_CODE),
    ("apache_kafka", "one worker"): (RAGPULSE, EXGENTIC),
    ("embedded", "three workers"): (MOONCAKE, EXGENTIC),
    ("apache_kafka", "three workers"): (RAGPULSE, CLAUDE_CODE),
    ("embedded", "killed"): (RAGPULSE, CLAUDE_CODE),
    ("apache_kafka", "killed"): (MOONCAKE, EXGENTIC),
}


def replay(trace: Trace, path: str) -> list[str]:
    return ["replay", "--format", trace.format, path, "--service", trace.format, "--quiet"]


def send(running: Pipeline, way: Way, folder: Path, *traces: Trace, at_random: int = 0) -> None:
    """Replay traces and wait until all is stored.

    Where a worker is killed, it is the only one, and a new one takes over. Kills at random moments, of any worker,
    need a group: they come after the first kill, and there are three workers.
    """
    if way != "killed":
        running.start_workers({"one worker": 1, "three workers": 3}[way])
        for trace in traces:
            running.run(*replay(trace, str(trace.path(folder))))
        running.wait()
        return
    workers = 3 if at_random else 1
    start_ready_workers(running, workers)
    with ExitStack() as stack:
        senders = [
            Fed(stack.enter_context(running.in_background(*replay(trace, "-"))), trace.mixed_lines(folder))
            for trace in traces
        ]
        totals = {trace.format: trace.totals(folder).calls for trace in traces}
        kill_with_work_in_hand(running, range(workers), senders, totals)
        running.start_workers(1)
        kill_at_random(running, senders[0], at_random, random.Random(11))
        for sender in senders:
            sender.send_rest()
    running.wait()
    assert read_again(running) > 0


def pipeline_for(new_pipeline: NewPipeline, way: Way) -> Pipeline:
    return new_pipeline(**SETTINGS) if way == "killed" else new_pipeline()


def stored(running: Pipeline, view: Literal["events", "windows"]) -> dict[str, Totals]:
    """The sums of each service by one of the views."""
    calls, errors = {
        "events": ("count()", "countIf(status = 'error')"),
        "windows": ("sum(calls)", "sum(errors)"),
    }[view]
    rows = running.client.query(
        f"SELECT service, {calls}, {errors}, sum(input_tokens), sum(output_tokens) FROM {view} GROUP BY service"
    ).result_rows
    return {str(service): Totals(*map(int, numbers)) for service, *numbers in rows}


def assert_right(running: Pipeline, folder: Path, *traces: Trace) -> dict[str, Totals]:
    """Events, windows and the audit agree with the files; return the sums."""
    counted = {trace.format: trace.totals(folder) for trace in traces}
    assert stored(running, "events") == counted
    assert stored(running, "windows") == counted
    running.run("audit")
    return counted


@pytest.mark.parametrize("way", WAYS)
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


@pytest.mark.parametrize("way", WAYS)
def test_burstgpt_with_workers_killed_at_random_moments_too(
    new_pipeline: NewPipeline, public_data: Path, way: Way
) -> None:
    running = pipeline_for(new_pipeline, way)
    send(running, way, public_data, BURSTGPT, at_random=3)

    assert assert_right(running, public_data, BURSTGPT) == {
        "burstgpt": Totals(10_796, 954, 6_576_387, 2_593_858)
    }
    by_model = running.client.query(
        "SELECT model, sum(calls), sum(errors), sum(priced_calls) FROM windows GROUP BY model"
    ).result_rows
    assert {model: tuple(map(int, numbers)) for model, *numbers in by_model} == {
        "gpt-3.5-turbo": (7111, 508, 7111),
        "gpt-4": (3685, 446, 3685),
    }


@pytest.mark.parametrize("way", WAYS)
def test_mooncake_ragpulse_exgentic_and_claude_code_in_pairs(
    new_pipeline: NewPipeline, broker: Broker, public_data: Path, way: Way
) -> None:
    traces = SHARES[broker.kind, way]
    running = pipeline_for(new_pipeline, way)
    send(running, way, public_data, *traces)

    counted = assert_right(running, public_data, *traces)
    if MOONCAKE in traces:
        ((cached,),) = running.client.query(
            "SELECT sum(cache_read_input_tokens) FROM events WHERE service = 'mooncake'"
        ).result_rows
        assert (cached, counted["mooncake"].input_tokens) == (25_555_226, 73_604_194)


def test_each_trace_sees_every_way_and_both_brokers() -> None:
    for trace in (MOONCAKE, RAGPULSE, EXGENTIC, CLAUDE_CODE):
        seen = [place for place, traces in SHARES.items() if trace in traces]
        assert {way for _, way in seen} == set(WAYS), trace.format
        assert {kind for kind, way in seen if way != "one worker"} == {"embedded", "apache_kafka"}, (
            trace.format
        )
