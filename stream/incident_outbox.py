"""Incidents on their way out: to Kafka first, and then to ClickHouse, which nobody waits for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from tokentide.schemas.anomaly import Anomaly
from tokentide.sinks.errors import SinkStoppedError


class Sender(Protocol):
    """The topic of incidents; see `tokentide.stream.detection_topic`."""

    async def send(self, anomalies: Sequence[Anomaly]) -> None:
        """Return when it is durable."""


class Inserter(Protocol):
    """The table of incidents; see `tokentide.stream.detection_table`."""

    async def insert(self, anomalies: Sequence[Anomaly]) -> None:
        """Return when it is stored, however long that takes."""


class IncidentOutbox:
    """Build and use it inside one event loop."""

    def __init__(self, topic: Sender, table: Inserter) -> None:
        self._topic = topic
        self._table = table
        self._unstored: dict[str, Anomaly] = {}
        self._to_store = asyncio.Event()

    async def say(self, anomalies: Sequence[Anomaly]) -> None:
        """Return when Kafka has the messages; they are stored later."""
        if anomalies:
            await self._topic.send(anomalies)
            self.store_later(anomalies)

    def store_later(self, anomalies: Iterable[Anomaly]) -> None:
        """Only the last revision of each is worth storing: the table keeps no other."""
        for anomaly in anomalies:
            known = self._unstored.get(anomaly.anomaly_id)
            if known is None or known.revision < anomaly.revision:
                self._unstored[anomaly.anomaly_id] = anomaly
        if self._unstored:
            self._to_store.set()

    async def store_forever(self) -> None:
        """Store what there is, until cancelled."""
        while True:
            await self._to_store.wait()
            await self._table.insert(self._take_unstored())

    async def store_rest(self) -> None:
        """Store what is left, unless the worker is stopping meanwhile."""
        if self._unstored:
            with contextlib.suppress(SinkStoppedError):
                await self._table.insert(self._take_unstored())

    def _take_unstored(self) -> list[Anomaly]:
        anomalies = list(self._unstored.values())
        self._unstored.clear()
        self._to_store.clear()
        return anomalies
