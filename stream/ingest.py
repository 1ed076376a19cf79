"""The ingest stage: holds the state of the assigned partitions and checkpoints it.

One asyncio task takes batches, another makes checkpoints. All work on the state of partitions is done by one `Serial`, one
piece after the other, and a batch in slices; what the event loop knows of that state are the figures of the last piece. After
each piece the partition may have been taken away, or be read again with a new state: then the result is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import pyarrow as pa
import structlog

from tokentide.stream.core_thread import Inline, Serial
from tokentide.stream.counts import IngestCounts, Standing
from tokentide.stream.durable import Letters, Store, make_durable
from tokentide.stream.partition import Checkpoint, PartitionFold
from tokentide.stream.resume import Start
from tokentide.stream.slices import Cut, Slices
from tokentide.stream.sought import Sought
from tokentide.stream.taken import Taken
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


class _Assigned:
    """A partition from its first batch in a generation on; another one takes its place when it is read again."""

    def __init__(self, fold: PartitionFold, generation: int) -> None:
        self.fold = fold
        """Only ever touched by the serial work."""
        self.generation = generation
        self.standing = Standing(fold.position)
        """As of the last piece of work; replaced as a whole, so that the event loop may look at any time."""

    def note(self) -> None:
        """At the end of a piece of work on the fold."""
        fold = self.fold
        self.standing = Standing(
            fold.position, fold.held_rows, fold.held_bytes, fold.has_let_go, fold.waiting_parts
        )

    def ingest(self, slices: Slices, cut: Cut) -> Taken:
        """Fold the next slice of a batch."""
        taken = slices.work_off(cut, self.fold.ingest)
        self.note()
        return taken

    def checkpoint(self) -> Checkpoint | None:
        """Take what is new."""
        checkpoint = self.fold.checkpoint()
        self.note()
        return checkpoint

    def let_go(self) -> None:
        """Hold no rows any more."""
        self.fold.let_go()
        self.note()


class Ingest:
    """The assigned partitions of one worker."""

    def __init__(
        self,
        outside: Outside,
        new_partition: NewPartition,
        pace: Pace,
        counts: IngestCounts,
        *,
        work: Serial | None = None,
        slices: Slices | None = None,
    ) -> None:
        """Make the stage; `work` does what takes the processor, by default at once and in the event loop."""
        self._work = work or Inline()
        self._slices = slices or Slices()
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
        self._sought: dict[Place, Sought] = {}
        self._is_ending = False
        self.counts = counts

    def begin(self, starts: Mapping[Place, Start], generation: int) -> None:
        """A new generation of the group has assigned these partitions: whatever was held in memory is stale."""
        self._assigned.clear()
        self._starts = {place: (start, generation) for place, start in starts.items()}
        self._sought = {place: Sought(start.fetch_from) for place, start in starts.items()}
        self._room.set()

    def begin_again(self, starts: Mapping[Place, Start], generation: int) -> Sequence[Place]:
        """These partitions, of those assigned in this generation, are read again: their state is stale.

        Returns those that have to be sought; the others are there already.
        """
        sought = []
        for place, start in starts.items():
            self._assigned.pop(place, None)
            self._starts[place] = (start, generation)
            if self._sought.setdefault(place, Sought(start.fetch_from)).seek(start.fetch_from):
                sought.append(place)
        return sought

    def forget(self) -> None:
        """Partitions were revoked."""
        self._assigned.clear()
        self._sought.clear()
        self._starts.clear()
        self._room.set()

    def positions(self) -> Mapping[Place, int]:
        """The next offset of each partition that may be read on; none while a batch waits for room."""
        if not self._room.is_set():
            return {}
        return {place: found.position for place, found in self.standing().items()}

    def commits_ahead(self) -> Mapping[Place, int]:
        """What the group had committed of each partition that is not read up to there yet."""
        positions = {place: assigned.standing.position for place, assigned in self._assigned.items()}
        return {
            place: start.resume_at
            for place, (start, _) in self._starts.items()
            if place not in positions or positions[place] < start.resume_at
        }

    def standing(self) -> Mapping[Place, Standing]:
        """Where each assigned partition stands, for metrics."""
        waiting = {place: Standing(start.fetch_from) for place, (start, _) in self._starts.items()}
        return waiting | {place: assigned.standing for place, assigned in self._assigned.items()}

    def take_no_more(self) -> None:
        """The worker ends: leave out what is left of the batch in hand, and every other; make a last checkpoint then."""
        self._is_ending = True
        self._room.set()

    def outage(self) -> None:
        """The store has taken nothing for a while: rather than wait with a full memory, go on without rows."""
        self._is_outage = True
        self._room.set()

    async def take(self, fetched: Fetched, generation: int) -> None:
        """Fold a batch; waits while too much is held, or in an outage lets it go."""
        place, batch = fetched.place, fetched.batch
        sought = self._sought.get(place)
        if self._is_ending or sought is None or sought.is_stale(batch.begin, batch.end):
            return
        assigned = self._assigned_in(place, generation)
        if assigned is None:
            return
        wanted_from = sought.wanted_from(batch.begin, batch.end, assigned.standing.position)
        if wanted_from is None:
            # Where a log does not have the position asked for, the consumer goes back to its first record.
            await self._outside.begin_anew([place])
            return
        if wanted_from == batch.end:
            return
        cut = Cut(batch.since(wanted_from))
        while not cut.is_done and not self._is_ending:
            taken = await self._work.run("folding events", partial(assigned.ingest, self._slices, cut))
            if self._assigned.get(place) is not assigned:
                return  # taken away or to be read again: what this state has become is nobody's any more
            self.counts.took(place, taken)
            await self._keep_room()
            if self._assigned.get(place) is not assigned:
                return

    async def _keep_room(self) -> None:
        """Ask for a checkpoint when much is held; wait while too much is, or in an outage let it go."""
        held = [assigned.standing for assigned in self._assigned.values()]
        if sum(standing.held_rows for standing in held) >= self._pace.rows:
            self._due.set()
        if sum(standing.held_bytes for standing in held) >= self._pace.held_bytes:
            self._due.set()
            if not self._is_outage and not self._is_ending:
                self._room.clear()
                self._full.set()
                await self._room.wait()
                self._full.clear()
            if self._is_outage:
                await self._let_go()

    async def _let_go(self) -> None:
        going = {
            place: assigned for place, assigned in self._assigned.items() if not assigned.standing.has_let_go
        }
        if not going:
            return
        await self._work.run("letting rows go", partial(_let_go, list(going.values())))
        log.warning(
            "memory is full: rows are let go, and read again from kafka once clickhouse takes them",
            partitions=[f"{topic}/{partition}" for topic, partition in going],
            remedy="worker.event_rows_max_bytes bounds the memory; see that topics.events_retention_hours outlasts the outage",
        )

    def _assigned_in(self, place: Place, generation: int) -> _Assigned | None:
        """The state of a partition in this generation; None for a batch of another one."""
        assigned = self._assigned.get(place)
        if assigned is not None and assigned.generation == generation:
            return assigned
        start = self._starts.get(place)
        if start is None or start[1] != generation:
            return None
        assigned = self._assigned[place] = _Assigned(self._new_partition(place, start[0]), generation)
        if start[0].is_provisional:
            assigned.let_go()
        return assigned

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
        partials = await self._work.run("taking partials for the windows topic", partial(_published, folds))
        if partials is not None:
            await self._outside.windows.send_partials(partials)

    async def checkpoint(self) -> None:
        """Make everything taken so far durable and commit it.

        Raises whatever a write or the commit raises. Nothing is assigned any more then, until `begin`: what was taken has
        to be read again.
        """
        async with self._checkpointing:
            self._checkpoint_began_s = asyncio.get_running_loop().time()
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        assigned = dict(self._assigned)
        try:
            made = await self._work.run("building a checkpoint", partial(_checkpoints, assigned))
            taken = {
                place: (assigned[place], checkpoint)
                for place, checkpoint in made.items()
                if checkpoint is not None and self._assigned.get(place) is assigned[place]
            }
            if taken:
                await self._store(taken)
        except BaseException:
            # The partitions have given away rows that may not be stored: a later checkpoint, as a worker makes
            # when it is told to stop, would commit past them.
            self.forget()
            raise
        self._is_outage = False
        self._room.set()
        # Only now: what was let go is read again from the commit that has just been made.
        let_go = {place for place, one in self._assigned.items() if one.standing.has_let_go}
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
        committed = [(taken[place][0].fold, checkpoint.position) for place, checkpoint in owned.items()]
        await self._work.run("forgetting what is committed", partial(_forget_committed, committed))
        self.counts.committed(
            events=sum(checkpoint.row_count for checkpoint in owned.values()),
            seconds=asyncio.get_running_loop().time() - self._checkpoint_began_s,
        )


# --- pieces of work; nothing else touches a fold


def _checkpoints(assigned: Mapping[Place, _Assigned]) -> Mapping[Place, Checkpoint | None]:
    return {place: one.checkpoint() for place, one in assigned.items()}


def _published(folds: Sequence[PartitionFold]) -> pa.Table | None:
    partials = [fold.published() for fold in folds if fold.is_caught_up]
    return pa.concat_tables(partials) if partials else None


def _forget_committed(committed: Sequence[tuple[PartitionFold, int]]) -> None:
    for fold, position in committed:
        fold.committed(position)


def _let_go(going: Sequence[_Assigned]) -> None:
    for assigned in going:
        assigned.let_go()
