"""The ingest stage without Kafka and ClickHouse: who may take what, in which order it is made durable, when it waits, what
happens in an outage.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

from tests.support.virtual_time import run_virtually
from tests.support.waiting import HANGING_S
from tests.unit.stream.test_partition import RULES, SEGMENT, batch, enriched, line
from tokentide.schemas.rejects import DeadLetter
from tokentide.stream import partition as partition_module
from tokentide.stream import resume as resume_module
from tokentide.stream.core_thread import CoreThread, Serial
from tokentide.stream.counts import IngestCounts, Standing
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.ingest import Ingest, Outside, Pace
from tokentide.stream.partition import PartitionFold
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.reject_alarm import RejectAlarm
from tokentide.stream.resume import Start
from tokentide.stream.slices import Cut, Slices
from tokentide.stream.taken import Taken
from tokentide.stream.transport.fetched import Fetched, Place

PLACE = ("llm.events", 0)
OTHER = ("llm.events", 1)
HELD_BYTES = 400
"""Three of these small events are less, six are more."""


IN_ORDER = ["letters", "llm_events", "llm_windows", "llm_ledger", "commit"]
"""The steps of a checkpoint. Beside the first four, partials go to the windows topic."""
STEPS = [*IN_ORDER, "windows topic"]


class StepFailedError(Exception):
    """What the outside answers at the step that is told to fail."""


class SlicesOf(Slices):
    """So many records each."""

    def __init__(self, records: int) -> None:
        super().__init__()
        self._records = records

    def work_off(self, cut: Cut, work: Callable[[RecordBatch], Taken]) -> Taken:
        size = len(line("e0")) + 100
        return work(cut.next(self._records * size + size // 2)[0])


class Stepwise:
    """Does each piece of work when it is told to, and hands over the result when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.done: list[str] = []
        self._steps = asyncio.Semaphore(0)

    async def run(self, name: str, work: Callable[[], Any]) -> Any:
        self.asked.append(name)
        await self._steps.acquire()
        result = work()
        self.done.append(name)
        await self._steps.acquire()
        return result

    async def step(self) -> None:
        """The next piece is done, or its result is handed over."""
        self._steps.release()
        await settle()

    async def all_of(self, doing: Coroutine[Any, Any, None]) -> None:
        """All pieces of what begins now."""
        task = asyncio.create_task(doing)
        await settle()
        await self.go_on(task)

    async def go_on(self, task: asyncio.Task[None]) -> None:
        """All pieces up to the end of a task."""
        while not task.done():
            await self.step()
        await task


