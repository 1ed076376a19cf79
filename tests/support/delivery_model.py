"""A model of the world around the worker's real ingest stage, for random schedules of faults.

A log of one or two partitions with gaps; a group that keeps committed offsets and refuses the commits of an older
generation; stores that keep the highest version per identity, as ClickHouse and a reader of the windows topic do.
Each worker is the real `Ingest` over the real fold. Workers come and go: they are killed between any two writes, so that
inserts are torn; batches are folded in slices, between which anything happens; inserts are repeated; writes are given up, after which a worker makes its last checkpoint; the store is
away until memory is full; partitions are assigned anew under a worker or given to another, and the old owner goes on
writing, torn too; batches fetched before a rebalance or a seek arrive after it. With `Faults.retention` the log also
loses its beginning, below the commit and above it.

What must hold at the end is stated by `truth`, which folds the log once from the beginning, and, where retention took a
part, by `tests.support.delivery_spans`. `Defect` is there for negative controls.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tests.support.virtual_time import run_virtually
from tokentide.schemas.rejects import DeadLetter
from tokentide.stream.counts import IngestCounts
from tokentide.stream.decode.clock import ClockLimits
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.durable import EVALUATIONS_TABLE, EVENTS_TABLE, LEDGER_TABLE, WINDOWS_TABLE
from tokentide.stream.fold.extent import SpanLimits
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.ingest import Ingest, Outside, Pace
from tokentide.stream.join.waiting import JoinLimits
from tokentide.stream.letters import LetterPolicy
from tokentide.stream.partition import Enrich, OutOfStepError, PartitionFold, PartitionRules
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.reject_alarm import RejectAlarm
from tokentide.stream.resume import LedgerEntry, Start, plan_start, provisional_start, segments_to_ask
from tokentide.stream.slices import Cut, Slices
from tokentide.stream.transport.fetched import Fetched, Place

TOPIC = "llm.events"
SENT_MS = 1_800_000_000_000
SOURCE_NAME = f"{TOPIC}:id"

SHORT_WAITS = JoinLimits(answer_wait_ms=120_000, request_wait_ms=40_000, room_bytes=20_000)
"""A request waits for some twelve records of `random_log`, an answer for four, and ten parts have room."""

WHOLE_SEGMENTS = SpanLimits(work_ns=1 << 62)
SHORT_SPANS = SpanLimits(work_ns=40_000)
"""Some seven ordinary records; one refused item, or one part, is a span of its own."""
LONGER_SPANS = SpanLimits(work_ns=200_000)
"""Some three parts. Ordinary records have room for all of a segment of 16 offsets."""

Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]


class Killed(Exception):  # noqa: N818 - what happens to a worker, not an error of it
    """The worker's process ends at this instruction."""


class GivenUp(Exception):  # noqa: N818 - the same
    """A write failed and is not tried again; the process lives on for a moment."""


@dataclass
class Log:
    """The records of each partition: value by offset; offsets without a value are gaps."""

    partitions: list[dict[int, bytes]]
    ends: list[int]
    earliest: list[int] = field(default_factory=list)
    """What retention has left of each partition begins here."""
    times_ms: list[dict[int, int]] = field(default_factory=list)
    """Kafka's time of the records by offset, where it matters."""

    def __post_init__(self) -> None:
        self.earliest = self.earliest or [0] * len(self.ends)
        self.times_ms = self.times_ms or [{} for _ in self.ends]

    def fetch(self, partition: int, begin: int, most: int) -> RecordBatch | None:
        """Up to `most` offsets from `begin`, or None at the end. Like aiokafka, silently from the earliest there is."""
        begin = max(begin, self.earliest[partition])
        end = min(begin + most, self.ends[partition])
        return None if begin >= end else self.between(partition, begin, end)

    def between(self, partition: int, begin: int, end: int) -> RecordBatch:
        """The records from `begin` to `end` (exclusive), also those that retention has taken."""
        records = self.partitions[partition]
        offsets = [offset for offset in range(begin, end) if offset in records]
        return RecordBatch(
            begin,
            end,
            np.asarray(offsets, np.int64),
            np.asarray([self.times_ms[partition].get(offset, SENT_MS) for offset in offsets], np.int64),
            [None] * len(offsets),
            [records[offset] for offset in offsets],
        )


