"""How many events a second of CPU one worker on one core takes through the whole path.

The events lie in Kafka before the worker starts; everything is on: validation, pricing, windows, all event rows into
ClickHouse. Counted is from the assignment of the partitions to the last row in the ledger. Totals in ClickHouse are compared with the truth before a time is reported.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.figures import Figure
from bench.load import load
from bench.machine import cpu_seconds, peak_memory_mb
from bench.stand import Stand, start_worker
from bench.traffic import Truth, lines, now, packed
from tests.support.pipeline import Pipeline, until

PACK = 50
PARTITIONS = 4
"""As many as `tokentide init` makes."""


class Run(NamedTuple):
    """One measured run."""

    wall_s: float
    cpu_s: float
    memory_mb: float


def throughput(stand: Stand, *, events: int, runs: int) -> list[Figure]:
    """Events one a record, and events packed fifty a record."""
    figures = []
    made = list(lines(events, seed=1, start=now(), per_second=50_000))
    values = [value for value, _ in made]
    truth = Truth(
        events,
        sum(event["status"] == "error" for _, event in made),
        sum(event["input_tokens"] for _, event in made),
        sum(event["output_tokens"] for _, event in made),
    )
    del made
    for name, records in (
        ("one event a record", values),
        (f"{PACK} events a record", list(packed(values, PACK))),
    ):
        measured = [_run(stand, records, truth) for _ in range(runs)]
        figures += [
            Figure(f"{name}: events per CPU second", "events/s", [events / run.cpu_s for run in measured]),
            Figure(f"{name}: events per second, wall", "events/s", [events / run.wall_s for run in measured]),
            Figure(f"{name}: peak memory of the worker", "MB", [run.memory_mb for run in measured]),
        ]
    return figures


def _run(stand: Stand, records: Sequence[bytes], truth: Truth) -> Run:
    with stand.pipeline(TOKENTIDE_WORKER_STAGES="ingest,detect") as made:
        load(made.broker.bootstrap_servers, f"{made.prefix}events", records, partitions=PARTITIONS)
        worker = start_worker(made, core=0)
        log = made.folder / "worker-0.log"
        until(lambda: "partitions assigned" in log.read_text(), what="the worker's start")
        cpu_before, started = cpu_seconds(worker.pid), time.monotonic()
        until(lambda: _stored(made) >= truth.events, seconds=600, what="storing everything")
        wall_s = time.monotonic() - started
        cpu_s = cpu_seconds(worker.pid) - cpu_before
        memory = peak_memory_mb(worker.pid)
        made.wait()
        _check(made, truth)
        made.stop()
        return Run(wall_s, cpu_s, memory)


def _stored(made: Pipeline) -> int:
    return int(made.client.command("SELECT sum(events) FROM ledger"))


def _check(made: Pipeline, truth: Truth) -> None:
    stored = made.one(
        "SELECT count() AS events, countIf(status = 'error') AS errors, sum(input_tokens) AS input, "
        "sum(output_tokens) AS output FROM events"
    )
    windows = made.one(
        "SELECT sum(calls) AS events, sum(errors) AS errors, sum(input_tokens) AS input, "
        "sum(output_tokens) AS output FROM windows"
    )
    for found in (stored, windows):
        assert Truth(*(int(found[name]) for name in ("events", "errors", "input", "output"))) == truth
    assert int(made.one("SELECT sum(priced_calls) AS n FROM windows")["n"]) == truth.events
