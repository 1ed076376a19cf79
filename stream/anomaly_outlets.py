"""Where incidents go and were said before: the topic and the table, with connections of their own."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from kafka import KafkaConsumer

from tokentide.config import Settings
from tokentide.config.kafka import client_arguments
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.sinks.connection import open_client
from tokentide.sinks.errors import RetriableSinkError
from tokentide.stream.assembly import new_producer
from tokentide.stream.counts import FailedTries
from tokentide.stream.detection_table import AnomalyTable
from tokentide.stream.detection_topic import AnomalyTopic
from tokentide.stream.store import ClickHouseStore

log = structlog.get_logger("tokentide.detection")


class AnomalyOutlets:
    """Topic and table of incidents, for one of those who tell of them. Connects when something is to be read or said."""

    def __init__(self, settings: Settings, should_stop: Callable[[], bool], tries: FailedTries) -> None:
        self._tries = tries
        self._store = ClickHouseStore(
            ClickHouseSink.from_settings(
                settings.clickhouse, should_stop=should_stop, on_failed_try=tries.failed
            ),
            lambda: open_client(settings.clickhouse),
            self._outage,
            should_stop=should_stop,
        )
        self.table = AnomalyTable(self._store, lambda: open_client(settings.clickhouse))
        self.topic = AnomalyTopic(
            settings.topics.anomalies, lambda: new_producer(settings), lambda: _new_reader(settings)
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.topic.close()
        self.table.close()
        self._store.close()

    def _outage(self, error: RetriableSinkError) -> None:
        self._tries.given_up(error)
        log.warning("clickhouse does not take incidents; they are held and tried again", error=str(error))


def _new_reader(settings: Settings) -> KafkaConsumer:
    return KafkaConsumer(
        **client_arguments(settings.kafka),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
