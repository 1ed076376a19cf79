"""How long after it was produced an event can be queried, at a steady rate; and the worker's memory meanwhile.

Events are sent at the rate, one a record, spread over the partitions. A second thread asks ClickHouse all the time up to which offset of each
partition rows are there. The latency of an event is the time from handing it to the producer to the end of the first query
that finds it: what the query takes, and the pause between two, count against us. The first seconds are left out, totals are checked.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from aiokafka import AIOKafkaProducer

from bench.figures import Figure
from bench.load import batch_producer
from bench.machine import cpu_seconds, peak_memory_mb
from bench.stand import Stand, start_worker
from bench.traffic import PARTITIONS, lines, now
from tests.support.pipeline import Pipeline
from tests.support.waiting import until

TICK_S = 0.02
WARM_UP_S = 5
PAUSE_S = 0.02


class Sent(NamedTuple):
    """One batch of one partition."""

    partition: int
    base_offset: int
    events: int
    at_s: float


class Seen(NamedTuple):
    """Up to where (inclusive) the rows of a partition were there at a time."""

    partition: int
    offset: int
    at_s: float


class Run(NamedTuple):
    """One measured run."""

    p50_s: float
    p99_s: float
    cpu_share: float
    memory_mb: float


def latency(stand: Stand, *, per_second: int, seconds: int, runs: int, series: int) -> list[Figure]:
    """Latency, processor and memory at a steady rate with so many series."""
    measured = [_run(stand, per_second, seconds, series) for _ in range(runs)]
    name = f"{per_second:,} events/s, {series:,} series"
    return [
        Figure(f"{name}: produced to queryable, p50", "s", [run.p50_s for run in measured]),
        Figure(f"{name}: produced to queryable, p99", "s", [run.p99_s for run in measured]),
        Figure(f"{name}: processor of the worker", "% of a core", [100 * run.cpu_share for run in measured]),
        Figure(f"{name}: peak memory of the worker", "MB", [run.memory_mb for run in measured]),
    ]


def _run(stand: Stand, per_second: int, seconds: int, series: int) -> Run:
    with stand.pipeline(TOKENTIDE_WORKER_STAGES="ingest,detect") as made:
        worker = start_worker(made, core=0)
        log = made.folder / "worker-0.log"
        until(lambda: "partitions assigned" in log.read_text(), what="the worker's start")
        events = per_second * (WARM_UP_S + seconds)
        traffic = lines(events, seed=2, start=now(), per_second=per_second, series=series)
        values = [value for value, _ in traffic]
        with watched(made) as seen:
            cpu_before, started_s = cpu_seconds(worker.pid), time.monotonic()
            sent = asyncio.run(_send(made, values, per_second))
            cpu_share = (cpu_seconds(worker.pid) - cpu_before) / (time.monotonic() - started_s)
            made.wait()
            time.sleep(4 * PAUSE_S)
        for table in ("SELECT count() AS n FROM events", "SELECT sum(calls) AS n FROM windows"):
            assert int(made.one(table)["n"]) == events
        memory_mb = peak_memory_mb(worker.pid)
        made.stop()
    waited_s = np.concatenate(list(waits(sent, seen, started_s + WARM_UP_S)))
    p50_s, p99_s = np.quantile(waited_s, [0.5, 0.99]).tolist()
    return Run(p50_s, p99_s, cpu_share, memory_mb)


async def _send(made: Pipeline, values: Sequence[bytes], per_second: int) -> list[Sent]:
    topic, under_way = f"{made.prefix}events", list[asyncio.Task[Sent]]()
    async with batch_producer(made.broker.bootstrap_servers) as producer:
        begun_s, position = time.monotonic(), 0
        while position < len(values):
            due = min(len(values), int((time.monotonic() - begun_s + TICK_S) * per_second))
            ready = values[position:due]
            for partition in range(PARTITIONS):
                if part := ready[partition::PARTITIONS]:
                    under_way.append(asyncio.create_task(send_batch(producer, topic, partition, part)))
            position = due
            await asyncio.sleep(TICK_S)
        return await asyncio.gather(*under_way)


async def send_batch(producer: AIOKafkaProducer, topic: str, partition: int, values: Sequence[bytes]) -> Sent:
    """Its time is that of handing it to the producer."""
    at_s = time.monotonic()
    batch = producer.create_batch()
    for value in values:
        batch.append(key=None, value=value, timestamp=None)
    written = await (await producer.send_batch(batch, topic, partition=partition))
    return Sent(partition, written.offset, len(values), at_s)


@contextmanager
def watched(made: Pipeline, rows: str = "1") -> Iterator[list[Seen]]:
    """Look all the time for such rows; what was seen grows until the end of the block."""
    seen, stop = list[Seen](), threading.Event()
    watch = threading.Thread(target=_watch, args=(made, rows, seen, stop))
    watch.start()
    try:
        yield seen
    finally:
        stop.set()
        watch.join()


def _watch(made: Pipeline, rows: str, seen: list[Seen], stop: threading.Event) -> None:
    query = (
        f"SELECT source_partition, max(source_offset) FROM llm_events WHERE {rows} GROUP BY source_partition"
    )
    reached: dict[int, int] = {}
    while not stop.wait(PAUSE_S):
        found = made.client.query(query).result_rows
        at_s = time.monotonic()
        for partition, offset in found:
            if offset > reached.get(partition, -1):
                reached[partition] = offset
                seen.append(Seen(int(partition), int(offset), at_s))


def waits(sent: Sequence[Sent], seen: Sequence[Seen], since_s: float) -> Iterator[np.ndarray]:
    """Seconds of each event that was sent since a time."""
    for partition in range(PARTITIONS):
        found = [sight for sight in seen if sight.partition == partition]
        offsets, times = np.array([s.offset for s in found]), np.array([s.at_s for s in found])
        for batch in (b for b in sent if b.partition == partition and b.at_s >= since_s):
            last = batch.base_offset + batch.events - 1
            # A batch is seen when its last event is: never too early.
            yield np.full(batch.events, times[np.searchsorted(offsets, last)] - batch.at_s)
