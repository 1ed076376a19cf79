"""What a worker that was killed takes before it stores again, with so many events in the open segments.

All events are stored when the worker is killed; then one more comes for each partition, and another worker starts. Counted is its processor
time, from its start on, its imports and connections included, to the first new row, and to the last of these four.
"""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from bench.figures import Figure
from bench.load import load
from bench.machine import cpu_seconds, peak_memory_mb
from bench.stand import Stand, start_worker
from bench.traffic import PACK, PARTITIONS, lines, now, packed
from tests.support.waiting import until


class Run(NamedTuple):
    """One measured run."""

    first_cpu_s: float
    all_cpu_s: float
    all_wall_s: float
    memory_mb: float


def restart(stand: Stand, *, events: int, runs: int) -> list[Figure]:
    """Events packed fifty a record."""
    values = [value for value, _ in lines(events, seed=1, start=now(), per_second=50_000)]
    measured = [_run(stand, values) for _ in range(runs)]
    name = f"restart with {events:,} events in the open segments"
    return [
        Figure(f"{name}: CPU to the first new row", "s", [run.first_cpu_s for run in measured]),
        Figure(f"{name}: … to new rows of all partitions", "s", [run.all_cpu_s for run in measured]),
        Figure(f"{name}: … wall", "s", [run.all_wall_s for run in measured]),
        Figure(f"{name}: peak memory", "MB", [run.memory_mb for run in measured]),
    ]


def _run(stand: Stand, values: list[bytes]) -> Run:
    with stand.pipeline(TOKENTIDE_WORKER_STAGES="ingest") as made:
        topic = f"{made.prefix}events"
        load(made.broker.bootstrap_servers, topic, list(packed(values, PACK)), partitions=PARTITIONS)
        start_worker(made, core=0)

        def stored() -> int:
            return int(made.client.query("SELECT count() FROM events").result_rows[0][0])

        until(lambda: stored() >= len(values), what="storing everything")
        made.wait()
        made.kill_worker()
        more = [
            json.dumps(json.loads(value) | {"event_id": f"more-{number}"}).encode()
            for number, value in enumerate(values[:PARTITIONS])
        ]
        load(made.broker.bootstrap_servers, topic, more, partitions=PARTITIONS)
        worker, started = start_worker(made, core=0), time.monotonic()
        until(lambda: stored() > len(values), what="the first new row")
        first_cpu_s = cpu_seconds(worker.pid)
        until(lambda: stored() == len(values) + PARTITIONS, what="new rows of all partitions")
        found = Run(
            first_cpu_s, cpu_seconds(worker.pid), time.monotonic() - started, peak_memory_mb(worker.pid)
        )
        made.wait()
        made.run("audit")
        made.stop()
        return found
