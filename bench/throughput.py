"""How many events a second of CPU one worker on one core takes through the whole path.

The events lie in Kafka before the worker starts; everything is on: validation, token counts, pricing, windows, all event rows into
ClickHouse. Counted is from the assignment of the partitions to the last row in the ledger. Totals in ClickHouse are compared with the truth before a time is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.figures import Figure
from bench.load import load
from bench.machine import cpu_seconds, peak_memory_mb
from bench.stand import Stand, start_worker
from bench.traffic import PACK, PARTITIONS, Calls, Truth, lines, now, packed, simulated
from tests.support.pipeline import Pipeline
from tests.support.waiting import until
from tokentide.stream.decoder_choice import choose_decoder


class Run(NamedTuple):
    """One measured run."""

    wall_s: float
    cpu_s: float
    memory_mb: float


class Load(NamedTuple):
    """Records that lie in Kafka, and what must come of them."""

    name: str
    records: Sequence[bytes]
    calls: int
    truth: Truth
    """Without calls marked `test`."""
    partitions: int = PARTITIONS
    is_priced: bool = True
    """Whether every call has a price."""


def throughput(stand: Stand, *, events: int, runs: int) -> list[Figure]:
    """Uniform events one a record and packed fifty a record, and what `tokentide simulate` makes; by each decoder that is here, in turns."""
    name = choose_decoder("auto").name
    decoders = [name] if name == "python" else [name, "python"]
    figures = []
    for load_of in (_single, _packed, _simulated(0.0), _simulated(0.1)):
        made = load_of(events)
        measured: dict[str, list[Run]] = {decoder: [] for decoder in decoders}
        for _ in range(runs):
            for decoder in decoders:
                measured[decoder].append(_run(stand, made, decoder))
        for decoder, of_it in measured.items():
            title = f"{decoder}: {made.name}"
            figures += [
                Figure(f"{title}, per CPU second", "events/s", [made.calls / run.cpu_s for run in of_it]),
                Figure(f"{title}, by the clock", "events/s", [made.calls / run.wall_s for run in of_it]),
                Figure(f"{title}, worker's peak memory", "MB", [run.memory_mb for run in of_it]),
            ]
    return figures


def _uniform(events: int) -> tuple[list[bytes], Truth]:
    values, errors, input_tokens, output_tokens = [], 0, 0, 0
    for value, event in lines(events, seed=1, start=now(), per_second=50_000):
        values.append(value)
        errors += event["status"] == "error"
        input_tokens += event["input_tokens"]
        output_tokens += event["output_tokens"]
    return values, Truth(events, errors, input_tokens, output_tokens)


def _single(events: int) -> Load:
    values, truth = _uniform(events)
    return Load("one event a record", values, events, truth)


def _packed(events: int) -> Load:
    values, truth = _uniform(events)
    return Load(f"{PACK} events a record", list(packed(values, PACK)), events, truth)


def _simulated(parts: float) -> Callable[[int], Load]:
    """Calls of ten kinds of applications; of a tenth of them request and answer apart, where asked for. Tokens are partly counted by the worker."""

    def make(events: int) -> Load:
        values, calls = list[bytes](), Calls()
        for value, event in simulated(seconds=events / 500, parts=parts):
            values.append(value)
            calls.add(event)
            if calls.count == events:
                break
        share = f", {parts:.0%} of the calls in parts" if parts else ""
        truth = Truth(calls.count - calls.tests, calls.errors, None, None)
        # On one partition, as the SDK puts the parts of one call; the others of a real topic are alike.
        name, records = f"simulate{share}", list(packed(values, PACK))
        return Load(name, records, calls.count, truth, partitions=1, is_priced=False)

    return make


def _run(stand: Stand, made: Load, decoder: str) -> Run:
    with stand.pipeline(TOKENTIDE_WORKER_STAGES="ingest,detect", TOKENTIDE_WORKER_DECODER=decoder) as running:
        load(
            running.broker.bootstrap_servers,
            f"{running.prefix}events",
            made.records,
            partitions=made.partitions,
        )
        worker = start_worker(running, core=0)
        log = running.folder / "worker-0.log"
        until(lambda: "partitions assigned" in log.read_text(), what="the worker's start")
        cpu_before, started = cpu_seconds(worker.pid), time.monotonic()
        until(lambda: _stored(running) >= made.calls, what="storing everything")
        wall_s = time.monotonic() - started
        cpu_s = cpu_seconds(worker.pid) - cpu_before
        memory = peak_memory_mb(worker.pid)
        running.wait()
        _check(running, made)
        running.stop()
        return Run(wall_s, cpu_s, memory)


def _stored(made: Pipeline) -> int:
    return int(made.client.query("SELECT sum(events) FROM ledger").result_rows[0][0])


def _check(made: Pipeline, load_: Load) -> None:
    counted = {
        "events": "SELECT count() AS events, countIf(status = 'error') AS errors, sum(input_tokens) AS input, "
        "sum(output_tokens) AS output FROM events WHERE NOT ifNull(test, false)",
        "windows": "SELECT sum(calls) AS events, sum(errors) AS errors, sum(input_tokens) AS input, "
        "sum(output_tokens) AS output FROM windows",
    }
    events, windows = (made.one(query) for query in counted.values())
    assert events == windows, f"{load_.name}: the rows give {events}, the windows {windows}"
    expected = load_.truth._asdict()
    names = ("events", "errors", "input", "output")
    for found, (field, value) in zip(names, expected.items(), strict=True):
        assert value is None or int(events[found]) == value, (
            f"{load_.name}: {events[found]} {field}, {value} were sent"
        )
    if load_.is_priced:
        assert int(made.one("SELECT sum(priced_calls) AS n FROM windows")["n"]) == load_.truth.events
