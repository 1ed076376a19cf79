"""How much memory a worker takes at its peak and afterwards, for kinds of traffic that load it in different places.

The events lie in Kafka before the worker starts, so it reads as fast as it can: that is where the peaks are. Beside each peak stands what the
formula of docs/operations.md gives for it.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.figures import Figure
from bench.load import load
from bench.machine import memory_mb, peak_memory_mb
from bench.stand import Stand, start_worker
from bench.traffic import PACK, PARTITIONS, SERIES, SERVICES, event, lines, now, packed, simulated
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import until
from tokentide.schemas.aggregates import DEFAULT_DIMENSIONS

EVENT_ROWS_MB = 32
"""`worker.event_rows_max_bytes`, by default."""
IDLE_S = 40
"""After which the memory has fallen again."""


class Traffic(NamedTuple):
    """Events that lie in Kafka."""

    name: str
    values: Sequence[bytes]
    settings: Mapping[str, str] = {}
    windows: int = 0
    """Series and minutes in the spans that are open, where they are many."""
    parts: int = 0
    """Of calls that wait for their partner."""
    is_outage: bool = False
    """ClickHouse is away while they are read, and comes back then."""

    @property
    def expected_mb(self) -> float:
        """The formula of docs/operations.md."""
        rows_mb = EVENT_ROWS_MB * (3 if self.is_outage else 1)
        return 260 + rows_mb + 8 * PARTITIONS + 0.0025 * (self.windows + self.parts)


class Run(NamedTuple):
    """One measured run."""

    peak_mb: float
    after_mb: float


def memory(stand: Stand, *, events: int, runs: int) -> list[Figure]:
    """A row for each kind: the peak, and what is left when nothing comes any more."""
    figures = []
    for make in KINDS:
        traffic = make(events)
        measured = [_run(stand, traffic) for _ in range(runs)]
        figures += [
            Figure(f"{traffic.name}: peak memory", "MB", [run.peak_mb for run in measured]),
            Figure(f"{traffic.name}: by the formula", "MB", [traffic.expected_mb]),
            Figure(f"{traffic.name}: {IDLE_S} s later", "MB", [run.after_mb for run in measured]),
        ]
    return figures


def _run(stand: Stand, traffic: Traffic) -> Run:
    settings = {"TOKENTIDE_WORKER_STAGES": "ingest,detect", **traffic.settings}
    with (
        stand.pipeline(**settings) as made,
        TcpProxy(urlsplit(stand.clickhouse).port or 0) as line,
    ):
        records, topic = list(packed(list(traffic.values), PACK)), f"{made.prefix}events"
        if not traffic.is_outage:
            load(made.broker.bootstrap_servers, topic, records, partitions=PARTITIONS)
        with made.clickhouse_at(line.port):
            worker = start_worker(made, core=0)
        if traffic.is_outage:
            until(lambda: "partitions assigned" in made.logs(), what="the worker's start")
            line.is_refusing = True
            line.reset_all()
            load(made.broker.bootstrap_servers, topic, records, partitions=PARTITIONS)
            until(lambda: "rows are let go" in made.logs(), what="a full memory")
            time.sleep(IDLE_S)
            line.heal()
        made.wait()
        peak_mb = peak_memory_mb(worker.pid)
        time.sleep(IDLE_S)
        after_mb = memory_mb(worker.pid)
        made.run("audit")
        made.stop()
        return Run(peak_mb, after_mb)


def _uniform(name: str, *, series: int = SERIES, **more: Any) -> Callable[[int], Traffic]:
    def make(events: int) -> Traffic:
        made = lines(events, seed=1, start=now(), per_second=50_000, series=series)
        return Traffic(name, [value for value, _ in made], **more)

    return make


def _changed(
    name: str, change: Callable[[int], Mapping[str, Any]], *, share: int = 1, **more: Any
) -> Callable[[int], Traffic]:
    def make(events: int) -> Traffic:
        chance, start = random.Random(7), now()
        made = [
            json.dumps(
                {**event(chance, number, start + timedelta(microseconds=number), SERIES), **change(number)}
            ).encode()
            for number in range(events // share)
        ]
        return Traffic(name, made, **more)

    return make


def _simulated(events: int) -> Traffic:
    """A tenth of the calls in parts, most of which never meet: they lie on partitions by chance."""
    values = list[bytes]()
    waiting: list[set[object]] = [set() for _ in range(PARTITIONS)]
    windows = set[tuple[object, ...]]()
    for number, (value, made) in enumerate(islice(simulated(seconds=events / 500, parts=0.1), events)):
        partition = number // PACK % PARTITIONS
        if made.get("event_type") in {"request", "response", "error"}:
            waiting[partition] ^= {made["request_id"]}
        else:
            minute = str(made["timestamp"])[:16]
            windows.add((partition, minute, *(made.get(name) for name in DEFAULT_DIMENSIONS)))
        values.append(value)
    parts = sum(map(len, waiting))
    return Traffic("simulate, 10 % of the calls in parts", values, windows=len(windows), parts=parts)


def _prompt(number: int) -> str:
    """4 KB that are no other's."""
    chance = random.Random(number)
    return " ".join(f"{chance.getrandbits(20):x}" if n % 3 else "prompt" for n in range(700))


def _many_minutes(events: int) -> Traffic:
    share = 5
    made = _changed(
        "a minute of event time in each event",
        lambda n: {"timestamp": (now() - timedelta(minutes=n)).isoformat()},
        share=share,
    )(events)
    return made._replace(windows=events // share)


KINDS: Sequence[Callable[[int], Traffic]] = (
    _uniform("uniform"),
    _simulated,
    _uniform("10,000 live series", series=10_000, windows=PARTITIONS * 10_000),
    _many_minutes,
    _changed("all refused", lambda _: {"output_tokens": "12"}, share=5),
    _changed("texts of 4 KB, kept", lambda n: {"input": _prompt(n)}, share=10,
             settings={"TOKENTIDE_CONTENT_POLICY": "keep", "TOKENTIDE_CONTENT_KEEP_SERVICES": ",".join(SERVICES)}),
    _uniform("ClickHouse away", is_outage=True),
)  # fmt: skip
