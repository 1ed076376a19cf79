"""A model of the world around the worker's real fold and checkpoint code, for random schedules of faults.

A log of one or two partitions, a group that keeps committed offsets, and stores that keep the highest version per
identity, as ClickHouse does. Workers come and go: they are killed between any two writes, an insert may be torn (some
rows stored) or repeated, a zombie goes on writing after its partition was given away, retention and gaps occur. What
must hold at the end is stated by `truth`, which folds the log once from the beginning.

`order` and `refold` are there for the negative controls: with the commit before the writes, or without the seek back
to the segment's start, the model must find wrong totals.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tokentide.schemas.rejects import DeadLetter
from tokentide.stream.decode.clock import ClockLimits
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.durable import EVENTS_TABLE, LEDGER_TABLE, make_durable
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.letters import LetterPolicy
from tokentide.stream.partition import (
    Checkpoint,
    Enrich,
    PartitionFold,
    PartitionRules,
    RecordBatch,
    Source,
)
from tokentide.stream.resume import LedgerEntry, plan_start, segment_of

Order = Literal["write, then commit", "commit, then write"]
TOPIC = "llm.events"


class Killed(Exception):  # noqa: N818 - what happens to a worker, not an error of it
    """The worker's process ends at this instruction."""


@dataclass
class Log:
    """The records of each partition: value by offset; offsets without a value are gaps."""

    partitions: list[dict[int, bytes]]
    ends: list[int]

    def read(self, partition: int, begin: int, most: int) -> RecordBatch | None:
        """Up to `most` offsets from `begin`, or None at the end."""
        end = min(begin + most, self.ends[partition])
        if begin >= end:
            return None
        records = self.partitions[partition]
        offsets = [offset for offset in range(begin, end) if offset in records]
        return RecordBatch(
            begin,
            end,
            np.asarray(offsets, np.int64),
            np.full(len(offsets), 1_800_000_000_000, np.int64),
            [None] * len(offsets),
            [records[offset] for offset in offsets],
        )


@dataclass
class Stores:
    """ClickHouse and the dead-letter topic: the highest version of each identity stays."""

    events: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    windows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    ledger: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    letters: dict[tuple[int, int, int], DeadLetter] = field(default_factory=dict)

    def put(self, table: str, row: dict[str, Any]) -> None:
        """Store one row."""
        if table == EVENTS_TABLE:
            self.events[row["source_partition"], row["source_offset"], row["source_index"]] = row
            return
        span = (row["source"], row["source_partition"], row["segment"], row["first_offset"])
        if table == LEDGER_TABLE:
            kept, key = self.ledger, span
        else:
            series = (row["window_start"], row["service"], row["model"], row["variant"])
            kept, key = self.windows, (*span, row["fold"], *series)
        if key not in kept or row["version"] >= kept[key]["version"]:
            kept[key] = row

    def totals(self) -> dict[tuple[Any, ...], Counter[str]]:
        """The view `windows`: partials of the fold in force, summed over partitions and segments."""
        summed: dict[tuple[Any, ...], Counter[str]] = {}
        for key, row in self.windows.items():
            if self.ledger.get(key[:4], {}).get("fold") != key[4]:
                continue
            total = summed.setdefault(key[5:], Counter())
            for name in ("calls", "errors", "input_tokens", "late_calls", "duration_us"):
                total[name] += row[name]
            total["cost"] += int(row["cost_usd"].scaleb(12))
            for bucket, count in row["duration_ms_sketch"]:
                total[f"bucket {bucket}"] += count
        return {key: +total for key, total in summed.items() if total["calls"]}


class FlakyStore:
    """Inserts row by row; a fault may strike before any of them."""

    def __init__(self, stores: Stores, strike: Callable[[], None], chance: random.Random) -> None:
        self._stores = stores
        self._strike = strike
        self._chance = chance

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Store the rows in any order, maybe twice."""
        listed = rows.to_pylist()
        self._chance.shuffle(listed)
        if self._chance.random() < 0.2:
            listed += listed  # the answer was lost, and the insert is sent again
        for row in listed:
            self._strike()
            self._stores.put(table, row)

    async def send_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters by their identity."""
        for letter in letters:
            self._strike()
            self._stores.letters[letter.partition, letter.offset, letter.index] = letter


