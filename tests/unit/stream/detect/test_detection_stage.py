"""The detect stage against a topic and a table in memory: who hears what, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from structlog.testing import capture_logs

from tests.support.partials import Partial, record
from tests.support.waiting import HANGING_S
from tokentide.schemas.anomaly import Anomaly
from tokentide.stream import detection
from tokentide.stream.detect.announce import Patience
from tokentide.stream.detect.history import History
from tokentide.stream.detect.measures import Counts
from tokentide.stream.detect.messages import is_withdrawn
from tokentide.stream.detect.rules import ErrorRate, Examples, Finding
from tokentide.stream.detection import Detection, Outside
from tokentide.stream.detection_table import Said
from tokentide.stream.record_batch import RecordBatch
from tokentide.stream.transport.fetched import Fetched, Place

RULE = ErrorRate(window_minutes=1, silence_minutes=15)
FAILING, FINE = Partial(0, Counts(100, 30)), Partial(0, Counts(100))
TOPIC = "llm.windows"
P0, P1 = (TOPIC, 0), (TOPIC, 1)


class Bounds(NamedTuple):
    committed: int | None = None
    earliest: int = 0


class ListTopic:
    """The topic of incidents as a list."""

    def __init__(self) -> None:
        self.messages: list[Anomaly] = []
        self.failure: Exception | None = None
        self._heard = 0

    async def heard(self) -> Sequence[Anomaly]:
        await asyncio.sleep(0)
        new = self.messages[self._heard :]
        self._heard = len(self.messages)
        return new

    async def send(self, anomalies: Sequence[Anomaly]) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.messages += anomalies

    @property
    def said(self) -> list[tuple[int, str]]:
        return [
            (found.revision, "withdrawn" if is_withdrawn(found) else found.state) for found in self.messages
        ]


class DictTable:
    """The table of incidents, and the events that show them."""

    def __init__(self) -> None:
        self.rows: dict[str, Anomaly] = {}
        self.inserts = 0
        self.event_ids: list[str] = []
        self.searches = 0
        self.found_by_search = 1
        self.is_there = asyncio.Event()
        self.is_there.set()

    async def insert(self, anomalies: Sequence[Anomaly]) -> None:
        await self.is_there.wait()
        self.inserts += len(anomalies)
        self.rows |= {anomaly.anomaly_id: anomaly for anomaly in anomalies}

    async def said(self) -> Said:
        if not self.is_there.is_set():
            raise OperationalError("connection refused")
        revisions = {name: found.revision for name, found in self.rows.items()}
        return Said(revisions, [found for found in self.rows.values() if found.state == "open"])

    async def examples(self, anomaly: Anomaly, kind: Examples) -> Sequence[str]:  # noqa: ARG002
        self.searches += 1
        if not self.is_there.is_set():
            raise OperationalError("connection refused")
        return self.event_ids if self.searches >= self.found_by_search else []


class Stand:
    """A stage and the world around it; the log's ends are the tests' to say."""

    def __init__(
        self,
        topic: ListTopic | None = None,
        table: DictTable | None = None,
        patience: Patience | None = None,
        rule: ErrorRate = RULE,
    ) -> None:
        self.topic = topic or ListTopic()
        self.table = table or DictTable()
        self.ends: dict[Place, int] = {}
        self.taken: dict[Place, int] = {}
        self.held: dict[Place, bool] = {}
        self.commits: list[dict[Place, int]] = []
        outside = Outside(self.topic, self.table, self.ends.get, self.held.__setitem__, self._commit)
        self.stage = Detection(outside, [rule], patience=patience or Patience(0, 0, 0))
        self.tasks: list[asyncio.Task[None]] = []

    async def _commit(self, positions: Mapping[Place, int]) -> bool:
        self.commits.append(dict(positions))
        return True

    def begin(
        self, bounds: Mapping[Place, Bounds], generation: int = 1, **look_back: int
    ) -> Mapping[Place, int]:
        self.taken = {}
        return self.stage.begin(bounds, {P0: look_back.get("p0")}, generation)

    def deliver(
        self,
        *records: Sequence[Partial] | bytes,
        begin: int = 0,
        place: Place = P0,
        generation: int = 1,
        end: int | None = None,
    ) -> None:
        """A batch of records from an offset on; `end` is the log's, that of the batch unless given."""
        values = [item if isinstance(item, bytes) else record(item) for item in records]
        after = begin + len(values)
        self.ends[place] = after if end is None else end
        offsets = np.arange(begin, after)
        batch = RecordBatch(begin, after, offsets, offsets, [None] * len(values), values)
        waiting = len(self.stage._waiting)
        self.stage.take(Fetched(*place, batch), generation)
        if len(self.stage._waiting) > waiting:
            self.taken[place] = after

    async def settled(self) -> None:
        """Until everything delivered has been judged and said."""
        assigned = self.stage._assigned
        await until(
            lambda: all(
                assigned[p].position >= end for p, end in self.taken.items() if not assigned[p].is_broken
            )
        )
        await self.stage._speak()

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@asynccontextmanager
async def running(stand: Stand) -> AsyncIterator[Stand]:
    stand.tasks = [asyncio.create_task(work) for work in stand.stage.loops()]
    try:
        yield stand
    finally:
        await stand.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(HANGING_S):
        while not condition():  # noqa: ASYNC110 - conditions of any kind
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "_TICK_S", 0.01)
    monkeypatch.setattr(detection, "_EXAMPLES_AFTER_S", 0.0)
    monkeypatch.setattr(detection, "_COMMIT_S", 0.0)