@dataclass
class Stores:
    """ClickHouse and the topics of dead letters and windows: the highest version of each identity stays."""

    events: Rows = field(default_factory=dict)
    evaluations: Rows = field(default_factory=dict)
    windows: Rows = field(default_factory=dict)
    ledger: Rows = field(default_factory=dict)
    windows_topic: Rows = field(default_factory=dict)
    letters: dict[tuple[int, int, int], DeadLetter] = field(default_factory=dict)

    def put(self, table: str, row: Row) -> None:
        """Store one row in ClickHouse."""
        if table in {EVENTS_TABLE, EVALUATIONS_TABLE}:
            kept = self.events if table == EVENTS_TABLE else self.evaluations
            kept[row["source_partition"], row["source_offset"], row["source_index"]] = row
        elif table == LEDGER_TABLE:
            _keep_highest(self.ledger, _span(row), row)
        else:
            _keep_highest(self.windows, _identity(row), row)

    def publish(self, row: Row) -> None:
        """Write a partial to the windows topic."""
        _keep_highest(self.windows_topic, _identity(row), row)

    def put_letter(self, letter: DeadLetter) -> None:
        """Keep a letter by its identity."""
        self.letters[letter.partition, letter.offset, letter.index] = letter

    def in_force(self, windows: Rows) -> Rows:
        """The partials that count: those of the fold that the ledger names."""
        return {
            key: row for key, row in windows.items() if self.ledger.get(key[:4], {}).get("fold") == key[4]
        }


def _span(row: Row) -> tuple[Any, ...]:
    return row["source"], row["source_partition"], row["segment"], row["first_offset"]


def _identity(row: Row) -> tuple[Any, ...]:
    return *_span(row), row["fold"], row["window_start"], row["service"], row["model"], row["variant"]


def _keep_highest(kept: Rows, key: tuple[Any, ...], row: Row) -> None:
    if key not in kept or row["version"] >= kept[key]["version"]:
        kept[key] = row


class Faults(NamedTuple):
    """What may happen, and how often."""

    kill: float = 0.0
    """Before and after each row and call."""
    give_up: float = 0.0
    """The same: the call fails."""
    held_bytes: int = 1 << 30
    retention: bool = False
    zombies: bool = True
    """Who loses its partitions may go on writing; else it ends."""
    provisional: float = 0.0
    """Of a partition that is assigned: the ledger does not answer in time."""


NO_FAULTS = Faults()


class Defect(NamedTuple):
    """How a worker is built; anything but the default is a negative control."""

    ingest: type[Ingest] = Ingest
    plan: Callable[[Start, int | None], Start] = lambda start, _: start
    """Changes where a worker begins; also told the committed offset."""
    partition: type[PartitionFold] = PartitionFold


SOUND = Defect()


class Between:
    """Does the work that the core's thread does, and lets anything happen before and after each piece of it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def run(self, name: str, work: Callable[[], Any]) -> Any:
        """See `tokentide.stream.core_thread.Serial`."""
        del name
        if self._chance.random() < 0.3:
            await pause(self._chance)
        result = work()
        if self._chance.random() < 0.3:
            await pause(self._chance)
        return result


class AnySlices(Slices):
    """Cuts anywhere: what a clock might decide."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def work_off(self, cut: Cut, work: Callable[[RecordBatch], Any]) -> Any:
        """The next one to five records, or all."""
        part, _ = cut.next(self._chance.choice((1, 500, 1_500, 1 << 30)))
        return work(part)


