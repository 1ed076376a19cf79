"""The topic of incidents: what was said before is read from it, what is new is sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError
from pydantic import ValidationError

from tokentide.schemas.anomaly import Anomaly

_Result = TypeVar("_Result")

_POLL_MS: Final = 200
_MOST_EMPTY_POLLS: Final = 150
"""Half a minute without an answer: then the broker is gone."""


class AnomalyTopic:
    """`llm.anomalies`, with clients of its own in a thread of their own."""

    def __init__(
        self, topic: str, new_producer: Callable[[], KafkaProducer], new_reader: Callable[[], KafkaConsumer]
    ) -> None:
        self._topic = topic
        self._new_producer = new_producer
        self._new_reader = new_reader
        self._producer: KafkaProducer | None = None
        self._read_to: dict[TopicPartition, int] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="anomalies")

    async def heard(self) -> list[Anomaly]:
        """Messages of the topic since the last call, up to its end; all of them at the first. Others are left out.

        Raises:
            kafka.errors.KafkaError: the broker cannot be reached, refuses or does not answer.
        """
        return await self._in_thread(self._hear)

    async def send(self, anomalies: Sequence[Anomaly]) -> None:
        """Return when the broker has acknowledged all of them.

        Raises:
            kafka.errors.KafkaError: not sent, or unknown whether; the revisions may be sent again.
        """
        await self._in_thread(lambda: self._send(anomalies))

    async def close(self) -> None:
        """Close the connection."""
        if self._producer is not None:
            await self._in_thread(self._producer.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _send(self, anomalies: Sequence[Anomaly]) -> None:
        if self._producer is None:
            self._producer = self._new_producer()
        producer = self._producer
        sent = [
            producer.send(self._topic, anomaly.model_dump_json().encode(), key=anomaly.anomaly_id.encode())
            for anomaly in anomalies
        ]
        for future in sent:
            future.get()

    def _hear(self) -> list[Anomaly]:
        reader = self._new_reader()
        try:
            places = [TopicPartition(self._topic, p) for p in reader.partitions_for_topic(self._topic) or ()]
            begins = reader.beginning_offsets(places)
            # A broker may name a smaller end than there is, but none but 0 for a partition that has records.
            filled = [place for place, end in reader.end_offsets(places).items() if end > begins[place]]
            reader.assign(filled)
            for place in filled:
                reader.seek(place, max(begins[place], self._read_to.get(place, 0)))
            return self._read_to_end(reader, set(filled))
        finally:
            reader.close()

    def _read_to_end(self, reader: Any, places: set[TopicPartition]) -> list[Anomaly]:
        found: list[Anomaly] = []
        empty_polls = 0
        while places:
            records = reader.poll(timeout_ms=_POLL_MS)
            empty_polls = 0 if records else empty_polls + 1
            if empty_polls > _MOST_EMPTY_POLLS:
                raise KafkaTimeoutError(f"{self._topic}: no records came though there are some")
            for of_partition in records.values():
                found += [anomaly for record in of_partition if (anomaly := _read(record.value)) is not None]
            for place in list(places):
                end = reader.highwater(place)  # as the last fetch said
                if end is not None and reader.position(place) >= end:
                    self._read_to[place] = end
                    places.discard(place)
        return found


def _read(value: bytes | None) -> Anomaly | None:
    """The incident of a message; None for deletion marks and for what a newer version may have written."""
    if value is None:
        return None
    try:
        return Anomaly.model_validate_json(value)
    except ValidationError:
        return None
