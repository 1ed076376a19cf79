"""The ingest stage: holds the state of the assigned partitions and checkpoints it.

One asyncio task takes batches, another makes checkpoints; between two awaits each has the state to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa
import structlog

from tokentide.stream.counts import IngestCounts, Standing
from tokentide.stream.durable import Letters, Store, make_durable
from tokentide.stream.partition import Checkpoint, OutOfStepError, PartitionFold
from tokentide.stream.resume import Start
from tokentide.stream.transport.fetched import Fetched, Place

log = structlog.get_logger("tokentide.ingest")

NewPartition = Callable[[Place, Start], PartitionFold]
Commit = Callable[[Mapping[Place, int]], Awaitable[bool]]
"""Commit positions; False if the group has moved on without this worker."""
Rewind = Callable[[Sequence[Place]], Awaitable[None]]
"""Read partitions again from the last commit: calls `Ingest.begin_again` with where that is."""


class Windows(Protocol):
    """The topic of window partials."""

    async def send_partials(self, partials: pa.Table) -> None:
        """Return when the broker has acknowledged all of them."""


class Outside(NamedTuple):
    """Everything that a checkpoint writes to."""

    store: Store
    letters: Letters
    windows: Windows
    commit: Commit
    rewind: Rewind
    begin_anew: Rewind
    """Read partitions from the beginning of the log: the commit is no position of it."""


class Pace(NamedTuple):
    """When a checkpoint is due."""

    seconds: float
    max_seconds: float
    rows: int
    held_bytes: int
    """Above this, no batch is taken until a checkpoint has made room; in an outage, rows are let go."""


class _Assigned(NamedTuple):
    fold: PartitionFold
    generation: int


class Ingest:
    """The assigned partitions of one worker."""

    def __init__(
        self, outside: Outside, new_partition: NewPartition, pace: Pace, counts: IngestCounts
    ) -> None:
        self._outside = outside
        self._new_partition = new_partition
        self._pace = pace
        self._starts: dict[Place, tuple[Start, int]] = {}
        self._assigned: dict[Place, _Assigned] = {}
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._full = asyncio.Event()
        """The opposite of room: somebody waits for it."""
        self._checkpoint_began_s = 0.0
        self._checkpointing = asyncio.Lock()
        self._is_outage = False
        self._rewound: dict[Place, int] = {}
        """Partitions that were sought elsewhere, and where what had been fetched of them goes on."""
        self.counts = counts

    def begin(self, starts: Mapping[Place, Start], generation: int) -> None:
        """A new generation of the group has assigned these partitions: whatever was held in memory is stale."""
        self._assigned.clear()
        self._rewound.clear()
        self._starts = {place: (start, generation) for place, start in starts.items()}
        self._room.set()

    def begin_again(self, starts: Mapping[Place, Start], generation: int) -> Sequence[Place]:
        """These partitions, of those assigned in this generation, are read again: their state is stale.

        Returns those that have to be sought; the others are there already.
        """
        sought = []
        for place, start in starts.items():
            assigned = self._assigned.pop(place, None)
            before = self._starts.get(place, (start, generation))[0].fetch_from
            goes_on = before if assigned is None else assigned.fold.position
            self._starts[place] = (start, generation)
            if goes_on != start.fetch_from:
                self._rewound[place] = goes_on
                sought.append(place)
        return sought

    def forget(self) -> None:
        """Partitions were revoked."""
        self._assigned.clear()
        self._rewound.clear()
        self._starts.clear()
        self._room.set()

    def positions(self) -> Mapping[Place, int]:
        """The next offset of each partition that may be read on; none while a batch waits for room."""
        if not self._room.is_set():
            return {}
        return {place: found.position for place, found in self.standing().items()}

    def commits_ahead(self) -> Mapping[Place, int]:
        """What the group had committed of each partition that is not read up to there yet."""
        waiting = {place: start.resume_at for place, (start, _) in self._starts.items()}
        read = [place for place, assigned in self._assigned.items() if assigned.fold.is_caught_up]
        return {place: commit for place, commit in waiting.items() if place not in read}

    def standing(self) -> Mapping[Place, Standing]:
        """Where each assigned partition stands, for metrics."""
        waiting = {place: Standing(start.fetch_from) for place, (start, _) in self._starts.items()}
        folds = {place: assigned.fold for place, assigned in self._assigned.items()}
        taken = {
            place: Standing(
                fold.position, fold.held_rows, fold.held_bytes, fold.has_let_go, fold.waiting_parts
            )
            for place, fold in folds.items()
        }
        return {**waiting, **taken}

    def outage(self) -> None:
        """The store has taken nothing for a while: rather than wait with a full memory, go on without rows."""
        self._is_outage = True
        self._room.set()

    async def take(self, fetched: Fetched, generation: int) -> None:
        """Fold a batch; waits while too much is held, or in an outage lets it go."""
        place = fetched.place
        if self._is_from_before_the_rewind(place, fetched.batch.begin, fetched.batch.end):
            return
        fold = self._fold_for(place, generation)
        if fold is None:
            return
        if fetched.batch.begin < fold.position:
            # Where a log does not have the position asked for, the consumer goes back to its first record.
            await self._outside.begin_anew([place])
            return
        self.counts.took(place, fold.ingest(fetched.batch))
        held = [assigned.fold for assigned in self._assigned.values()]
        if sum(fold.held_rows for fold in held) >= self._pace.rows:
            self._due.set()
        if sum(fold.held_bytes for fold in held) >= self._pace.held_bytes:
            self._due.set()
            if not self._is_outage:
                self._room.clear()
                self._full.set()
                await self._room.wait()
                self._full.clear()
            if self._is_outage:
                self._let_go()

    def _is_from_before_the_rewind(self, place: Place, begin: int, end: int) -> bool:
        """Whether a batch was fetched before its partition was sought elsewhere."""
        if place not in self._rewound:
            return False
        fetch_from = self._starts[place][0].fetch_from
        if begin == self._rewound[place]:
            if begin == fetch_from:
                raise OutOfStepError(f"offset {begin} may come twice: it was fetched, and sought")
            self._rewound[place] = end
            return True
        if begin > fetch_from:
            return True
        del self._rewound[place]
        return False

    def _let_go(self) -> None:
        going = [place for place, assigned in self._assigned.items() if not assigned.fold.has_let_go]
        for place in going:
            self._assigned[place].fold.let_go()
        if going:
            log.warning(
                "memory is full: rows are let go, and read again from kafka once clickhouse takes them",
                partitions=[f"{topic}/{partition}" for topic, partition in going],
                remedy="worker.event_rows_max_bytes bounds the memory; see that topics.events_retention_hours outlasts the outage",
            )

    def _fold_for(self, place: Place, generation: int) -> PartitionFold | None:
        """The state of a partition in this generation; None for a batch of another one."""
        assigned = self._assigned.get(place)
        if assigned is not None and assigned.generation == generation:
            return assigned.fold
        start = self._starts.get(place)
        if start is None or start[1] != generation:
            return None
        fold = self._new_partition(place, start[0])
        if start[0].is_provisional:
            fold.let_go()
        self._assigned[place] = _Assigned(fold, generation)
        return fold

    async def checkpoint_forever(self) -> None:
        """Checkpoint when due, until cancelled."""
        time_s = asyncio.get_running_loop().time
        began_s = time_s()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), max(0.0, began_s + self._pace.seconds - time_s()))
            self._due.clear()
            began_s = time_s()
            await self.checkpoint()
            # One that takes long has much to write: leave half as much time for folding, unless memory is full.
            with contextlib.suppress(TimeoutError):
                pause_s = min((time_s() - began_s) / 2, self._pace.max_seconds)
                await asyncio.wait_for(self._full.wait(), pause_s)

    async def publish_forever(self) -> None:
        """While a checkpoint takes unusually long, go on publishing partials, so that incidents are still noticed."""
        while True:
            await asyncio.sleep(self._pace.seconds)
            if self._is_delayed():
                await self._publish([assigned.fold for assigned in self._assigned.values()])

    def _is_delayed(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        return self._checkpointing.locked() and now_s - self._checkpoint_began_s > self._pace.max_seconds

    async def _publish(self, folds: Sequence[PartitionFold]) -> None:
        partials = [fold.published() for fold in folds if fold.is_caught_up]
        if partials:
            await self._outside.windows.send_partials(pa.concat_tables(partials))

    async def checkpoint(self) -> None:
        """Make everything taken so far durable and commit it.

        Raises whatever a write or the commit raises. Nothing is assigned any more then, until `begin`: what was taken has
        to be read again.
        """
        async with self._checkpointing:
            self._checkpoint_began_s = asyncio.get_running_loop().time()
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        taken: dict[Place, tuple[_Assigned, Checkpoint]] = {}
        for place, assigned in self._assigned.items():
            checkpoint = assigned.fold.checkpoint()
            if checkpoint is not None:
                taken[place] = (assigned, checkpoint)
        if taken:
            try:
                await self._store(taken)
            except BaseException:
                # The partitions have given away rows that may not be stored: a later checkpoint, as a worker makes
                # when it is told to stop, would commit past them.
                self.forget()
                raise
        self._is_outage = False
        self._room.set()
        # Only now: what was let go is read again from the commit that has just been made.
        let_go = {place for place, assigned in self._assigned.items() if assigned.fold.has_let_go}
        let_go |= {place for place, (start, _) in self._starts.items() if start.is_provisional}
        if let_go:
            await self._outside.rewind(sorted(let_go))

    async def _store(self, taken: Mapping[Place, tuple[_Assigned, Checkpoint]]) -> None:
        checkpoints = [checkpoint for _, checkpoint in taken.values()]
        self.counts.storing([rows for checkpoint in checkpoints for rows in checkpoint.rows])
        await asyncio.gather(
            make_durable(checkpoints, self._outside.store, self._outside.letters),
            self._publish([assigned.fold for assigned, _ in taken.values()]),
        )
        self.counts.storing([])
        owned = {p: c for p, (a, c) in taken.items() if self._assigned.get(p) is a}
        if not owned:
            return
        if not await self._outside.commit(
            {place: checkpoint.position for place, checkpoint in owned.items()}
        ):
            self.forget()
            return
        for place, checkpoint in owned.items():
            if self._assigned.get(place) is taken[place][0]:
                taken[place][0].fold.committed(checkpoint.position)
        self.counts.committed(
            events=sum(checkpoint.row_count for checkpoint in owned.values()),
            seconds=asyncio.get_running_loop().time() - self._checkpoint_began_s,
        )
