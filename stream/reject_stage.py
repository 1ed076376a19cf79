"""Tells of too many refused events in the topic and the table of incidents, beside ingest and never in its way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import structlog

from tokentide.schemas.anomaly import Anomaly
from tokentide.stream.incident_outbox import IncidentOutbox, Inserter, Sender
from tokentide.stream.reject_alarm import AlarmKind, Saying
from tokentide.stream.reject_incidents import RejectIncidents

log = structlog.get_logger("tokentide.rejects")

_LAST_WORDS_S: Final = 3.0


class Topic(Sender, Protocol):
    """The topic of incidents; see `tokentide.stream.detection_topic`."""

    async def heard(self) -> Sequence[Anomaly]:
        """What was sent since the last call, by anybody."""
        ...


class _Assigned(NamedTuple):
    """Partitions of the events topic, in a generation of the group."""

    partitions: frozenset[int]
    generation: int


class RejectStage:
    """Messages of one worker. Build and use it inside one event loop."""

    def __init__(
        self,
        topic: Topic,
        table: Inserter,
        incidents: RejectIncidents,
        go_on_with: Callable[[Mapping[AlarmKind, int]], None],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Make the stage.

        Args:
            topic: where incidents are told, and were before.
            table: where they are stored.
            incidents: what they are.
            go_on_with: told the alarms that were raised about the partitions that are assigned now.
            clock: the wall clock.
        """
        self._topic = topic
        self._incidents = incidents
        self._go_on_with = go_on_with
        self._clock = clock
        self._generation: int | None = None
        self._queue: asyncio.Queue[_Assigned | tuple[Saying, int]] = asyncio.Queue()
        self._outbox = IncidentOutbox(topic, table)
        self._speaking = asyncio.Lock()

    def begin(self, partitions: Collection[int], generation: int) -> None:
        """These partitions of the events topic are assigned."""
        self._generation = generation
        if partitions:
            self._queue.put_nowait(_Assigned(frozenset(partitions), generation))

    def tell(self, sayings: Iterable[Saying]) -> None:
        """Something is due of the alarm; never waits."""
        if self._generation is not None:
            for saying in sayings:
                self._queue.put_nowait((saying, self._generation))

    async def forget(self) -> None:
        """Partitions are being taken away; returns when what is being said is said."""
        self._generation = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S), self._speaking:
                pass

    def loops(self) -> Sequence[Coroutine[None, None, None]]:
        """What has to run beside each other, until cancelled; they raise what ends the worker, as detection does."""
        return self._work(), self._outbox.store_forever()

    async def finish(self) -> None:
        """Say and store what is left; before the end of the worker."""
        while not self._queue.empty():
            await self._one(self._queue.get_nowait())
        await self._outbox.store_rest()

    async def _work(self) -> None:
        while True:
            await self._one(await self._queue.get())

    async def _one(self, item: _Assigned | tuple[Saying, int]) -> None:
        async with self._speaking:
            if item[1] != self._generation:
                return  # another worker answers for these partitions now
            if isinstance(item, _Assigned):
                begun = self._incidents.begin(await self._topic.heard(), item.partitions, self._clock())
                self._go_on_with(begun.continued)
                await self._say(begun.messages)
            elif (message := self._incidents.message(item[0], self._clock())) is not None:
                await self._say([message])

    async def _say(self, anomalies: Sequence[Anomaly]) -> None:
        await self._outbox.say(anomalies)
        for anomaly in anomalies:
            log.info(
                "incident",
                state=anomaly.state,
                rule=anomaly.rule,
                anomaly_id=anomaly.anomaly_id,
                revision=anomaly.revision,
            )
