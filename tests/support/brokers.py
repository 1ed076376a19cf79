"""Real brokers under test, both kinds behind one face, with the few things that tests do to topics.

Reading and writing here goes through kafka-python, so that it is independent of the aiokafka of the worker.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError

from tests.support.apache_kafka import ApacheKafka
from tests.support.ports import unused_port
from tests.support.waiting import HANGING_S, until
from tokentide.embedded.broker import EmbeddedBroker
from tokentide.embedded.process import ManagedProcess

BrokerKind = Literal["embedded", "apache_kafka"]


class Server(Protocol):
    """What both kinds of broker can."""

    @property
    def bootstrap_servers(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def process(self) -> ManagedProcess: ...
    def start(self) -> object: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class StoredRecord(NamedTuple):
    """One record as a broker holds it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


def make_server(
    kind: BrokerKind, folder: Path, *, advertised_port: int | None = None, is_short_lived: bool = True
) -> Server:
    """Prepare a broker of a kind, not started, with its files in a folder.

    With `advertised_port` clients are sent to that port, for a proxy before the broker. One that is not short-lived
    is as fast as it can be.
    """
    if kind == "embedded":
        return EmbeddedBroker(
            log_file=folder / "broker.log", port=unused_port(), advertised_port=advertised_port
        )
    return ApacheKafka(folder, advertised_port=advertised_port, is_short_lived=is_short_lived)


class Broker:
    """A running broker and a prefix that no other test uses."""

    def __init__(self, kind: BrokerKind, server: Server) -> None:
        self.kind = kind
        self.server = server
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self._numbers = itertools.count(1)

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients."""
        return self.server.bootstrap_servers

    @property
    def keeps_data(self) -> bool:
        """Whether records outlive the end of the broker."""
        return self.kind == "apache_kafka"

    def unique(self, name: str = "") -> str:
        """Return a name that nobody else uses on this broker: for topics and groups."""
        return f"{self.prefix}{name or next(self._numbers)}"

    def create_topic(
        self, name: str | None = None, *, partitions: int = 1, configs: Mapping[str, str] | None = None
    ) -> str:
        """Create a topic and return its name: the given one as it is, or a unique one."""
        topic = name or self.unique()
        with self.admin() as admin:
            admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(configs or {}))])
            admin.wait_for_topics([topic])
        return topic

    def delete_topic(self, topic: str) -> None:
        """Delete a topic."""
        with self.admin() as admin:
            admin.delete_topics([topic])

    def topic_id(self, topic: str) -> str:
        """Return the id that tells a topic from others that had, or will have, its name."""
        with self.admin() as admin:
            return str(admin.describe_topics([topic])[0]["topic_id"])

    def produce(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        **options: object,
    ) -> list[tuple[int, int]]:
        """Send values in order and return partition and offset of each; `options` go to the producer."""
        with self.producer(**options) as producer:
            sent = [producer.send(topic, value=value, key=key, partition=partition) for value in values]
            producer.flush()
            found = [future.get(timeout=HANGING_S) for future in sent]
        return [(metadata.partition, metadata.offset) for metadata in found]

    def read_topic(self, topic: str, *, committed_only: bool = False) -> list[StoredRecord]:
        """Return all records of a topic, from its earliest to its last offset, by partition and offset."""
        isolation = "read_committed" if committed_only else "read_uncommitted"
        with self.consumer(isolation_level=isolation, check_crcs=False) as consumer:
            return sorted(_read(consumer, topic), key=lambda record: (record.partition, record.offset))

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return the offset after the last record, by partition, as fetches say it.

        `ListOffsets` cannot be trusted for that: the embedded broker counts the last batch as one record.
        """
        with self.consumer() as consumer:
            return {place.partition: end for place, end in _ends(consumer, topic).items()}

    def begin_offsets(self, topic: str) -> dict[int, int]:
        """Return the first offset still there, by partition."""
        with self.consumer() as consumer:
            begins = consumer.beginning_offsets(_places(consumer, topic))
            return {place.partition: begin for place, begin in begins.items()}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the committed offsets of a group on a topic, by partition; those never committed are left out."""
        with self.admin() as admin:

            def answers() -> list[Any]:
                try:
                    return [admin.list_group_offsets(group).get(group, {})]
                # The first question about any group makes the broker create its offsets topic.
                except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError):
                    return []

            (found,) = until(answers, what="the coordinator's answer")
        return {
            place.partition: entry.offset
            for place, entry in found.items()
            if place.topic == topic and entry.offset >= 0
        }

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """An administration client, closed at the end."""
        client = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def producer(self, **options: object) -> Iterator[KafkaProducer]:
        """A kafka-python producer, idempotent unless said otherwise, closed at the end."""
        client = KafkaProducer(
            **{
                "bootstrap_servers": self.bootstrap_servers,
                "acks": "all",
                "enable_idempotence": True,
                **options,
            }
        )
        try:
            yield client
        finally:
            client.close(timeout=HANGING_S)

    @contextmanager
    def consumer(self, *topics: str, **options: object) -> Iterator[KafkaConsumer]:
        """A kafka-python consumer, closed at the end."""
        client = KafkaConsumer(
            **{
                "bootstrap_servers": self.bootstrap_servers,
                "enable_auto_commit": False,
                "auto_offset_reset": "earliest",
                **options,
            },
        )
        try:
            # A group's leader that has not heard of a topic assigns nothing of it; what follows hangs now and then.
            for topic in topics:
                until(lambda topic=topic: client.partitions_for_topic(topic), what=f"hearing of {topic}")
            if topics:
                client.subscribe(topics)
            yield client
        finally:
            client.close(autocommit=False)


def _seek_to(consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    consumer.assign(list(offsets))
    for place, offset in offsets.items():
        consumer.seek(place, offset)


def _read(consumer: KafkaConsumer, topic: str) -> list[StoredRecord]:
    places = _places(consumer, topic)
    listed = consumer.end_offsets(places)
    begins = consumer.beginning_offsets(places)
    unread = {place for place in places if begins[place] < listed[place]}
    ends: dict[TopicPartition, int] = {}
    found: list[StoredRecord] = []
    _seek_to(consumer, {place: begins[place] for place in unread})

    def is_read() -> bool:
        for place, records in consumer.poll(timeout_ms=200, max_records=10_000).items() if unread else ():
            found.extend(
                _stored(record) for record in records if record.offset < ends.get(place, record.offset + 1)
            )
        for place in list(unread):
            high = consumer.highwater(place)
            if high is not None:
                ends.setdefault(place, high)  # what comes in later is not waited for
            if place in ends and consumer.position(place) >= ends[place]:
                unread.remove(place)
        return not unread

    until(is_read, what=f"reading {topic}", every_s=0)
    return found


def _stored(record: ConsumerRecord) -> StoredRecord:
    return StoredRecord(
        record.partition, record.offset, record.key, record.value, tuple(record.headers), record.timestamp
    )


def _ends(consumer: KafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    places = _places(consumer, topic)
    listed = consumer.end_offsets(places)
    begins = consumer.beginning_offsets(places)
    waiting = {place for place in places if begins[place] < listed[place]}
    ends = {place: listed[place] for place in places}
    _seek_to(consumer, {place: listed[place] - 1 for place in waiting})

    def is_known() -> bool:
        if waiting:
            consumer.poll(timeout_ms=100)
        for place in list(waiting):
            high = consumer.highwater(place)
            if high is not None:
                ends[place] = max(high, listed[place])
                waiting.remove(place)
        return not waiting

    until(is_known, what=f"answers to fetches of {topic}", every_s=0)
    return ends


def _places(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