def test_an_incident_goes_to_kafka_and_to_clickhouse():
    async def story() -> None:
        async with running(Stand()) as stand:
            assert stand.begin({P0: Bounds()}) == {P0: 0}
            stand.deliver([FAILING], [FINE.but(minute=1)])
            await until(lambda: stand.table.rows)
            assert stand.topic.said == [(1, "resolved")]
            assert list(stand.table.rows.values()) == stand.topic.messages

    asyncio.run(story())


def test_while_old_records_are_read_again_nothing_is_said():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING], end=2)
            await stand.settled()
            assert stand.topic.said == []
            stand.deliver([FINE.but(minute=1)], begin=1)
            await stand.settled()
            assert stand.topic.said == [(1, "resolved")]

    asyncio.run(story())


def test_it_has_caught_up_when_all_that_was_there_at_the_assignment_is_read():
    async def story() -> None:
        async with running(Stand()) as stand:
            assert stand.stage.has_caught_up, "nothing is assigned"
            stand.begin({P0: Bounds(), P1: Bounds()})
            assert not stand.stage.has_caught_up, "nobody knows what there is"
            stand.ends[P1] = 0  # nothing was ever sent there
            stand.deliver([FAILING], end=2)
            await stand.settled()
            assert not stand.stage.has_caught_up
            stand.deliver([FINE.but(minute=1)], begin=1)
            await stand.settled()
            assert stand.stage.has_caught_up
            stand.ends[P0] = 9  # what comes later is no catching up
            assert stand.stage.has_caught_up

    asyncio.run(story())


def test_a_restart_reads_back_and_repeats_nothing():
    async def story() -> None:
        async with running(Stand()) as first:
            first.begin({P0: Bounds()})
            first.deliver([FAILING])
            await first.settled()
        async with running(Stand(first.topic.__class__(), first.table)) as second:
            second.topic.messages += first.topic.messages
            assert second.begin({P0: Bounds(committed=1)}) == {P0: 0}
            second.deliver([FAILING])
            await second.settled()
            assert second.topic.said == [(1, "open")]
            second.deliver([FINE.but(minute=1)], begin=1)
            await second.settled()
            assert second.topic.said == [(1, "open"), (2, "resolved")]

    asyncio.run(story())


