from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime

from tokentide.schemas.anomaly import Anomaly
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.reject_alarm import AlarmKind, Saying
from tokentide.stream.reject_incidents import RejectIncidents
from tokentide.stream.reject_stage import RejectStage

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHARE = Saying("share", is_over=False, accepted=800, refused={RejectReason.CLOCK: 200}, run=0)
OVER = SHARE._replace(is_over=True)


class Outside:
    """A topic that remembers, and a table."""

    def __init__(self) -> None:
        self.sent: list[Anomaly] = []
        self.stored: list[Anomaly] = []
        self.continued: list[Mapping[AlarmKind, int]] = []
        self.may_send = asyncio.Event()
        self.may_send.set()
        self._heard_to = 0

    async def heard(self) -> Sequence[Anomaly]:
        new, self._heard_to = self.sent[self._heard_to :], len(self.sent)
        return new

    async def send(self, anomalies: Sequence[Anomaly]) -> None:
        await self.may_send.wait()
        self.sent += anomalies

    async def insert(self, anomalies: Sequence[Anomaly]) -> None:
        self.stored += anomalies

    def go_on_with(self, raised: Mapping[AlarmKind, int]) -> None:
        self.continued.append(raised)

    def stage(self) -> RejectStage:
        self._heard_to = 0
        incidents = RejectIncidents("llm.events", share=0.01, run=1_000)
        return RejectStage(self, self, incidents, self.go_on_with, clock=lambda: NOW)

    @property
    def states(self) -> list[tuple[str, int]]:
        return [(anomaly.state, anomaly.revision) for anomaly in self.sent]


async def settled(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Let the loops run until they wait."""
    tasks = [asyncio.create_task(work) for work in works]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_what_is_due_is_sent_and_stored() -> None:
    async def play() -> None:
        outside = Outside()
        stage = outside.stage()
        stage.begin([0, 1], 1)
        stage.tell([SHARE])
        await settled(stage.loops())
        stage.tell([OVER])
        await settled(stage.loops())
        assert outside.states == [("open", 1), ("resolved", 2)]
        assert outside.stored == outside.sent

    asyncio.run(play())


def test_the_next_worker_is_told_to_go_on_and_ends_it() -> None:
    async def play() -> None:
        outside = Outside()
        first = outside.stage()
        first.begin([0, 1], 1)
        first.tell([SHARE])
        await first.finish()
        second = outside.stage()
        second.begin([1, 0], 2)
        second.tell([OVER])
        await second.finish()
        assert outside.continued == [{}, {"share": 1_000}]
        assert outside.states == [("open", 1), ("resolved", 2)]
        assert outside.stored == outside.sent

    asyncio.run(play())


def test_nothing_is_said_of_partitions_that_are_another_workers_now() -> None:
    async def play() -> None:
        outside = Outside()
        stage = outside.stage()
        stage.tell([SHARE])  # before there are any
        stage.begin([0], 1)
        stage.tell([SHARE])
        await stage.forget()
        stage.tell([SHARE])
        await stage.finish()
        stage.begin([], 2)
        stage.begin([0], 3)
        await stage.finish()
        assert outside.sent == []

    asyncio.run(play())


def test_partitions_are_not_given_up_while_something_is_being_said() -> None:
    async def play() -> None:
        outside = Outside()
        stage = outside.stage()
        stage.begin([0], 1)
        stage.tell([SHARE])
        outside.may_send.clear()
        saying = asyncio.create_task(stage.finish())
        await asyncio.sleep(0)
        leaving = asyncio.create_task(stage.forget())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not leaving.done()
        outside.may_send.set()
        await leaving
        await saying
        assert outside.states == [("open", 1)]

    asyncio.run(play())
