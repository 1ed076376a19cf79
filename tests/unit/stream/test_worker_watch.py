"""What ends a worker: nothing moves although there is more to read, Faust's services have crashed, it is told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from faust.types import TP

from tests.support.virtual_time import run_virtually
from tests.unit.stream.test_ingest import PLACE, World
from tokentide.config import KafkaSettings
from tokentide.sinks.errors import SinkStoppedError
from tokentide.stream.core_thread import CoreThread
from tokentide.stream.exits import Exit, StalledError, exit_for, said_of
from tokentide.stream.transport.fetched import Place
from tokentide.stream.transport.micro_batch import MicroBatchConsumer
from tokentide.stream.watched import Fetching
from tokentide.stream.worker import Worker

EVENTS, WINDOWS = ("llm.events", 2), ("llm.windows", 0)
STALL_S = 60.0
LONG_S = 10 * STALL_S

Positions = Callable[[], Mapping[Place, int]]


class KnownEnds(MicroBatchConsumer):
    """A consumer whose last fetches told these ends, and which has not fetched since."""

    def __init__(self, ends: Mapping[Place, int | None]) -> None:
        self._ends = ends
        self.called: dict[int, str] = {}

    @property
    def calls(self) -> Mapping[int, str]:
        return self.called

    def fetching(self, tp: TP) -> Fetching | None:
        return Fetching(end=self._ends[tuple(tp)]) if tuple(tp) in self._ends else None

    def highwater(self, tp: TP) -> int:
        assert tuple(tp) in self._ends, "aiokafka asserts that it is assigned"
        return self._ends[tuple(tp)]  # type: ignore[return-value] # as Faust's, which says None before a fetch


async def kafka_answers(_: Place | None) -> bool:
    return True


def watched(ends: Mapping[Place, int | None], ingesting: Positions, detecting: Positions | None) -> Any:
    """A worker of which only the watch works; made without Kafka, which making one asks."""
    worker: Any = Worker.__new__(Worker)
    worker._settings = SimpleNamespace(worker=SimpleNamespace(stall_seconds=STALL_S))
    worker._app = SimpleNamespace(crashed=False, crash_reason=None, consumer=KnownEnds(ends))
    worker._ingest = SimpleNamespace(
        positions=ingesting, commits_ahead=dict, counts=SimpleNamespace(say_alarms=list)
    )
    worker.told = []
    worker._rejects = SimpleNamespace(tell=worker.told.append)
    worker._work = SimpleNamespace(doing=None, begun=0, close=lambda patience_s: True)  # noqa: ARG005
    worker._out = SimpleNamespace(sending=0, acknowledged=0)
    worker._turns = worker._asks_kafka = 0
    worker._probe = kafka_answers
    worker._detect = None
    if detecting is not None:
        worker._detect = SimpleNamespace(detection=SimpleNamespace(positions=detecting))
    worker._failure = None
    worker._stop = asyncio.Event()
    return worker


def watch(
    ends: Mapping[Place, int | None], ingesting: Positions, detecting: Positions | None = None
) -> BaseException | None:
    """What the worker fails with within ten times the limit, if with anything."""

    async def scenario() -> BaseException | None:
        worker = watched(ends, ingesting, detecting)
        watching = asyncio.create_task(worker._watch())
        await asyncio.wait([watching], timeout=LONG_S)
        assert worker._stop.is_set() is watching.done() is (worker._failure is not None)
        watching.cancel()
        failure: BaseException | None = worker._failure
        return failure

    return run_virtually(scenario())


def test_behind_and_nothing_moves_ends_the_worker_with_23() -> None:
    failure = watch({EVENTS: 9}, lambda: {EVENTS: 5})
    assert isinstance(failure, StalledError)
    assert str(failure).startswith(
        "llm.events/2 stands still at offset 5, 4 records behind: no answer to a fetch for 60 s; "
    )
    code, remedy = exit_for(failure)
    assert (code, int(code)) == (Exit.STALLED, 23)
    assert "start the worker again" in remedy


def test_detection_that_stands_still_ends_it_as_well() -> None:
    failure = watch({EVENTS: 5, WINDOWS: 7}, lambda: {EVENTS: 5}, lambda: {WINDOWS: 1})
    assert str(failure).startswith("llm.windows/0 stands still at offset 1, 6 records behind: ")


def test_it_waits_as_long_as_the_setting_says() -> None:
    async def scenario() -> None:
        worker = watched({EVENTS: 9}, lambda: {EVENTS: 5}, None)
        watching = asyncio.create_task(worker._watch())
        await asyncio.wait([watching], timeout=STALL_S)
        assert not watching.done()
        await asyncio.wait([watching], timeout=2.0)
        assert watching.done()

    run_virtually(scenario())


@pytest.mark.parametrize("end", [5, None], ids=["at the end", "the end is not known yet"])
def test_who_hears_nothing_of_the_end_either_hangs(end: int | None) -> None:
    """A broker answers a fetch without records, too; after its restart a consumer may wait for ever."""
    assert "stands still at offset 5, 0 records behind" in str(watch({EVENTS: end}, lambda: {EVENTS: 5}))


def test_a_partition_revoked_a_moment_ago_does_not_stall() -> None:
    assert watch({}, lambda: {EVENTS: 5}) is None


def test_while_kafka_is_away_it_is_waited_for() -> None:
    async def scenario() -> None:
        worker = watched({EVENTS: 9}, lambda: {EVENTS: 5}, None)
        asked: list[Place | None] = []

        async def is_away(place: Place | None) -> bool:
            asked.append(place)
            return False

        worker._probe = is_away
        watching = asyncio.create_task(worker._watch())
        await asyncio.wait([watching], timeout=LONG_S)
        assert worker._failure is None
        assert len(asked) == 9, "once in each time of the limit"
        assert set(asked) == {EVENTS}
        watching.cancel()

    run_virtually(scenario())


def test_a_call_of_the_consumer_s_thread_that_is_never_answered_ends_it() -> None:
    async def scenario() -> None:
        worker = watched({}, dict, None)
        worker._app.consumer.called[7] = "commit"
        watching = asyncio.create_task(worker._watch())
        await asyncio.wait([watching], timeout=LONG_S)
        assert str(worker._failure).startswith("the consumer's thread has not answered (commit) for 60 s")

    run_virtually(scenario())


def test_what_kafka_never_acknowledges_though_it_answers_ends_it() -> None:
    async def scenario() -> None:
        worker = watched({}, dict, None)
        worker._out.sending = 1
        watching = asyncio.create_task(worker._watch())
        await asyncio.wait([watching], timeout=LONG_S)
        assert str(worker._failure).startswith("Kafka has not acknowledged what was sent for 60 s")

    run_virtually(scenario())


def test_who_reads_a_log_from_its_beginning_is_watched_meanwhile() -> None:
    """What is asked of Kafka then may hang for ever."""

    async def scenario() -> None:
        worker = watched({EVENTS: 3}, dict, None)
        worker._ingest.commits_ahead = lambda: {EVENTS: 5}
        begun: list[Any] = []

        async def hanging(places: Any) -> None:
            begun.append(places)
            worker._app.consumer.called[1] = "bounds of the logs"
            await asyncio.Event().wait()

        worker._begin_anew = hanging
        watching = asyncio.create_task(worker._watch())
        await asyncio.wait([watching], timeout=LONG_S)
        assert begun == [[EVENTS]]
        assert isinstance(worker._failure, StalledError)

    run_virtually(scenario())


def test_who_moves_however_far_behind_does_not_stall() -> None:
    position = iter(range(10**6))
    assert watch({EVENTS: 10**9}, lambda: {EVENTS: next(position)}) is None


def test_who_waits_for_the_store_does_not_stall() -> None:
    """Then `Ingest.positions` names no partition."""
    assert watch({EVENTS: 9}, dict) is None


def test_a_loop_without_end_in_the_core_s_thread_ends_it() -> None:
    """And the event loop turns meanwhile."""

    async def scenario() -> None:
        worker = watched({EVENTS: 9}, dict, None)
        worker._settings.worker.stall_seconds = 0.2  # of CPU
        core = worker._work = CoreThread()
        over = threading.Event()

        def loops() -> None:
            while not over.is_set():
                pass

        looping = asyncio.create_task(core.run("folding events", loops))
        await worker._watch()
        over.set()
        await looping
        assert isinstance(worker._failure, StalledError)
        assert str(worker._failure).startswith("folding events does not end")
        assert core.close(patience_s=10)

    asyncio.run(scenario())


def test_a_crash_of_the_app_ends_the_worker_with_its_reason() -> None:
    async def scenario() -> None:
        for reason in (ConnectionError("gone"), None):
            worker = watched({EVENTS: 5}, lambda: {EVENTS: 5}, None)
            watching = asyncio.create_task(worker._watch())
            await asyncio.sleep(5)
            assert worker._failure is None
            worker._app.crashed, worker._app.crash_reason = True, reason
            await watching
            assert worker._stop.is_set()
            assert worker._failure is reason or str(worker._failure) == "the stream app crashed"

    run_virtually(scenario())


def test_alarms_over_refused_events_are_told_of_what_is_assigned() -> None:
    async def scenario() -> None:
        worker = watched({EVENTS: 5}, lambda: {EVENTS: 5}, None)
        watching = asyncio.create_task(worker._watch())
        await asyncio.sleep(1.2)
        watching.cancel()
        assert worker.told == [[EVENTS], [EVENTS]]

    run_virtually(scenario())


def test_the_first_failure_of_a_work_is_the_worker_s() -> None:
    async def failing(error: Exception) -> None:
        raise error

    async def scenario() -> None:
        worker = watched({}, dict, None)
        first = StalledError("first")
        await worker._supervised(failing(first))
        await worker._supervised(failing(ValueError("second")))
        assert worker._failure is first
        assert worker._stop.is_set()

    run_virtually(scenario())


def test_an_insert_given_up_because_the_worker_is_stopping_is_no_failure() -> None:
    async def giving_up() -> None:
        raise SinkStoppedError("told to stop", table="llm_events", rows=3, code=None, tries=1)

    async def scenario() -> None:
        worker = watched({}, dict, None)
        worker._stop.set()
        await worker._supervised(giving_up())
        assert worker._failure is None

    run_virtually(scenario())


class AwayUntilToldToStop(World):
    """ClickHouse takes nothing until the worker is told to stop, and everything a moment after."""

    def __init__(self) -> None:
        super().__init__()
        self.stop = asyncio.Event()
        self.tries = 0

    async def insert(self, table: str, rows: pa.Table) -> None:
        self.tries += 1
        if self.tries == 1:
            await self.stop.wait()
            raise SinkStoppedError("told to stop", table=table, rows=rows.num_rows, code=None, tries=9)
        await super().insert(table, rows)


def runnable(world: AwayUntilToldToStop) -> Any:
    """A worker of the ingest stage alone, whose app does nothing."""

    async def nothing() -> None:
        pass

    worker = watched({}, world.ingest.positions, None)
    worker._settings.worker.group_id = "tokentide"
    worker._settings.worker.stages = ("ingest",)
    worker._settings.worker.metadata_refresh_seconds = 1e9
    worker._settings.metrics = SimpleNamespace(port=None)
    worker._settings.kafka = KafkaSettings()
    worker._core = SimpleNamespace(
        rules=SimpleNamespace(fold_id=7), decoder=SimpleNamespace(name="python", reason="a test")
    )
    worker._ingest = world.ingest
    worker._store = SimpleNamespace(answers=nothing)
    worker._hard_end = SimpleNamespace(begin=lambda _: None)
    worker._stop = world.stop
    worker._rejects.loops = list
    worker._rejects.finish = nothing
    worker._app.start = worker._app.stop = nothing
    worker._reject_outlets = worker._metrics = SimpleNamespace(close=nothing)
    worker._out.close = nothing
    return worker


def test_told_to_stop_in_an_outage_it_ends_well_and_commits_nothing_that_is_not_stored() -> None:
    """The checkpoint under way is given up; the last one must not commit past the rows that the first had taken."""

    async def scenario() -> None:
        world = AwayUntilToldToStop()
        world.begin(PLACE)
        await world.take(0, 3)
        running = asyncio.create_task(runnable(world).run())
        await asyncio.sleep(5)
        assert world.tries == 1
        await world.take(3, 5)
        world.stop.set()
        assert await running == Exit.STOPPED
        assert (world.rows, world.commits) == (0, [])

    run_virtually(scenario())


def test_told_to_stop_it_stores_and_commits_what_it_has_taken() -> None:
    async def scenario() -> None:
        world = AwayUntilToldToStop()
        world.tries = 1
        world.begin(PLACE)
        running = asyncio.create_task(runnable(world).run())
        await asyncio.sleep(5)
        await world.take(0, 3)
        world.stop.set()
        assert await running == Exit.STOPPED
        assert (world.rows, world.commits) == (3, [{PLACE: 3}])

    run_virtually(scenario())


def test_a_thread_that_does_not_end_is_not_waited_for() -> None:
    async def scenario() -> None:
        worker = runnable(AwayUntilToldToStop())
        ends: list[int] = []
        worker._hard_end.now = ends.append
        worker._work.close = lambda patience_s: patience_s > 60
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(5)
        worker.fail(StalledError("it hangs"))
        assert await running == Exit.STALLED
        assert ends == [Exit.STALLED]

    run_virtually(scenario())


def test_a_worker_that_cannot_ask_clickhouse_does_not_join_the_group() -> None:
    class WrongPasswordError(ClickHouseError):
        code = 516

    async def refused() -> None:
        raise WrongPasswordError("Received ClickHouse exception, code: 516, server response: a page of it")

    async def scenario() -> None:
        worker = runnable(AwayUntilToldToStop())
        joined: list[str] = []

        async def start() -> None:
            joined.append("joined")

        worker._app.start = start
        worker._store = SimpleNamespace(answers=refused)
        with pytest.raises(WrongPasswordError) as ended:
            await worker.run()
        assert joined == []
        code, remedy = exit_for(ended.value)
        assert code is Exit.CLICKHOUSE
        assert said_of(ended.value).startswith("ClickHouse error 516 AUTHENTICATION_FAILED")
        assert "password" in remedy

    run_virtually(scenario())


def test_told_to_stop_while_it_waits_for_clickhouse_it_ends() -> None:
    async def scenario() -> None:
        worker = runnable(AwayUntilToldToStop())
        worker._store = SimpleNamespace(answers=asyncio.Event().wait)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(5)
        worker._stop.set()
        assert await running == Exit.STOPPED

    run_virtually(scenario())