def test_where_the_logs_beginning_is_gone_only_what_nobody_judged_is_judged():
    """The group had judged offsets 10 and 11, up to minute 30: what happened in minute 0 is known, minute 60 is new."""

    async def story() -> None:
        async with running(Stand()) as stand:
            begins = stand.begin({P0: Bounds(committed=12, earliest=10)})
            assert begins == {P0: 10}
            stand.deliver([FAILING], [FINE.but(minute=30)], [FAILING.but(minute=60)], begin=10)
            await stand.settled()
            (found,) = stand.topic.messages
            assert (found.state, found.started_at) == ("open", "2024-01-01T01:00:00Z")

    asyncio.run(story())


def test_reading_back_ends_at_young_records_but_takes_all_that_nobody_judged():
    stand = _stand()
    assert stand.begin({P0: Bounds(committed=90, earliest=10)}, p0=70) == {P0: 70}
    assert _stand().begin({P0: Bounds(committed=50, earliest=10)}, p0=70) == {P0: 50}
    assert _stand().begin({P0: Bounds(committed=5, earliest=10)}, p0=70) == {P0: 10}
    assert _stand().begin({P0: Bounds(committed=None, earliest=10)}, p0=70) == {P0: 70}
    assert _stand().begin({P0: Bounds(committed=90, earliest=10)}) == {P0: 10}


def _stand() -> Stand:
    async def make() -> Stand:
        return Stand()

    return asyncio.run(make())


def test_a_partition_that_stays_goes_on_and_one_that_comes_is_read_back():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING], [FAILING])
            await stand.settled()
            await stand.stage.forget()
            assert stand.begin({P0: Bounds(), P1: Bounds()}, generation=2) == {P0: 2, P1: 0}
            stand.deliver([FINE.but(minute=1)], begin=2, generation=2)
            await stand.settled()
            assert stand.topic.said == [(1, "open"), (2, "resolved")]

    asyncio.run(story())


def test_a_partition_that_was_away_is_read_back():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING])
            await stand.settled()
            await stand.stage.forget()
            stand.begin({}, generation=2)
            await stand.stage.forget()
            assert stand.begin({P0: Bounds()}, generation=3) == {P0: 0}

    asyncio.run(story())


def test_what_another_worker_said_meanwhile_is_known():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING])
            await stand.settled()
            stand.begin({}, generation=2)
            resolved = stand.topic.messages[0].model_copy(update={"revision": 2, "summary": "by another"})
            stand.topic.messages.append(resolved)
            stand.begin({P0: Bounds()}, generation=3)
            stand.deliver([FAILING], [FINE.but(minute=1)], generation=3)
            await stand.settled()
            assert stand.topic.said[-1] == (3, "resolved")

    asyncio.run(story())


def test_batches_of_another_generation_or_partition_are_dropped():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds()}, generation=2)
            stand.deliver([FAILING], generation=1)
            stand.deliver([FAILING], place=P1, generation=2)
            await stand.settled()
            assert stand.topic.said == []
            assert stand.stage.progress.partials == 0

    asyncio.run(story())


def test_after_partitions_are_taken_away_nothing_more_is_said():
    async def story() -> None:
        async with running(Stand(patience=Patience(0.05, 0.05, 0.05))) as stand:
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING])
            await until(lambda: not stand.stage._waiting)
            await stand.stage.forget()
            await asyncio.sleep(0.1)
            await stand.stage.finish()
            assert stand.topic.said == []
            assert stand.stage.positions() == {}

    asyncio.run(story())


def test_what_waited_of_a_lost_partition_is_not_said_and_of_a_kept_one_is():
    async def story() -> None:
        stand = Stand(patience=Patience(1000, 1000, 1000))
        async with running(stand):
            stand.begin({P0: Bounds(), P1: Bounds()})
            stand.deliver([FAILING])
            stand.deliver([FAILING.but(series={"service": "other"})], place=P1)
            await stand.settled()
            stand.begin({P0: Bounds()}, generation=2)
            await stand.stage._speak()
            await stand.stage.finish()
            assert [found.series["service"] for found in stand.topic.messages] == ["checkout"]

    asyncio.run(story())


