"""Offsets of a topic and of a group, from a real broker.

What fetches does so with a client of its own: kafka-python 3.0 loops for ever in a client that has met records of a
compression it cannot read, as lz4 is in the base install.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tokentide.cli.exits import NotReadyError
from tokentide.cli.kafka_access import consumer
from tokentide.cli.kafka_patience import asked_by_new_clients, patiently
from tokentide.cli.topics import described_topics
from tokentide.config import KafkaSettings

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from kafka.admin import KafkaAdminClient

_ENDS_WITHIN_S: Final = 8.0
_LOOK_S: Final = 1.0


def end_offsets(kafka: KafkaSettings, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Offset after the last record, by partition.

    The broker's own answer to "latest" is not enough: Tansu 0.6 counts a batch of records as one there.
    Its fetch answers carry the right end, so one record of each partition is fetched.
    """
    with consumer(kafka) as client:
        return fetched_ends(client, topic, partitions)


def fetched_ends(client: KafkaConsumer, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """See `end_offsets`; the client must not be used again."""
    from kafka import TopicPartition, errors  # noqa: PLC0415 - loaded by now

    places = [TopicPartition(topic, partition) for partition in partitions]
    listed = client.end_offsets(places)
    begin = client.beginning_offsets(places)
    ends = {place.partition: listed[place] for place in places}
    unknown = [place for place in places if listed[place] > begin[place]]
    client.assign(unknown)
    for place in unknown:
        client.seek(place, listed[place] - 1)
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while unknown and time.monotonic() < deadline:
        try:
            client.poll(timeout_ms=200, max_records=1)
        except errors.UnsupportedCodecError:
            break  # the list is right on every broker but the embedded one, whose extra can read lz4
        for place in list(unknown):
            high = client.highwater(place)
            if high is not None:
                ends[place.partition] = max(high, listed[place])
                unknown.remove(place)
    return ends


def committed_offsets(admin: KafkaAdminClient, group_id: str, topic: str) -> dict[int, int]:
    """What a group has committed, by partition; partitions without a commit are left out.

    Raises:
        kafka.errors.KafkaError: among others that the coordinator is not there yet: a broker that has never seen a group
            creates its offsets topic first.
    """
    by_place: Mapping[Any, Any] = admin.list_group_offsets(group_id).get(group_id, {})
    return {
        place.partition: entry.offset
        for place, entry in by_place.items()
        if place.topic == topic and entry.offset >= 0
    }


class KafkaOffsets:
    """The offsets of the events topic and of the workers' group. What passes is asked for again, for some seconds.

    Raises:
        NotReadyError: at construction: there is no such topic.
    """

    def __init__(self, kafka: KafkaSettings, admin: KafkaAdminClient, *, topic: str, group_id: str) -> None:
        self._kafka = kafka
        self._admin = admin
        self.topic = topic
        self._group_id = group_id
        (described,) = described_topics(admin, [topic])
        if described["error_code"]:
            raise NotReadyError(
                f"the topic {topic} does not exist", hint="`tokentide init` creates the topics."
            )
        self.topic_id = str(described["topic_id"])
        """The broker's id of the topic: another one after the topic was created anew."""
        self.partitions = sorted(int(part["partition_index"]) for part in described["partitions"])

    def bounds(self) -> Mapping[int, tuple[int, int]]:
        """First offset still there and the offset after the last record, by partition."""
        return patiently(self._bounds)

    def _bounds(self) -> Mapping[int, tuple[int, int]]:
        from kafka import TopicPartition  # noqa: PLC0415 - loaded by now

        with consumer(self._kafka) as client:
            begin = client.beginning_offsets([TopicPartition(self.topic, p) for p in self.partitions])
            end = fetched_ends(client, self.topic, self.partitions)
        return {place.partition: (offset, end[place.partition]) for place, offset in begin.items()}

    def committed(self) -> Mapping[int, int]:
        """Committed offsets of the group."""
        return asked_by_new_clients(
            self._kafka, self._admin, lambda admin: committed_offsets(admin, self._group_id, self.topic)
        )

    def has_records(self, partition: int, begin: int, end: int) -> bool:
        """Whether any record lies in `[begin, end)`; True where that cannot be seen."""
        return patiently(lambda: self._has_records(partition, begin, end))

    def _has_records(self, partition: int, begin: int, end: int) -> bool:
        from kafka import TopicPartition, errors  # noqa: PLC0415 - loaded by now

        place = TopicPartition(self.topic, partition)
        with consumer(self._kafka) as client:
            # No pausing anywhere here: kafka-python keeps a paused partition's records for later, past a seek.
            client.assign([place])
            client.seek(place, begin)
            deadline = time.monotonic() + _LOOK_S
            while time.monotonic() < deadline:
                try:
                    fetched = client.poll(timeout_ms=200, max_records=1)
                except errors.UnsupportedCodecError:
                    return True
                for records in fetched.values():
                    return bool(records) and records[0].offset < end
                if client.position(place) >= end:
                    return False
        return True

    def newest_timestamp_ms(self) -> int | None:
        """Kafka's time of the newest records, ms since 1970; None where there are none that can be read."""
        last = {partition: end - 1 for partition, (_, end) in self.bounds().items() if end > 0}
        found = patiently(lambda: self._timestamps_ms(last))
        return max((max(times) for times in found.values()), default=None)

    def oldest_timestamp_ms(self, starts: Mapping[int, int]) -> int | None:
        """Kafka's time of the oldest record of those from these offsets on, by partition; None where none can be read."""
        found = patiently(lambda: self._timestamps_ms(starts))
        return min((times[0] for times in found.values()), default=None)

    def _timestamps_ms(self, starts: Mapping[int, int]) -> dict[int, list[int]]:
        """Times of the first records from these offsets on, in their order; what cannot be read soon is left out."""
        from kafka import TopicPartition, errors  # noqa: PLC0415 - loaded by now

        places = [TopicPartition(self.topic, partition) for partition in starts]
        found: dict[int, list[int]] = {}
        with consumer(self._kafka) as client:
            client.assign(places)
            for place in places:
                client.seek(place, starts[place.partition])
            deadline = time.monotonic() + _LOOK_S
            while len(found) < len(places) and time.monotonic() < deadline:
                try:
                    fetched = client.poll(timeout_ms=100)
                except errors.UnsupportedCodecError:
                    break
                for place, records in fetched.items():
                    if records:
                        found.setdefault(place.partition, [record.timestamp for record in records])
        return found