class Process:
    """A worker: the real `Ingest`, what it writes to, and what its consumer brings."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._chance = world.chance
        self._faults = faults
        self.is_dead = False
        self._generation = 0
        self._positions: dict[Place, int] = {}
        self._durable: dict[Place, int] = {}
        self._fetched: list[tuple[Fetched, int]] = []
        self._works: dict[str, asyncio.Task[None]] = {}
        self.ingest = world.defect.ingest(
            Outside(self, self, self, self._commit, self._rewind, self._begin_anew),
            self._new_partition,
            Pace(seconds=1.0, max_seconds=1.0, rows=1 << 30, held_bytes=faults.held_bytes),
            IngestCounts(RejectAlarm(share=0.5, run=1000), clock=lambda: 0.0),
            work=Between(world.chance),
            slices=AnySlices(world.chance),
        )

    # --- what the worker's shell and the consumer do

    async def join(self) -> None:
        """A rebalance gives it all partitions."""
        world = self._world
        self.ingest.forget()
        world.generation += 1
        self._generation = world.generation
        await pause(self._chance)
        starts = {place: self._first_plan(place[1]) for place in world.places}
        self._seek(starts)
        self._durable |= {place: world.committed.get(place[1], 0) for place in starts}
        self.ingest.begin(starts, self._generation)

    def _first_plan(self, partition: int) -> Start:
        if self._chance.random() < self._faults.provisional:
            return self._world.plan_without_ledger(partition)
        return self._world.plan(partition)

    def _seek(self, starts: Mapping[Place, Start]) -> None:
        self._positions |= {place: start.fetch_from for place, start in starts.items()}

    async def _rewind(self, places: Sequence[Place]) -> None:
        generation = self._generation
        await self._moment()
        if generation == self._generation:
            starts = {place: self._world.plan(place[1]) for place in places}
            self._durable |= {place: self._world.committed.get(place[1], 0) for place in places}
            sought = self.ingest.begin_again(starts, generation)
            self._seek({place: starts[place] for place in sought})

    async def _begin_anew(self, places: Sequence[Place]) -> None:
        raise AssertionError(f"the log of {places} has never lost its end")

    def fetch(self, most: int) -> None:
        """Fetch of one partition, if little waits."""
        place = self._chance.choice(self._world.places)
        if len(self._fetched) >= 3 or place not in self._positions:
            return
        batch = self._world.log.fetch(place[1], self._positions[place], most)
        if batch is not None:
            self._positions[place] = batch.end
            self._fetched.append((Fetched(*place, batch), self._generation))

    def take(self) -> None:
        """Hand over what was fetched first."""
        if self._fetched and "take" not in self._works:
            self._begin("take", self.ingest.take(*self._fetched.pop(0)))

    def checkpoint(self) -> None:
        """Begin a checkpoint, unless one is under way."""
        if "checkpoint" not in self._works:
            self._begin("checkpoint", self.ingest.checkpoint())

    def publish(self) -> None:
        """As `publish_forever` does while a checkpoint takes long."""
        if "publish" not in self._works and "checkpoint" in self._works:
            folds = [assigned.fold for assigned in self.ingest._assigned.values()]
            self._begin("publish", self.ingest._publish(folds))

    def _begin(self, name: str, work: Any) -> None:
        self._works[name] = asyncio.create_task(work)

    async def look_after(self) -> None:
        """As the worker does: what fails ends the process, and one that lives makes a last checkpoint."""
        for name, work in list(self._works.items()):
            if not work.done():
                continue
            del self._works[name]
            match work.exception():
                case None:
                    pass
                case Killed():
                    self.is_dead = True
                case GivenUp():
                    await self._stop()
                case OutOfStepError() if self._world.has_lost:
                    self.is_dead = True
                case error:
                    raise error
        if self.is_dead:
            await self.kill()

    async def _stop(self) -> None:
        """It ends well, or is killed for taking too long."""
        with contextlib.suppress(Killed, GivenUp, OutOfStepError, TimeoutError):
            await asyncio.wait_for(self._last_checkpoint(), 1.0)
        self.is_dead = True

    async def _last_checkpoint(self) -> None:
        if self._fetched and "take" not in self._works:  # a batch may come meanwhile
            await self.ingest.take(*self._fetched.pop(0))
        await self.ingest.checkpoint()

    async def kill(self) -> None:
        """End it between two instructions."""
        self.is_dead = True
        for work in self._works.values():
            work.cancel()
        await asyncio.gather(*self._works.values(), return_exceptions=True)
        self._works.clear()

    async def finish(self) -> None:
        """Read all there is, and commit it."""
        world = self._world
        for _ in range(10_000):
            if all(world.has_read(partition) for _, partition in world.places):
                break
            self.fetch(7)
            self.take()
            await pause(self._chance)
            if self._chance.random() < 0.2:
                self.checkpoint()
            await self.look_after()
        else:
            raise AssertionError("in peace the log is never read to its end")
        await self.kill()

    # --- the outside, as the ingest stage sees it

    def _new_partition(self, place: Place, start: Start) -> PartitionFold:
        source, world = Source(SOURCE_NAME, *place), self._world
        return world.defect.partition(source, start, world.rules, Decoder(), world.enrich)

    async def _moment(self) -> None:
        """Between two instructions: others go on, this one may end."""
        if self._chance.random() < 0.1:
            await pause(self._chance)
        self.is_dead = self.is_dead or self._chance.random() < self._faults.kill
        if self.is_dead:
            raise Killed
        if self._chance.random() < self._faults.give_up:
            raise GivenUp

    def _listed(self, table: pa.Table) -> list[Row]:
        rows: list[Row] = table.to_pylist()
        self._chance.shuffle(rows)
        # Repeated: the answer was lost, and the insert is sent again.
        return rows * 2 if self._chance.random() < 0.1 else rows

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Store the rows one by one, in any order."""
        world = self._world
        if not world.store_is_open.is_set():
            if self._chance.random() < 0.7:
                self.ingest.outage()
            await world.store_is_open.wait()
        for row in self._listed(rows):
            await self._moment()
            if table in {EVENTS_TABLE, EVALUATIONS_TABLE}:
                self._see_that_it_is_new(row["source_partition"], row["source_offset"])
            world.stores.put(table, row)
        await self._moment()

    async def send_letters(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            await self._moment()
            self._see_that_it_is_new(letter.partition, letter.offset)
            self._world.stores.put_letter(letter)
        await self._moment()

    async def send_partials(self, partials: pa.Table) -> None:
        for row in self._listed(partials):
            await self._moment()
            self._world.stores.publish(row)
        await self._moment()

    def _see_that_it_is_new(self, partition: int, offset: int) -> None:
        if offset < self._durable[TOPIC, partition]:
            self._world.stored_again.append((partition, offset))

    async def _commit(self, positions: Mapping[Place, int]) -> bool:
        await self._moment()
        is_owner = self._generation == self._world.generation
        if is_owner:
            for (_, partition), at in positions.items():
                self._see_that_it_is_new(partition, at)
            self._world.committed |= {partition: at for (_, partition), at in positions.items()}
        await self._moment()
        return is_owner


async def pause(chance: random.Random) -> None:
    """Let others go on for a while."""
    for _ in range(chance.choice((0, 1, 3, 10))):
        await asyncio.sleep(0)


@dataclass
class World:
    """Everything that outlives a worker."""

    log: Log
    rules: PartitionRules
    enrich: Enrich
    chance: random.Random
    faults: Faults = NO_FAULTS
    defect: Defect = SOUND
    stores: Stores = field(default_factory=Stores)
    committed: dict[int, int] = field(default_factory=dict)
    generation: int = 0
    stored_again: list[tuple[int, int]] = field(default_factory=list)
    """Partition and offset of rows, letters and commits below the commit at which their worker began: a defect."""
    starts: list[tuple[int, Start]] = field(default_factory=list)
    """Where workers began, by partition."""
    has_lost: bool = False
    """Retention has taken something."""
    store_is_open: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def places(self) -> list[Place]:
        """All partitions."""
        return [(TOPIC, partition) for partition in range(len(self.log.ends))]

    def plan(self, partition: int) -> Start:
        """Where a worker begins, from the commit, the log and the ledger."""
        committed, earliest = self.committed.get(partition), self.log.earliest[partition]
        asked = segments_to_ask(committed, earliest)
        entries = [
            LedgerEntry(
                row["first_offset"],
                row["version"],
                row["fold"],
                row["lost"],
                tuple(zip(row["pending_offsets"], row["pending_items"], strict=True))
                if key[2] in asked
                else (),
                row["limited_from"],
            )
            for key, row in self.stores.ledger.items()
            if key[:2] == (SOURCE_NAME, partition) and key[2] >= asked[0]
        ]
        start = plan_start(committed, earliest, entries, self.rules.fold_id)
        planned = self.defect.plan(start, committed)
        self.starts.append((partition, planned))
        return planned

    def plan_without_ledger(self, partition: int) -> Start:
        """Where a worker begins meanwhile."""
        committed, earliest = self.committed.get(partition), self.log.earliest[partition]
        return self.defect.plan(provisional_start(committed, earliest), committed)

    def has_read(self, partition: int) -> bool:
        """Whether nothing is left to do: all is committed, or stored, and retention took what would be read again."""
        end = self.log.ends[partition]
        return self.committed.get(partition) == end or self.plan(partition).read_from == end

    def run(self, *, steps: int, finish: bool = True) -> None:
        """Let workers work under faults for some steps, then let one finish in peace."""
        run_virtually(self._run(steps, finish=finish))

    async def new_process(self, faults: Faults) -> Process:
        """A worker that has just been given all partitions."""
        process = Process(self, faults)
        await process.join()
        return process

    async def _run(self, steps: int, *, finish: bool) -> None:
        self.store_is_open.set()
        owner = await self.new_process(self.faults)
        zombies: list[Process] = []
        for _ in range(steps):
            owner = await self._step(owner, zombies)
            await pause(self.chance)
            for process in (owner, *zombies):
                await process.look_after()
            zombies[:] = [zombie for zombie in zombies if not zombie.is_dead]
            if owner.is_dead:
                owner = await self.new_process(self.faults)
        await owner.kill()
        self.store_is_open.set()
        if finish:
            await (await self.new_process(NO_FAULTS)).finish()
        for zombie in zombies:
            await self._last_words(zombie)

    async def _step(self, owner: Process, zombies: list[Process]) -> Process:
        """One thing happens. Returns the owner of the partitions, who may be another."""
        act = self.chance.random()
        if act < 0.5:
            owner.fetch(self.chance.randint(1, 9))
            owner.take()
        elif act < 0.72:
            owner.checkpoint()
        elif act < 0.76:
            owner.publish()
        elif act < 0.86 and zombies:
            self._act_as_zombie(self.chance.choice(zombies))
        elif act < 0.90:
            if self.faults.zombies:
                zombies.append(owner)
            else:
                await owner.kill()
            return await self.new_process(self.faults)
        elif act < 0.93 and self.faults.zombies:  # what is being written is written on
            await owner.join()
        elif act < 0.94:
            await owner.kill()
        elif act < 0.97:
            (self.store_is_open.clear if self.store_is_open.is_set() else self.store_is_open.set)()
        elif self.faults.retention:
            self._retain_less()
        return owner

    def _act_as_zombie(self, zombie: Process) -> None:
        zombie.fetch(self.chance.randint(1, 9))
        zombie.take()
        if self.chance.random() < 0.5:
            zombie.checkpoint()

    async def _last_words(self, zombie: Process) -> None:
        zombie.checkpoint()
        for _ in range(100):
            await asyncio.sleep(0)
        await zombie.kill()

    def _retain_less(self) -> None:
        """Retention takes what is old: as a rule below the commit, sometimes what nobody has read yet."""
        partition = self.chance.randrange(len(self.log.ends))
        if partition not in self.committed and self.faults.zombies:
            return  # a new group begins where the log does; what a zombie stores of it then is nobody's loss
        until = self.committed.get(partition, 0) + self.chance.randint(-20, 25)
        earliest = min(max(until, self.log.earliest[partition]), self.log.ends[partition] - 1)
        self.log.earliest[partition] = earliest
        self.has_lost = self.has_lost or earliest > 0


def folded(log: Log, partition: int, start: Start, end: int, rules: PartitionRules, enrich: Enrich) -> Stores:
    """What is stored of a part of the log: folded once, in one batch, by one worker that lives."""
    fold = PartitionFold(Source(SOURCE_NAME, TOPIC, partition), start, rules, Decoder(), enrich)
    fold.ingest(log.between(partition, start.fetch_from, end))
    checkpoint, stores = fold.checkpoint(), Stores()
    assert checkpoint is not None
    for table, rows in (
        (
            EVENTS_TABLE,
            pa.concat_tables(checkpoint.rows, promote_options="default") if checkpoint.rows else None,
        ),
        (EVALUATIONS_TABLE, pa.concat_tables(checkpoint.evaluations) if checkpoint.evaluations else None),
        (WINDOWS_TABLE, checkpoint.partials),
        (LEDGER_TABLE, checkpoint.ledger),
    ):
        for row in [] if rows is None else rows.to_pylist():
            stores.put(table, row)
    for letter in checkpoint.letters:
        stores.put_letter(letter)
    return stores


def truth(log: Log, rules: PartitionRules, enrich: Enrich) -> Stores:
    """What the stores must come to hold where retention takes nothing."""
    stores = Stores()
    for partition, end in enumerate(log.ends):
        part = folded(log, partition, Start(0, 0, 0), end, rules, enrich)
        stores.events |= part.events
        stores.evaluations |= part.evaluations
        stores.windows |= part.windows
        stores.ledger |= part.ledger
        stores.letters |= part.letters
    return stores


def without_versions(windows: Rows) -> Rows:
    """A partial that no later event changed keeps the version of the checkpoint that took it."""
    return {key: {**row, "version": None} for key, row in windows.items()}


def known(events: Rows) -> Rows:
    """Whether an unknown value is a null or an absent column depends on the batch."""
    return {
        key: {name: value for name, value in row.items() if value is not None} for key, row in events.items()
    }


def rules(
    *,
    fold_id: int = 1,
    series_cap: int = 3,
    joins: JoinLimits = SHORT_WAITS,
    spans: SpanLimits = WHOLE_SEGMENTS,
) -> PartitionRules:
    """Rules with a small cap, so that it matters."""
    fold = FoldSettings(("service", "model", "variant"), series_cap)
    return PartitionRules(fold, fold_id, ClockLimits(), LetterPolicy(), joins, spans)
