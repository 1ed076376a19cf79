"""Ways of sending a recorded trace through the whole path, and what must hold after each.

Each trace runs with one worker, with three, and with a worker that is killed while it works.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from tests.integration.conftest import NewPipeline
from tests.integration.pipeline.killing import (
    SETTINGS,
    Fed,
    kill_at_random,
    kill_with_work_in_hand,
    read_again,
    start_ready_workers,
)
from tests.integration.pipeline.traces import Totals, Trace
from tests.support.pipeline import Pipeline

Way = Literal["one worker", "three workers", "killed"]
WAYS: tuple[Way, ...] = ("one worker", "three workers", "killed")


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