class World:
    """Stores and a group that do what they are told; `store_open` holds inserts back while it is cleared.

    Every call of the outside takes a while and is written down in `calls`, in one sequence: when it begins, and when it
    has been answered.
    """

    def __init__(
        self,
        *,
        held_bytes: int = 1 << 30,
        rows: int = 1 << 30,
        seconds: float = 0.01,
        max_seconds: float = 0.02,
        work: Serial | None = None,
        records_of_a_slice: int = 1 << 20,
    ) -> None:
        self.calls: list[tuple[str, str]] = []
        self.failing_step = ""
        self.rows = 0
        self.stored: list[tuple[str, pa.Table]] = []
        self.letters: list[DeadLetter] = []
        self.published: list[pa.Table] = []
        self.commits: list[Mapping[Place, int]] = []
        self.committed_at_s: list[float] = []
        self.rewound: list[Sequence[Place]] = []
        self.begun_anew: list[Sequence[Place]] = []
        self.commit_is_accepted = True
        self.store_open = asyncio.Event()
        self.store_open.set()
        self.inserting = asyncio.Event()
        self.said = asyncio.Event()
        pace = Pace(seconds=seconds, max_seconds=max_seconds, rows=rows, held_bytes=held_bytes)
        counts = IngestCounts(RejectAlarm(share=0.01, run=1000))
        outside = Outside(self, self, self, self.commit, self.rewind, self.begin_anew)
        slices = SlicesOf(records_of_a_slice)
        self.ingest = Ingest(outside, self.new_partition, pace, counts, work=work, slices=slices)

    def new_partition(self, place: Place, start: Start) -> PartitionFold:
        topic, partition = place
        return PartitionFold(Source(f"{topic}:id", topic, partition), start, RULES, Decoder(), enriched)

    @contextlib.asynccontextmanager
    async def call(self, step: str) -> AsyncIterator[None]:
        self.calls.append((step, "begins"))
        for _ in range(3):
            await asyncio.sleep(0)
        if step == self.failing_step:
            raise StepFailedError(step)
        yield
        self.calls.append((step, "is done"))

    async def insert(self, table: str, rows: pa.Table) -> None:
        self.inserting.set()
        async with self.call(table):
            await self.store_open.wait()
            self.stored.append((table, rows))
            if table == "llm_events":
                self.rows += rows.num_rows

    async def send_letters(self, letters: Sequence[DeadLetter]) -> None:
        async with self.call("letters"):
            self.letters += letters

    async def send_partials(self, partials: pa.Table) -> None:
        async with self.call("windows topic"):
            self.published.append(partials)
            if self.ingest.positions() == {PLACE: 12}:
                self.said.set()

    async def commit(self, positions: Mapping[Place, int]) -> bool:
        async with self.call("commit"):
            self.commits.append(dict(positions))
            self.committed_at_s.append(asyncio.get_running_loop().time())
        return self.commit_is_accepted

    async def rewind(self, places: Sequence[Place]) -> None:
        """As the worker does it: from the last commit."""
        self.rewound.append(places)
        committed = {place: position for commit in self.commits for place, position in commit.items()}
        starts = {place: committed.get(place, 0) for place in places}
        self.ingest.begin_again({p: Start(at, at, at) for p, at in starts.items()}, 1)

    async def begin_anew(self, places: Sequence[Place]) -> None:
        """As the worker does it: from the first record."""
        self.begun_anew.append(places)
        self.ingest.begin_again(dict.fromkeys(places, Start(0, 0, 0)), 1)

    def begin(self, *places: Place, generation: int = 1) -> None:
        self.ingest.begin({place: Start(0, 0, 0) for place in places}, generation)

    async def take(
        self,
        begin: int,
        end: int,
        *,
        place: Place = PLACE,
        generation: int = 1,
        refused: Sequence[int] = (),
    ) -> None:
        records: dict[int, bytes | None] = {
            offset: b"no event" if offset in refused else line(f"e{offset}") for offset in range(begin, end)
        }
        await self.ingest.take(Fetched(*place, batch(begin, end, records)), generation)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_module, "SEGMENT_OFFSETS", SEGMENT)
    monkeypatch.setattr(resume_module, "SEGMENT_OFFSETS", SEGMENT)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; one that hangs fails."""
    asyncio.run(asyncio.wait_for(scenario(), HANGING_S))


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(100):
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


# --- the order of a checkpoint


def in_full(*steps: str) -> list[tuple[str, str]]:
    """These steps, each answered before the next begins."""
    return [(step, moment) for step in steps for moment in ("begins", "is done")]


async def much_taken(world: World) -> None:
    """Two partitions, several batches and segments each, and a refused record in both."""
    world.begin(PLACE, OTHER)
    for place in (PLACE, OTHER):
        await world.take(0, 4, place=place, refused=[2])
        await world.take(4, SEGMENT + 3, place=place)
        await world.take(SEGMENT + 3, SEGMENT + 5, place=place)


def test_letters_then_rows_then_partials_then_the_ledger_then_the_commit() -> None:
    """A crash between any two of them leaves nothing committed that is not stored, and no ledger row without its partials."""

    async def scenario() -> None:
        world = World()
        await much_taken(world)
        await world.ingest.checkpoint()
        beside = ("windows topic", "begins"), ("windows topic", "is done")
        assert [call for call in world.calls if call not in beside] == in_full(*IN_ORDER)
        assert world.calls.index(("windows topic", "is done")) < world.calls.index(("commit", "begins"))
        assert [(table, rows.num_rows) for table, rows in world.stored] == [
            ("llm_events", 2 * (SEGMENT + 4)),
            ("llm_windows", 4),
            ("llm_ledger", 4),
        ]
        assert [(letter.partition, letter.offset) for letter in world.letters] == [(0, 2), (1, 2)]
        assert world.commits == [{PLACE: SEGMENT + 5, OTHER: SEGMENT + 5}]

    run(scenario)


def test_the_next_checkpoint_keeps_the_order() -> None:
    async def scenario() -> None:
        world = World()
        await much_taken(world)
        await world.ingest.checkpoint()
        world.calls.clear()
        await world.take(SEGMENT + 5, SEGMENT + 6, place=OTHER)
        await world.ingest.checkpoint()
        assert [call for call in world.calls if call[0] != "windows topic"] == in_full(*IN_ORDER)
        assert world.commits[1:] == [{OTHER: SEGMENT + 6}]

    run(scenario)


@pytest.mark.parametrize("failing", STEPS)
def test_after_a_step_that_failed_no_later_one_begins_and_nothing_is_committed(failing: str) -> None:
    async def scenario() -> None:
        world = World()
        world.failing_step = failing
        await much_taken(world)
        with pytest.raises(StepFailedError, match=failing):
            await world.ingest.checkpoint()
        await settle()
        begun = [step for step, moment in world.calls if moment == "begins" and step != "windows topic"]
        if failing == "windows topic":
            assert "commit" not in begun
        else:
            assert begun == IN_ORDER[: IN_ORDER.index(failing) + 1]
        assert world.commits == []

    run(scenario)


@pytest.mark.parametrize("failing", STEPS)
def test_what_a_failed_checkpoint_had_taken_is_never_passed_over_by_a_later_one(failing: str) -> None:
    """A worker that is told to stop in an outage makes a last checkpoint after one that failed."""

    async def scenario() -> None:
        world = World()
        world.failing_step = failing
        await much_taken(world)
        with pytest.raises(StepFailedError):
            await world.ingest.checkpoint()
        world.failing_step = ""
        await world.take(SEGMENT + 5, SEGMENT + 6)
        await world.ingest.checkpoint()
        assert world.commits == [], "its rows were given away, and nobody knows whether they are stored"
        assert world.ingest.positions() == {}

    run(scenario)


def test_a_cancelled_checkpoint_has_given_its_rows_away_too() -> None:
    async def scenario() -> None:
        world = World()
        world.store_open.clear()
        await much_taken(world)
        checkpointing = asyncio.create_task(world.ingest.checkpoint())
        await world.inserting.wait()
        checkpointing.cancel()
        await asyncio.wait([checkpointing])
        world.store_open.set()
        await world.ingest.checkpoint()
        assert world.commits == []

    run(scenario)


def test_partitions_taken_away_while_their_rows_are_stored_are_not_committed() -> None:
    async def scenario() -> None:
        world = World()
        world.store_open.clear()
        world.begin(PLACE)
        await world.take(0, 3)
        checkpointing = asyncio.create_task(world.ingest.checkpoint())
        await world.inserting.wait()
        world.ingest.begin({PLACE: Start(0, 0, 0)}, 2)
        await world.take(0, 2, generation=2)
        world.store_open.set()
        await checkpointing
        assert world.commits == []
        await world.ingest.checkpoint()
        assert world.commits == [{PLACE: 2}]

    run(scenario)


# --- who may take what


def test_a_batch_of_the_generation_before_is_left_out_also_after_the_first_of_the_new_one() -> None:
    """It may come from anywhere in the log: taken for one of this generation, it would be out of step."""

    async def scenario() -> None:
        world = World()
        world.begin(PLACE, generation=2)
        await world.take(0, 3, generation=2)
        await world.take(3, 5, generation=1)
        await world.take(9, 12, generation=1)
        assert world.ingest.positions() == {PLACE: 3}
        await world.take(3, 4, generation=2)
        await world.ingest.checkpoint()
        assert (world.rows, world.commits) == (4, [{PLACE: 4}])

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


def test_a_batch_from_before_the_position_means_that_the_log_is_another_one() -> None:
    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: Start(8, 8, 9)}, 1)
        await world.take(0, 3)
        assert world.begun_anew == [[PLACE]]
        await world.take(3, 4)  # fetched before the consumer was sought back
        assert world.ingest.positions() == {PLACE: 0}
        await world.take(0, 5)
        await world.ingest.checkpoint()
        assert (world.rows, world.commits, world.begun_anew) == (5, [{PLACE: 5}], [[PLACE]])

    run(scenario)


def test_a_commit_is_ahead_until_it_has_been_read_again() -> None:
    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: Start(0, 4, 4), OTHER: Start(0, 0, 2)}, 1)
        assert world.ingest.commits_ahead() == {PLACE: 4, OTHER: 2}
        await world.take(0, 3)
        await world.take(0, 2, place=OTHER)
        assert world.ingest.commits_ahead() == {PLACE: 4}
        await world.take(3, 4)
        assert world.ingest.commits_ahead() == {}

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


# --- when a checkpoint is due


async def has_committed(world: World) -> list[Mapping[Place, int]]:
    await settle()
    return world.commits


def test_many_rows_are_checkpointed_long_before_the_period_is_over() -> None:
    async def scenario() -> None:
        world = World(rows=5, seconds=3600.0)
        world.begin(PLACE, OTHER)
        checkpointing = asyncio.create_task(world.ingest.checkpoint_forever())
        await world.take(0, 2)
        await world.take(0, 2, place=OTHER)
        assert await has_committed(world) == []
        await world.take(2, 3)
        assert await has_committed(world) == [{PLACE: 3, OTHER: 2}], "five rows in all"
        await world.take(3, 7)
        assert len(await has_committed(world)) == 1, "counted anew"
        await world.take(7, 8)
        assert await has_committed(world) == [{PLACE: 3, OTHER: 2}, {PLACE: 8}]
        assert asyncio.get_running_loop().time() < 1
        checkpointing.cancel()

    run_virtually(scenario())


def test_many_bytes_are_checkpointed_long_before_the_period_is_over() -> None:
    async def scenario() -> None:
        world = World(held_bytes=HELD_BYTES, seconds=3600.0)
        world.begin(PLACE)
        checkpointing = asyncio.create_task(world.ingest.checkpoint_forever())
        await world.take(0, 3)
        assert await has_committed(world) == []
        await world.take(3, 6)
        assert await has_committed(world) == [{PLACE: 6}]
        assert asyncio.get_running_loop().time() < 1, (
            "a batch that waits for room lets the clock of this loop jump"
        )
        checkpointing.cancel()

    run_virtually(scenario())


def test_few_rows_wait_for_the_period() -> None:
    async def scenario() -> None:
        world = World(seconds=3600.0)
        world.begin(PLACE)
        checkpointing = asyncio.create_task(world.ingest.checkpoint_forever())
        await world.take(0, 3)
        await asyncio.sleep(3599)
        assert world.commits == []
        await asyncio.sleep(2)
        assert world.commits == [{PLACE: 3}]
        checkpointing.cancel()

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("held_bytes", "seconds_later"), [(1 << 30, 100), (HELD_BYTES, 0)], ids=["with room", "with full memory"]
)
def test_after_a_slow_checkpoint_folding_has_half_as_much_time_unless_memory_is_full(
    held_bytes: int, seconds_later: int
) -> None:
    async def scenario() -> None:
        world = World(held_bytes=held_bytes, rows=6, seconds=1.0, max_seconds=3600.0)
        world.begin(PLACE)
        world.store_open.clear()
        await world.take(0, 3)
        checkpointing = asyncio.create_task(world.ingest.checkpoint_forever())
        await asyncio.sleep(201)  # of which the checkpoint takes 200
        world.store_open.set()
        assert await has_committed(world) == [{PLACE: 3}]
        taking = asyncio.create_task(world.take(3, 9))
        await asyncio.sleep(300)
        assert taking.done()
        assert world.commits == [{PLACE: 3}, {PLACE: 9}]
        first_s, second_s = world.committed_at_s
        assert second_s - first_s == pytest.approx(seconds_later, abs=2)
        checkpointing.cancel()

    run_virtually(scenario())


# --- when the store is slow, or away


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


def test_what_has_let_its_rows_go_makes_no_checkpoint() -> None:
    fold = World().new_partition(PLACE, Start(0, 0, 0))
    fold.ingest(batch(0, 1, {0: line("e0")}))
    fold.let_go()
    fold.ingest(batch(1, 2, {1: line("e1")}))
    assert fold.checkpoint() is None


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


# --- slices, and the thread that does the work


FOLDING, BUILDING = "folding events", "building a checkpoint"


def test_a_batch_is_folded_in_slices_and_stored_as_one() -> None:
    async def scenario() -> None:
        core = CoreThread()
        world = World(work=core, records_of_a_slice=2)
        world.begin(PLACE, OTHER)
        await world.take(0, 9)
        await world.take(0, 4, place=OTHER)
        folded = core.begun
        assert folded == 5 + 2
        assert world.ingest.positions() == {PLACE: 9, OTHER: 4}
        await world.ingest.checkpoint()
        assert (world.rows, world.commits) == (13, [{PLACE: 9, OTHER: 4}])
        assert world.ingest.counts.events == 13
        assert core.close(patience_s=10)

    run(scenario)


def test_a_checkpoint_waits_for_one_slice_and_commits_up_to_there() -> None:
    async def scenario() -> None:
        work = Stepwise()
        world = World(work=work, records_of_a_slice=2)
        world.begin(PLACE)
        taking = asyncio.create_task(world.take(0, 9))
        await settle()
        checkpointing = asyncio.create_task(world.ingest.checkpoint())
        await settle()
        assert work.asked == [FOLDING, BUILDING]
        await work.go_on(checkpointing)
        assert list(world.commits[0]) == [PLACE]
        assert 2 <= world.commits[0][PLACE] < 9
        await work.go_on(taking)
        await work.all_of(world.ingest.checkpoint())
        assert (world.rows, world.commits[-1]) == (9, {PLACE: 9})

    run(scenario)


@pytest.mark.parametrize("steps", range(4), ids=["asked", "done", "next asked", "next done"])
@pytest.mark.parametrize("how", ["revoked", "assigned anew", "read again"])
def test_a_partition_taken_away_during_a_slice_leaves_nothing_behind(how: str, steps: int) -> None:
    async def scenario() -> None:
        work = Stepwise()
        world = World(work=work, records_of_a_slice=3)
        world.begin(PLACE)
        taking = asyncio.create_task(world.take(0, 9))
        await settle()
        for _ in range(steps):
            await work.step()
        generation = 1
        match how:
            case "revoked":
                world.ingest.forget()
            case "assigned anew":
                generation = 2
                world.begin(PLACE, generation=2)
            case "read again":
                world.ingest.begin_again({PLACE: Start(0, 0, 0)}, 1)
        await work.go_on(taking)
        assert work.asked.count(FOLDING) <= 1 + steps // 2, "no further slice"
        expected = {} if how == "revoked" else {PLACE: 0}
        assert world.ingest.positions() == expected
        await work.all_of(world.take(0, 4, generation=generation))
        await work.all_of(world.ingest.checkpoint())
        stored = (0, []) if how == "revoked" else (4, [{PLACE: 4}])
        assert (world.rows, world.commits) == stored

    run(scenario)


async def checkpoint_after(steps: int) -> tuple[World, Stepwise, asyncio.Task[None]]:
    """A checkpoint of three records that has got so far."""
    work = Stepwise()
    world = World(work=work)
    world.begin(PLACE)
    await work.all_of(world.take(0, 3))
    checkpointing = asyncio.create_task(world.ingest.checkpoint())
    await settle()
    for _ in range(steps):
        await work.step()
    return world, work, checkpointing


@pytest.mark.parametrize("steps", [0, 1], ids=["before it is built", "before it is handed over"])
def test_a_partition_taken_away_while_its_checkpoint_is_built_is_not_stored(steps: int) -> None:
    async def scenario() -> None:
        world, work, checkpointing = await checkpoint_after(steps)
        world.begin(PLACE, generation=2)
        await work.go_on(checkpointing)
        assert (world.rows, world.commits) == (0, [])
        assert world.ingest.positions() == {PLACE: 0}

    run(scenario)


@pytest.mark.parametrize("steps", [0, 1], ids=["before it is built", "before it is handed over"])
def test_a_checkpoint_cancelled_while_it_is_built_is_never_passed_over(steps: int) -> None:
    """Its rows may have been given away, and nobody has them."""

    async def scenario() -> None:
        world, work, checkpointing = await checkpoint_after(steps)
        checkpointing.cancel()
        await asyncio.wait([checkpointing])
        await work.all_of(world.ingest.checkpoint())
        assert world.commits == []

    run(scenario)


def test_told_to_end_it_leaves_the_rest_of_the_batch_and_commits_what_is_folded() -> None:
    async def scenario() -> None:
        work = Stepwise()
        world = World(work=work, records_of_a_slice=2)
        world.begin(PLACE)
        taking = asyncio.create_task(world.take(0, 9))
        await settle()
        world.ingest.take_no_more()
        await work.go_on(taking)
        assert work.done == [FOLDING]
        await world.take(9, 12)  # is fetched, and is left out: it is no error that it does not come next
        await work.all_of(world.ingest.checkpoint())
        assert (world.rows, world.commits) == (2, [{PLACE: 2}])

    run(scenario)


def test_told_to_end_while_it_waits_for_room_it_waits_no_longer() -> None:
    async def scenario() -> None:
        world = World(held_bytes=1, records_of_a_slice=2)
        world.begin(PLACE)
        taking = asyncio.create_task(world.take(0, 9))
        await settle()
        assert not taking.done()
        world.ingest.take_no_more()
        await taking
        await world.ingest.checkpoint()
        assert world.commits == [{PLACE: 2}]

    run(scenario)


def test_an_error_in_a_slice_is_raised_and_nothing_of_it_is_committed() -> None:
    class DefectError(Exception):
        pass

    async def scenario() -> None:
        core = CoreThread()
        world = World(work=core, records_of_a_slice=2)
        world.begin(PLACE)
        await world.take(0, 2)
        fold = world.ingest._assigned[PLACE].fold

        def failing(_: RecordBatch) -> Taken:
            raise DefectError

        fold.ingest = failing  # type: ignore[method-assign]
        with pytest.raises(DefectError):
            await world.take(2, 9)
        assert world.ingest.positions() == {PLACE: 2}
        await world.ingest.checkpoint()
        assert world.commits == [{PLACE: 2}]
        assert core.close(patience_s=10)

    run(scenario)


def test_memory_is_watched_after_each_slice() -> None:
    async def scenario() -> None:
        world = World(held_bytes=HELD_BYTES, records_of_a_slice=3)
        world.begin(PLACE)
        taking = asyncio.create_task(world.take(0, 30))
        await settle()
        assert not taking.done()
        assert world.ingest.standing()[PLACE].held_rows == 6
        taking.cancel()

    run(scenario)


# --- a partition that begins without the ledger


def provisional(at: int) -> Start:
    return Start(at, at, at, is_provisional=True)


def test_without_the_ledger_windows_are_published_and_nothing_is_stored_or_committed() -> None:
    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: provisional(0), OTHER: Start(0, 0, 0)}, 1)
        await world.take(0, 3)
        await world.take(0, 2, place=OTHER)
        await world.ingest._publish([assigned.fold for assigned in world.ingest._assigned.values()])
        assert sum(table.num_rows for table in world.published) > 0
        await world.ingest.checkpoint()
        assert world.rows == 2, "those of the other partition"
        assert world.commits == [{OTHER: 2}]
        assert world.rewound == [[PLACE]]

    run(scenario)


def test_with_the_ledger_it_is_read_again_and_stored() -> None:
    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: provisional(0)}, 1)
        await world.take(0, 3)
        await world.ingest.checkpoint()  # whose rewind knows the ledger
        await world.take(3, 5)  # fetched before it was sought back
        assert world.ingest.positions() == {PLACE: 0}
        await world.take(0, 5)
        await world.ingest.checkpoint()
        assert (world.rows, world.commits) == (5, [{PLACE: 5}])

    run(scenario)


def test_one_of_which_nothing_has_come_yet_is_planned_again_too_and_not_sought() -> None:
    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: provisional(0)}, 1)
        await world.ingest.checkpoint()
        assert world.rewound == [[PLACE]]
        await world.ingest.checkpoint()
        assert world.rewound == [[PLACE]]
        await world.take(0, 3)  # was on its way all the time
        await world.ingest.checkpoint()
        assert (world.rows, world.begun_anew) == (3, [])

    run(scenario)


def test_only_those_that_are_elsewhere_are_sought() -> None:
    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: provisional(0), OTHER: provisional(0)}, 1)
        await world.take(0, 3)
        assert world.ingest.begin_again({PLACE: Start(0, 0, 0), OTHER: Start(0, 0, 0)}, 1) == [PLACE]

    run(scenario)


def test_what_was_fetched_before_a_partition_was_sought_forward_is_left_out() -> None:
    """As where the ledger knows that retention has taken the beginning of the segment."""

    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: provisional(0)}, 1)
        await world.take(0, 2)
        assert world.ingest.begin_again({PLACE: Start(9, 9, 9)}, 1) == [PLACE]
        await world.take(2, 4)
        await world.take(4, 7)
        await world.take(9, 11)
        await world.ingest.checkpoint()
        assert (world.rows, world.commits, world.begun_anew) == (2, [{PLACE: 11}], [])

    run(scenario)


def test_what_a_fetch_brought_from_where_it_was_then_sought_is_folded_once() -> None:
    """Retention had taken what the fetch asked for, so the consumer went back to the first record by itself."""

    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: provisional(0)}, 1)
        assert world.ingest.begin_again({PLACE: Start(9, 9, 9)}, 1) == [PLACE]
        await world.take(9, 12)
        await world.take(9, 10)  # what was sought
        await world.take(10, 14)
        await world.take(14, 16)
        await world.ingest.checkpoint()
        assert (world.rows, world.commits, world.begun_anew) == (7, [{PLACE: 16}], [])
        for begin in range(16, 21):
            await world.take(begin, begin + 1)
        await world.take(9, 12)
        assert world.begun_anew == [[PLACE]], "later it is another log"

    run(scenario)


def test_a_batch_that_may_be_either_is_taken_and_the_other_one_left_out() -> None:
    async def scenario() -> None:
        world = World()
        world.ingest.begin({PLACE: provisional(0)}, 1)
        await world.take(0, 2)
        world.ingest.begin_again({PLACE: Start(4, 4, 4)}, 1)
        await world.take(2, 4)
        await world.take(4, 6)  # fetched before
        await world.take(6, 7)  # too
        await world.take(4, 8)  # what was sought
        await world.ingest.checkpoint()
        assert (world.rows, world.commits, world.begun_anew) == (4, [{PLACE: 8}], [])

    run(scenario)
