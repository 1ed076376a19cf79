"""What each step of the core costs, in microseconds of CPU an event; no broker, no network.

Batches of 20,000 events, as a worker under load gets them; shares are of the sum of the steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from bench.figures import Figure
from bench.traffic import PACK, lines, now, packed
from tokentide.config import Settings
from tokentide.sinks.arrow_body import encode
from tokentide.stream.assembly import build_core
from tokentide.stream.decode.batch import Decoded
from tokentide.stream.decoder_choice import ChosenDecoder
from tokentide.stream.enrich.enricher import Enricher
from tokentide.stream.kafka_out import packed as packed_partials
from tokentide.stream.memory import keep_freed_memory
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.resume import Start

BATCH = 20_000


class Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - begin


def steps(*, batches: int, runs: int) -> list[Figure]:
    """The steps for single and for packed records."""
    keep_freed_memory()
    values = [value for value, _ in lines(batches * BATCH, seed=3, start=now(), per_second=50_000)]
    figures = []
    for name, size in (("single", 1), ("packed", PACK)):
        clocks = [measure(values, size, Settings(), calls=len(values)) for _ in range(runs + 1)][1:]
        events = batches * BATCH
        figures += [
            Figure(f"{name}: {step}", "µs/event", [c.spent[step] / events * 1e6 for c in clocks])
            for step in clocks[0].spent
        ]
        figures.append(
            Figure(
                f"{name}: sum of steps", "µs/event", [sum(c.spent.values()) / events * 1e6 for c in clocks]
            )
        )
    return figures


def measure(
    values: list[bytes], size: int, settings: Settings, *, calls: int, refused: int = 0, batch: int = BATCH
) -> Clock:
    """CPU of each step of the core for these events, `size` to a record; so many calls and refusals must come of them."""
    clock = Clock()
    core = build_core(settings)
    timed = core._replace(
        decoder=_TimedDecoder(core.decoder, clock), enricher=_TimedEnricher(core.enricher, clock)
    )
    partition = timed.partition(Source("llm.events:bench", "llm.events", 0), Start(0, 0, 0))
    position = 0
    stored: list[pa.Table] = []
    letters = 0
    for begin in range(0, len(values), batch):
        records = values[begin : begin + batch]
        if size > 1:
            records = list(packed(records, size))
        count = len(records)
        offsets = np.arange(position, position + count)
        sent = np.full(count, int(time.time() * 1000))
        fetched = RecordBatch(position, position + count, offsets, sent, [None] * count, records)
        before = clock.spent.get("decode", 0.0) + clock.spent.get("enrich", 0.0)
        with clock.step("whole"):
            partition.ingest(fetched)
        inner = clock.spent["decode"] + clock.spent.get("enrich", 0.0) - before
        clock.spent["fold and place"] = (
            clock.spent.get("fold and place", 0.0) + clock.spent.pop("whole") - inner
        )
        position += count
        # A worker makes one after 50,000 rows.
        if begin + batch < len(values) and (begin // batch) % 3 != 2:
            continue
        with clock.step("partials"):
            checkpoint = partition.checkpoint()
            published = partition.published()
        assert checkpoint is not None
        partition.committed(checkpoint.position)
        stored += checkpoint.rows
        letters += len(checkpoint.letters)
        with clock.step("rows to Arrow stream"):
            if checkpoint.rows:
                encode(pa.concat_tables(checkpoint.rows, promote_options="default"))
        with clock.step("partials to Arrow stream"):
            encode(checkpoint.partials)
            list(packed_partials(published, [0, 1, 2, 3]))
    assert sum(rows.num_rows for rows in stored) == calls, "the fold lost events, or made some"
    assert letters == refused, "the fold refused others than it should"
    return clock


class _TimedDecoder(ChosenDecoder):
    """Times what the fold asks of the decoder."""

    def __init__(self, inner: ChosenDecoder, clock: Clock) -> None:
        super().__init__(inner, inner.name, inner.reason)
        self._inner = inner
        self._clock = clock

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        with self._clock.step("decode"):
            return self._inner.decode(values)


class _TimedEnricher(Enricher):
    """Times what the fold asks of the enricher."""

    def __init__(self, inner: Enricher, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    def for_windows(self, table: pa.Table) -> pa.Table:
        with self._clock.step("enrich"):
            return self._inner.for_windows(table)

    def __call__(self, table: pa.Table) -> pa.Table:
        with self._clock.step("enrich"):
            return self._inner(table)