def test_when_kafka_fails_the_stage_ends_and_clickhouse_has_nothing():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.topic.failure = ConnectionError("kafka is away")
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING])
            await until(stand.tasks[0].done)
            assert isinstance(stand.tasks[0].exception(), ConnectionError)
            assert stand.table.rows == {}

    asyncio.run(story())


def test_while_clickhouse_is_away_incidents_go_to_kafka_and_later_their_last_states_are_stored():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.table.is_there.clear()
            stand.begin({P0: Bounds()})
            for offset, partial in enumerate(
                (FAILING, FAILING.but(minute=1, counts=Counts(100, 50)), FINE.but(minute=2))
            ):
                stand.deliver([partial], begin=offset)
                await stand.settled()
            assert stand.topic.said == [(1, "open"), (2, "open"), (3, "resolved")]
            stand.table.is_there.set()
            await until(lambda: [found.revision for found in stand.table.rows.values()] == [3])
            assert stand.table.inserts <= 2  # the first was under way already

    asyncio.run(story())


def test_what_kafka_knows_and_the_table_lacks_is_stored():
    async def story() -> None:
        async with running(Stand()) as first:
            first.begin({P0: Bounds()})
            first.deliver([FAILING])
            await first.settled()
        async with running(Stand()) as second:
            second.topic.messages += first.topic.messages
            second.begin({P0: Bounds()})
            await until(lambda: second.table.rows)
            assert second.topic.said == [(1, "open")]

    asyncio.run(story())


def test_a_revision_that_only_the_table_knows_is_not_used_again():
    """The embedded broker forgets its topics, the data directory of ClickHouse does not."""

    async def story() -> None:
        async with running(Stand()) as first:
            first.begin({P0: Bounds()})
            first.deliver([FAILING], [FINE.but(minute=1)])
            await first.settled()
        async with running(Stand(table=first.table)) as second:
            second.begin({P0: Bounds()})
            second.deliver([FAILING], [FINE.but(minute=1)])
            await second.settled()
            assert second.topic.said == [(2, "resolved")]

    asyncio.run(story())


def test_examples_come_with_a_revision_of_their_own_as_soon_as_they_are_found():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.table.event_ids, stand.table.found_by_search = ["a", "b"], 2
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING])
            await until(lambda: stand.topic.said == [(1, "open"), (2, "open")])
            assert stand.topic.messages[1].example_event_ids == ["a", "b"]
            await until(lambda: [found.revision for found in stand.table.rows.values()] == [2])

    asyncio.run(story())


def test_examples_that_are_not_found_are_given_up():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING])
            await until(lambda: stand.table.searches == 3)
            stand.table.is_there.clear()
            stand.deliver([FAILING.but(series={"service": "other"})], begin=1)
            await until(lambda: stand.table.searches == 6)
            await asyncio.sleep(0.05)
            assert stand.table.searches == 6
            assert [revision for revision, _ in stand.topic.said] == [1, 1]

    asyncio.run(story())


def test_fetching_stops_while_too_much_waits(monkeypatch):
    monkeypatch.setattr(detection, "_HOLD_BYTES", 100_000)
    monkeypatch.setattr(detection, "_GO_ON_BYTES", 20_000)

    async def story() -> None:
        stand = Stand()
        stand.begin({P0: Bounds(), P1: Bounds()})
        for offset in range(20):
            stand.deliver([FAILING.but(minute=offset)], begin=offset, end=20)
        assert stand.held == {P0: True, P1: True}
        async with running(stand):
            await until(lambda: stand.held == {P0: False, P1: False})
            await stand.settled()
            assert stand.stage.progress.partials == 20

    asyncio.run(story())


