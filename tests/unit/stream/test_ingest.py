"""The ingest stage without Kafka and ClickHouse: who may take what, when it waits, what happens in an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.stream.test_partition import RULES, batch, enriched, line
from tokentide.schemas.rejects import DeadLetter
from tokentide.stream.counts import IngestCounts, Standing
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.ingest import Ingest, Outside, Pace
from tokentide.stream.partition import PartitionFold, Source
from tokentide.stream.reject_alarm import RejectAlarm
from tokentide.stream.resume import Start
from tokentide.stream.transport.fetched import Fetched, Place

PLACE = ("llm.events", 0)
OTHER = ("llm.events", 1)
HELD_BYTES = 400
"""Three of these small events are less, six are more."""


class World:
    """Stores and a group that do what they are told; `store_open` holds inserts back while it is cleared."""

    def __init__(self, *, held_bytes: int = 1 << 30, rows: int = 1 << 30) -> None:
        self.rows = 0
        self.published: list[pa.Table] = []
        self.commits: list[Mapping[Place, int]] = []
        self.rewound: list[Sequence[Place]] = []
        self.commit_is_accepted = True
        self.store_open = asyncio.Event()
        self.store_open.set()
        self.inserting = asyncio.Event()
        self.said = asyncio.Event()
        pace = Pace(seconds=0.01, max_seconds=0.02, rows=rows, held_bytes=held_bytes)
        counts = IngestCounts(RejectAlarm(share=0.01, run=1000))
        outside = Outside(self, self, self, self.commit, self.rewind)
        self.ingest = Ingest(outside, self.new_partition, pace, counts)

    def new_partition(self, place: Place, start: Start) -> PartitionFold:
        topic, partition = place
        return PartitionFold(Source(f"{topic}:id", topic, partition), start, RULES, Decoder(), enriched)

    async def insert(self, table: str, rows: pa.Table) -> None:
        self.inserting.set()
        await self.store_open.wait()
        if table == "llm_events":
            self.rows += rows.num_rows

    async def send_letters(self, letters: Sequence[DeadLetter]) -> None:
        pass

    async def send_partials(self, partials: pa.Table) -> None:
        self.published.append(partials)
        if self.ingest.positions() == {PLACE: 12}:
            self.said.set()

    async def commit(self, positions: Mapping[Place, int]) -> bool:
        self.commits.append(dict(positions))
        return self.commit_is_accepted

    async def rewind(self, places: Sequence[Place]) -> None:
        """As the worker does it: from the last commit."""
        self.rewound.append(places)
        committed = {place: position for commit in self.commits for place, position in commit.items()}
        starts = {place: committed.get(place, 0) for place in places}
        self.ingest.begin_again({p: Start(at, at, at) for p, at in starts.items()}, 1)

    def begin(self, *places: Place, generation: int = 1) -> None:
        self.ingest.begin({place: Start(0, 0, 0) for place in places}, generation)

    async def take(self, begin: int, end: int, *, place: Place = PLACE, generation: int = 1) -> None:
        records: dict[int, bytes | None] = {offset: line(f"e{offset}") for offset in range(begin, end)}
        await self.ingest.take(Fetched(*place, batch(begin, end, records)), generation)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; one that hangs fails."""
    asyncio.run(asyncio.wait_for(scenario(), 20))


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_what_was_taken_is_stored_then_committed() -> None:
    async def scenario() -> None:
        world = World()
        world.begin(PLACE, OTHER)
        await world.take(0, 3)
        await world.take(0, 2, place=OTHER)
        await world.ingest.checkpoint()
        assert world.rows == 5
        assert world.commits == [{PLACE: 3, OTHER: 2}]
        assert world.ingest.positions() == {PLACE: 3, OTHER: 2}

    run(scenario)


def test_batches_of_another_generation_or_of_a_revoked_partition_are_left_out() -> None:
    async def scenario() -> None:
        world = World()
        world.begin(PLACE, generation=2)
        await world.take(0, 3, generation=1)
        assert world.ingest.positions() == {PLACE: 0}
        await world.take(0, 3, generation=2)
        world.ingest.forget()
        await world.take(3, 4, generation=2)
        assert world.ingest.positions() == {}
        await world.ingest.checkpoint()
        assert (world.rows, world.commits) == (0, [])

    run(scenario)


def test_a_batch_that_comes_again_is_left_out_and_one_that_overlaps_is_cut() -> None:
    async def scenario() -> None:
        world = World()
        world.begin(PLACE)
        await world.take(0, 3)
        await world.take(0, 3)
        await world.take(1, 5)
        await world.ingest.checkpoint()
        assert world.rows == 5

    run(scenario)


def test_a_refused_commit_drops_the_state() -> None:
    async def scenario() -> None:
        world = World()
        world.commit_is_accepted = False
        world.begin(PLACE)
        await world.take(0, 3)
        await world.ingest.checkpoint()
        assert world.ingest.positions() == {}

    run(scenario)


def test_an_assigned_partition_without_a_batch_yet_has_the_position_where_it_begins() -> None:
    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: Start(7, 7, 9)}, 1)
        assert world.ingest.positions() == {PLACE: 7}

    run(scenario)


def test_with_full_memory_a_slow_store_is_waited_for() -> None:
    async def scenario() -> None:
        world = World(held_bytes=1)
        world.store_open.clear()
        world.begin(PLACE)
        taking = asyncio.create_task(world.take(0, 3))
        checkpointing = asyncio.create_task(world.ingest.checkpoint_forever())
        await world.inserting.wait()
        await settle()
        assert not taking.done()
        assert world.ingest.positions() == {}, "nobody is to be blamed for standing still"
        world.store_open.set()
        await taking
        assert (world.rows, world.rewound) == (3, [])
        checkpointing.cancel()

    run(scenario)