@dataclass
class World:
    """Everything that outlives a worker."""

    log: Log
    rules: PartitionRules
    enrich: Enrich
    chance: random.Random
    order: Order = "write, then commit"
    refold: bool = True
    stores: Stores = field(default_factory=Stores)
    committed: dict[int, int] = field(default_factory=dict)

    def new_worker(self, partition: int) -> PartitionFold:
        """A worker that has just been given the partition."""
        committed = self.committed.get(partition)
        name = f"{TOPIC}:id"
        segment = segment_of(committed or 0)
        entries = [
            LedgerEntry(row["first_offset"], row["version"], row["fold"], row["lost"])
            for key, row in self.stores.ledger.items()
            if key[:3] == (name, partition, segment)
        ]
        start = plan_start(committed, 0, entries, self.rules.fold_id)
        if not self.refold and committed is not None:
            start = start._replace(read_from=committed)
        return PartitionFold(Source(name, TOPIC, partition), start, self.rules, Decoder(), self.enrich)

    def strike(self, risk: float) -> Callable[[], None]:
        """A fault that ends the worker with some probability each time it is asked."""

        def strike() -> None:
            if self.chance.random() < risk:
                raise Killed

        return strike

    def save(self, partition: int, fold: PartitionFold, *, risk: float, owns: bool = True) -> None:
        """Checkpoint a worker's state; raises `Killed` at any step."""
        checkpoint = fold.checkpoint()
        if checkpoint is None:
            return
        strike = self.strike(risk)
        store = FlakyStore(self.stores, strike, self.chance)
        if self.order == "commit, then write":
            self._commit(partition, checkpoint, owns=owns)
        asyncio.run(make_durable([checkpoint], store, store))
        strike()
        if self.order == "write, then commit":
            self._commit(partition, checkpoint, owns=owns)
        if owns:
            fold.committed(checkpoint.position)

    def _commit(self, partition: int, checkpoint: Checkpoint, *, owns: bool) -> None:
        if owns:  # the group refuses the commit of a zombie
            self.committed[partition] = checkpoint.position

    def run(self, *, steps: int, risk: float) -> None:
        """Let workers work under faults for some steps, then let one finish each partition in peace."""
        for partition in range(len(self.log.ends)):
            self._run_partition(partition, steps, risk)
            fold = self.new_worker(partition)
            while self._step(partition, fold, most=7):
                pass
            self.save(partition, fold, risk=0.0)

    def _run_partition(self, partition: int, steps: int, risk: float) -> None:
        fold = self.new_worker(partition)
        zombies: list[PartitionFold] = []
        for _ in range(steps):
            try:
                self._random_step(partition, fold, zombies, risk)
            except Killed:
                fold = self.new_worker(partition)
                continue
            if self.chance.random() < 0.03:  # ClickHouse was away for long: rows are let go, then read again
                fold.let_go()
                self._step(partition, fold, most=5)
                self.save(partition, fold, risk=0.0)
                fold.published()
                fold = self.new_worker(partition)
            if self.chance.random() < 0.1:  # the partition is given away; the old owner may not know yet
                zombies.append(fold)
                fold = self.new_worker(partition)

    def _random_step(
        self, partition: int, fold: PartitionFold, zombies: list[PartitionFold], risk: float
    ) -> None:
        act = self.chance.random()
        if act < 0.6:
            self._step(partition, fold, most=self.chance.randint(1, 9))
        elif act < 0.85 or not zombies:
            self.save(partition, fold, risk=risk)
        else:
            zombie = self.chance.choice(zombies)
            self._step(partition, zombie, most=5)
            self.save(partition, zombie, risk=0.0, owns=False)
            zombies.remove(zombie)

    def _step(self, partition: int, fold: PartitionFold, *, most: int) -> bool:
        batch = self.log.read(partition, fold.position, most)
        if batch is None:
            return False
        fold.ingest(batch)
        return True


def truth(log: Log, rules: PartitionRules, enrich: Enrich) -> Stores:
    """What the stores must come to hold: every partition folded once, in one batch, by one worker that lives."""
    world = World(log, rules, enrich, random.Random(0))
    world.run(steps=0, risk=0.0)
    return world.stores


def rules(*, fold_id: int = 1, series_cap: int = 3) -> PartitionRules:
    """Rules with a small cap, so that it matters."""
    return PartitionRules(
        FoldSettings(("service", "model", "variant"), series_cap), fold_id, ClockLimits(), LetterPolicy()
    )


def iterate(stores: Stores) -> Iterator[tuple[Any, ...]]:
    """The identities of all stored events."""
    yield from sorted(stores.events)