def test_fetching_goes_on_after_a_rebalance(monkeypatch):
    monkeypatch.setattr(detection, "_HOLD_BYTES", 1)

    async def story() -> None:
        stand = Stand()
        stand.begin({P0: Bounds()})
        stand.deliver([FAILING])
        assert stand.held == {P0: True}
        await stand.stage.forget()
        assert stand.held == {P0: False}

    asyncio.run(story())


@pytest.mark.parametrize(("records", "size"), [(3, 10**9), (200, 1), (200, 1_500)])
def test_a_large_batch_is_worked_off_in_slices_without_a_loss(monkeypatch, records, size):
    monkeypatch.setattr(detection, "_SLICE_RECORDS", records)
    monkeypatch.setattr(detection, "_SLICE_BYTES", size)

    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds(committed=25, earliest=1)})
            stand.deliver(
                *[[FINE.but(minute=minute)] for minute in range(50)], [FAILING.but(minute=50)], begin=1
            )
            await stand.settled()
            assert stand.stage.progress.partials == 51
            assert [found.started_at[11:16] for found in stand.topic.messages] == ["00:50"]

    asyncio.run(story())


def test_a_record_that_holds_something_else_is_left_out_and_counted():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds()})
            stand.deliver(b"{}", [FAILING], b"")
            await stand.settled()
            assert stand.topic.said == [(1, "open")]
            assert stand.stage.progress.refused_records == 2

    asyncio.run(story())


def test_a_defect_ends_the_detection_of_one_partition_and_nothing_else():
    class DefectRule(ErrorRate):
        def judge(self, history: History, end: int) -> Finding:
            if history.total(0, history.span(end, 1)) == 13:
                raise ZeroDivisionError
            return super().judge(history, end)

    async def story() -> None:
        stand = Stand(rule=DefectRule(window_minutes=1))
        async with running(stand):
            stand.begin({P0: Bounds(), P1: Bounds()})
            stand.deliver([FAILING.but(series={"service": "other"})], place=P1)
            stand.deliver([FINE.but(counts=Counts(13))])
            await stand.settled()
            assert stand.topic.said == [(1, "open")]
            assert stand.stage.positions() == {P1: 1}
            assert stand.stage.broken_partitions == 1
            assert stand.commits == [{P1: 1}]
            stand.deliver([FAILING], begin=1)
            stand.deliver([FINE.but(minute=1, series={"service": "other"})], begin=1, place=P1)
            await stand.settled()
            assert stand.topic.said == [(1, "open"), (2, "resolved")]
            assert not any(task.done() for task in stand.tasks)

    with capture_logs() as lines:
        asyncio.run(story())
    assert [line["log_level"] for line in lines if "has ended" in line["event"]] == ["error"]


def test_positions_are_committed_after_what_was_said_of_them_and_only_when_they_move():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds(), P1: Bounds()})
            stand.deliver([FAILING], [FAILING])
            await stand.settled()
            await stand.settled()
            assert stand.commits == [{P0: 2}]

    asyncio.run(story())


def test_at_the_end_what_was_coming_to_rest_is_said_and_stored():
    async def story() -> None:
        stand = Stand(patience=Patience(1000, 1000, 1000))
        async with running(stand):
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING])
            await stand.settled()
            assert stand.topic.said == []
        await stand.stage.finish()
        assert stand.topic.said == [(1, "open")]
        assert len(stand.table.rows) == 1

    asyncio.run(story())


def test_an_outage_of_a_provider_does_not_fill_the_log():
    async def story() -> None:
        async with running(Stand()) as stand:
            stand.begin({P0: Bounds()})
            stand.deliver([FAILING.but(series={"model": f"m{number}"}) for number in range(100)])
            await stand.settled()
            assert len(stand.topic.messages) == 100

    with capture_logs() as lines:
        asyncio.run(story())
    assert [line["event"] for line in lines].count("incident") == 20
    assert {"event": "more incidents", "messages": 80, "log_level": "info"} in lines