async def outage(world: World) -> asyncio.Task[None]:
    """Offsets 0 to 3 are being stored when the store goes away; 3 to 9 come on top and fill the memory."""
    world.begin(PLACE)
    world.store_open.clear()
    await world.take(0, 3)
    checkpointing = asyncio.create_task(world.ingest.checkpoint())
    await world.inserting.wait()
    world.ingest.outage()
    await world.take(3, 9)
    return checkpointing


def test_in_an_outage_with_full_memory_rows_are_let_go_and_folding_goes_on() -> None:
    async def scenario() -> None:
        world = World(held_bytes=HELD_BYTES)
        await outage(world)
        await world.take(9, 12)
        assert world.ingest.positions() == {PLACE: 12}
        publishing = asyncio.create_task(world.ingest.publish_forever())
        await world.said.wait()
        publishing.cancel()
        assert sum(world.published[-1]["calls"].to_pylist()) == 12

    run(scenario)


def test_in_an_outage_with_room_left_nothing_is_let_go() -> None:
    async def scenario() -> None:
        world = World()
        checkpointing = await outage(world)
        world.store_open.set()
        await checkpointing
        await world.ingest.checkpoint()
        assert (world.rows, world.rewound) == (9, [])

    run(scenario)


def test_after_an_outage_what_was_let_go_is_read_again_from_the_commit() -> None:
    async def scenario() -> None:
        world = World(held_bytes=HELD_BYTES)
        checkpointing = await outage(world)
        world.store_open.set()
        await checkpointing
        assert world.commits == [{PLACE: 3}]
        assert world.rewound == [[PLACE]]
        assert world.ingest.positions() == {PLACE: 3}
        await world.take(9, 11)
        assert world.ingest.positions() == {PLACE: 3}, "a batch fetched before the seek is left out"
        await world.take(3, 8)
        await world.ingest.checkpoint()
        assert world.commits[-1] == {PLACE: 8}
        assert world.rows == 8, "each once"

    run(scenario)


def test_after_an_outage_a_full_memory_is_waited_for_again() -> None:
    async def scenario() -> None:
        world = World(held_bytes=HELD_BYTES)
        checkpointing = await outage(world)
        world.store_open.set()
        await checkpointing
        world.store_open.clear()
        taking = asyncio.create_task(world.take(3, 30))
        await settle()
        assert not taking.done()
        taking.cancel()

    run(scenario)


def test_an_outage_reported_while_a_batch_waits_lets_it_go_on() -> None:
    async def scenario() -> None:
        world = World(held_bytes=1)
        world.store_open.clear()
        world.begin(PLACE)
        taking = asyncio.create_task(world.take(0, 3))
        checkpointing = asyncio.create_task(world.ingest.checkpoint_forever())
        await world.inserting.wait()
        world.ingest.outage()
        await taking
        await world.take(3, 6)
        assert world.ingest.positions() == {PLACE: 6}
        checkpointing.cancel()

    run(scenario)


def test_a_new_assignment_ends_the_wait_and_the_rewind() -> None:
    async def scenario() -> None:
        world = World(held_bytes=HELD_BYTES)
        checkpointing = await outage(world)
        world.ingest.begin({PLACE: Start(0, 0, 0)}, 2)
        world.store_open.set()
        await checkpointing
        assert (world.commits, world.rewound) == ([], []), "the state that was let go is gone already"
        await world.take(0, 2, generation=2)
        assert world.ingest.positions() == {PLACE: 2}

    run(scenario)


@pytest.mark.parametrize("places", [(PLACE,), (PLACE, OTHER)])
def test_all_partitions_are_read_again(places: tuple[Place, ...]) -> None:
    async def scenario() -> None:
        world = World(held_bytes=HELD_BYTES * len(places))
        world.begin(*places)
        world.store_open.clear()
        for place in places:
            await world.take(0, 3, place=place)
        checkpointing = asyncio.create_task(world.ingest.checkpoint())
        await world.inserting.wait()
        world.ingest.outage()
        for place in places:
            await world.take(3, 9, place=place)
        world.store_open.set()
        await checkpointing
        assert world.rewound == [list(places)]

    run(scenario)


def test_batches_and_checkpoints_are_counted() -> None:
    async def scenario() -> None:
        world = World()
        world.begin(PLACE, OTHER)
        await world.take(0, 3)
        await world.take(0, 2, place=OTHER)
        await world.ingest.checkpoint()
        await world.take(3, 4)
        counts = world.ingest.counts
        assert (counts.records, counts.events, counts.checkpoints, counts.committed_events) == (6, 6, 1, 5)

    run(scenario)


def test_rows_that_are_being_stored_are_held_until_they_are_durable() -> None:
    async def scenario() -> None:
        world = World()
        world.begin(PLACE, OTHER)
        await world.take(0, 3)
        assert world.ingest.standing()[PLACE].held_rows == 3
        assert world.ingest.standing()[OTHER] == Standing(position=0)
        world.store_open.clear()
        storing = asyncio.create_task(world.ingest.checkpoint())
        await world.inserting.wait()
        counts = world.ingest.counts
        assert world.ingest.standing()[PLACE] == Standing(position=3)
        assert counts.storing_rows == 3
        assert counts.storing_bytes > 0
        world.store_open.set()
        await storing
        assert (counts.storing_rows, counts.storing_bytes) == (0, 0)

    run(scenario)


def test_a_refused_commit_is_no_checkpoint() -> None:
    async def scenario() -> None:
        world = World()
        world.commit_is_accepted = False
        world.begin(PLACE)
        await world.take(0, 3)
        await world.ingest.checkpoint()
        assert (world.ingest.counts.checkpoints, world.ingest.counts.committed_events) == (0, 0)

    run(scenario)
