"""A worker in an hour of mixed traffic at 1,000 events/s: does anything grow, and is it as quick at the end as at the start?

Every 30 seconds memory and open descriptors of the worker, parts in ClickHouse and records not read yet are looked at. The latency is measured as `latency` does
it, after a minute of warm-up for five minutes, and in the last five; short runs take fifths. The audit and what was sent are compared before a figure is given.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.figures import Figure
from bench.latency import PAUSE_S, Seen, Sent, waits, watched
from bench.machine import cpu_seconds, memory_mb
from bench.soak_traffic import sent_batches
from bench.stand import Stand
from bench.starved import lag_now
from tests.support import children
from tests.support.pipeline import Pipeline
from tests.support.ports import unused_port
from tests.support.waiting import until

RECENT = "timestamp > now64(6) - INTERVAL 3 MINUTE"
"""A bound for the query that looks for rows: over all of them it would cost more at the end than at the start."""
STORED = (
    "SELECT count() AS calls, countIf(test) AS tests, countIf(status = 'error' AND NOT ifNull(test, false)) AS errors, "
    "(SELECT count() FROM evaluations) AS evaluations, (SELECT sum(rejects) FROM ledger) AS refused "
    "FROM events WHERE NOT ifNull(incomplete, false)"
)


class Sample(NamedTuple):
    """What was seen at a time."""

    at_s: float
    cpu_s: float
    memory_mb: float
    descriptors: int
    parts: dict[str, int]
    """Active ones of each table."""
    lag: int
    """Records not read yet."""

    @property
    def largest(self) -> str:
        """The table with the most parts."""
        return max(self.parts, key=self.parts.__getitem__)

    def line(self) -> str:
        """For a terminal."""
        return (
            f"memory {self.memory_mb:,.0f} MB, {self.descriptors} descriptors, {sum(self.parts.values())} parts "
            f"({self.parts[self.largest]} of {self.largest}), {self.lag:,} records not read"
        )


def soak(stand: Stand, *, minutes: float) -> list[Figure]:
    """One run, which is audited afterwards."""
    port, span_s = unused_port(), min(300.0, minutes * 60 / 5)
    warm_up_s = min(60.0, span_s)
    with stand.pipeline(TOKENTIDE_WORKER_STAGES="ingest,detect", TOKENTIDE_METRICS_PORT=str(port)) as made:
        made.start_workers(1)
        until(lambda: "partitions assigned" in made.logs(), what="the worker's start")
        with watched(made, RECENT) as seen, _traffic(made, minutes * 60) as sending:
            samples = list(_samples(made, port, sending, every_s=min(30.0, span_s / 2)))
            assert sending.stdout is not None
            truth = json.loads(sending.stdout.read())
            made.wait()
            time.sleep(4 * PAUSE_S)
        made.run("audit")
        stored = {name: int(value) for name, value in made.one(STORED).items()}
        assert stored == truth, f"stored are {stored}, sent were {truth}"
        sent = sent_batches(made.folder / "sent")
        made.stop()
    begin_s, end_s = sent[0].at_s, sent[-1].at_s
    steady = [sample for sample in samples if sample.at_s >= begin_s + warm_up_s]
    first, last = steady[0], steady[-1]
    cpu_share = (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)
    return [
        *_course("memory of the worker", "MB", [sample.memory_mb for sample in steady]),
        *_course("open descriptors of the worker", "", [sample.descriptors for sample in steady]),
        *_course("parts of all tables", "", [sum(sample.parts.values()) for sample in steady]),
        *_course("parts of the table with the most", "", [s.parts[s.largest] for s in steady]),
        *_course("records not read", "", [sample.lag for sample in steady])[1:],
        *_latency("at the start", sent, seen, begin_s + warm_up_s, span_s),
        *_latency("at the end", sent, seen, end_s - span_s, span_s),
        Figure("processor of the worker", "% of a core", [100 * cpu_share]),
    ]


@contextmanager
def _traffic(made: Pipeline, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Ends by itself after the time; killed where this block ends before."""
    command = [sys.executable, "-m", "bench.soak_traffic", made.broker.bootstrap_servers, f"{made.prefix}events", f"{seconds}"]  # fmt: skip
    with children.start([*command, made.folder / "sent"], stdout=subprocess.PIPE) as sending:
        try:
            yield sending
        finally:
            sending.kill()


def _samples(
    made: Pipeline, port: int, sending: subprocess.Popen[bytes], *, every_s: float
) -> Iterator[Sample]:
    """At intervals while the traffic comes, and when it has just ended; progress each minute."""
    began_s, told, lag = time.monotonic(), 0, 0
    while sending.returncode is None:
        with suppress(subprocess.TimeoutExpired):
            sending.wait(every_s)
        assert made.workers[0].poll() is None, f"the worker ended by itself:\n{made.logs()[-2000:]}"
        yield (sample := _sample(made, port, lag))
        lag = sample.lag
        if (minute := int((sample.at_s - began_s) / 60)) > told:
            told = minute
            print(f"{minute} min: {sample.line()}", file=sys.stderr, flush=True)
    assert sending.returncode == 0, f"the traffic ended with {sending.returncode}"


def _sample(made: Pipeline, port: int, lag_before: int) -> Sample:
    pid = made.workers[0].pid
    parts = made.client.query(
        "SELECT table, count() FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table"
    ).result_rows
    return Sample(
        time.monotonic(),
        cpu_seconds(pid),
        memory_mb(pid),
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        {str(table): int(count) for table, count in parts},
        lag_now(port, [lag_before]),
    )


def _course(name: str, unit: str, values: Sequence[float]) -> list[Figure]:
    ways = {"at the start": values[0], "most": max(values), "at the end": values[-1]}
    return [Figure(f"{name}, {way}", unit, [value]) for way, value in ways.items()]


def _latency(
    when: str, sent: Sequence[Sent], seen: Sequence[Seen], since_s: float, span_s: float
) -> list[Figure]:
    batches = [batch for batch in sent if since_s <= batch.at_s <= since_s + span_s]
    waited_s = np.concatenate(list(waits(batches, seen, since_s)))
    return [
        Figure(f"produced to queryable, {when}, p{share}", "s", [float(np.percentile(waited_s, share))])
        for share in (50, 99)
    ]
