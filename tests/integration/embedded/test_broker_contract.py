"""What Tokentide needs of a Kafka broker, held against both: the embedded one and a real Apache Kafka.

Once with kafka-python (the SDK and the commands), once with aiokafka (the worker).
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.commit import OffsetCommitRequest
from kafka import TopicPartition
from kafka.errors import TopicAlreadyExistsError

from tests.support.aiokafka_producer_id import enable_producer_ids
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import HANGING_S, until

ILLEGAL_GENERATION = 22
UNKNOWN_MEMBER_ID = 25
BIG = 900_000

SHORT_SESSION = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
"""The embedded broker holds every join for half of the session time-out."""


def consume(broker, group: str, topic: str, count: int) -> list[tuple[int, int, bytes]]:
    """Join a group, read so many records, commit what was read, leave."""
    found = []
    with broker.consumer(topic, group_id=group, **SHORT_SESSION) as consumer:

        def has_all() -> bool:
            for records in consumer.poll(timeout_ms=200, max_records=count - len(found)).values():
                found.extend((record.partition, record.offset, record.value) for record in records)
            return len(found) == count

        until(has_all, what=f"reading {count} records")
        consumer.commit()
    return found


class TestTopics:
    def test_a_new_topic_has_the_partitions_asked_for(self, broker):
        topic = broker.create_topic(
            partitions=4, configs={"cleanup.policy": "delete", "retention.ms": "3600000"}
        )
        assert broker.end_offsets(topic) == {0: 0, 1: 0, 2: 0, 3: 0}
        assert broker.begin_offsets(topic) == {0: 0, 1: 0, 2: 0, 3: 0}

    def test_a_topic_cannot_be_created_twice(self, broker):
        topic = broker.create_topic(partitions=2)
        with pytest.raises(TopicAlreadyExistsError):
            broker.create_topic(topic, partitions=2)

    def test_a_deleted_topic_is_gone_with_its_records_and_a_new_one_has_another_id(self, broker):
        topic = broker.create_topic()
        broker.produce(topic, [b"old"])
        old_id = broker.topic_id(topic)
        broker.delete_topic(topic)
        with broker.admin() as admin:
            until(lambda: topic not in admin.list_topics())

        broker.create_topic(topic)
        assert broker.topic_id(topic) != old_id
        assert broker.read_topic(topic) == []


class TestRecords:
    def test_records_come_back_as_they_were_sent(self, broker):
        topic = broker.create_topic(partitions=2)
        with broker.producer(compression_type="lz4") as producer:
            sent = [
                producer.send(
                    topic, key=b"key", value=b"value", headers=[("h", b"1"), ("h", b"2")], partition=0
                ),
                producer.send(topic, key=None, value=b"", partition=0),
                producer.send(topic, key=b"", value=None, partition=1, timestamp_ms=1_700_000_000_000),
            ]
            for future in sent:
                future.get(timeout=HANGING_S)
        records = broker.read_topic(topic)
        assert [(r.partition, r.offset, r.key, r.value, r.headers) for r in records] == [
            (0, 0, b"key", b"value", (("h", b"1"), ("h", b"2"))),
            (0, 1, None, b"", ()),
            (1, 0, b"", None, ()),
        ]
        assert records[2].timestamp_ms == 1_700_000_000_000

    @pytest.mark.parametrize("compression", [None, "gzip", "lz4"])
    def test_an_idempotent_producer_fills_offsets_without_gap_in_the_order_of_sending(
        self, broker, compression
    ):
        topic = broker.create_topic()
        values = [b"%d" % number for number in range(5000)]
        broker.produce(topic, values, compression_type=compression)
        records = broker.read_topic(topic)
        assert [record.offset for record in records] == list(range(5000))
        assert [record.value for record in records] == values

    def test_a_record_of_900_kb_passes(self, broker):
        topic = broker.create_topic()
        broker.produce(topic, [b"before", b"x" * BIG, b"after"])
        assert [len(record.value) for record in broker.read_topic(topic)] == [6, BIG, 5]

    def test_ends_are_those_of_the_log_whatever_the_batches(self, broker):
        topic = broker.create_topic(partitions=2)
        sent = 0
        for count in (1, 10, 1, 300):
            broker.produce(topic, [b"x"] * count, partition=0)
            sent += count
            assert broker.end_offsets(topic) == {0: sent, 1: 0}

    def test_an_answer_that_is_lost_makes_no_second_copy(self, proxied_broker):
        broker, proxy = proxied_broker
        topic = broker.create_topic()
        broker.produce(topic, [b"first"])
        with broker.producer(request_timeout_ms=5_000, retry_backoff_ms=50) as producer:
            producer.send(topic, b"second", partition=0).get(
                timeout=HANGING_S
            )  # connected, with a producer id
            retried_over_a_lost_answer(proxy, lambda: producer.send(topic, b"third", partition=0))
        values = [record.value for record in broker.read_topic(topic)]
        assert values == [b"first", b"second", b"third"]


def retried_over_a_lost_answer(proxy: TcpProxy, send) -> None:
    """Let a request reach the broker, lose the answer and the connection, and wait for the retry's success."""
    swallowed = proxy.to_client.swallowed_bytes
    proxy.to_client.is_swallowed = True
    future = send()
    until(lambda: proxy.to_client.swallowed_bytes > swallowed)
    proxy.reset_all()
    proxy.heal()
    future.get(timeout=HANGING_S)


class Member:
    """A member of a group that polls in a thread of its own: one that waits for a rebalance must not stop others."""

    def __init__(self, broker, group: str, topic: str) -> None:
        self.owned: set[int] = set()
        self._is_leaving = threading.Event()
        self._thread = threading.Thread(target=self._live, args=(broker, group, topic), daemon=True)

    def _live(self, broker, group: str, topic: str) -> None:
        with broker.consumer(topic, group_id=group, **SHORT_SESSION) as consumer:
            while not self._is_leaving.is_set():
                consumer.poll(timeout_ms=50)
                self.owned = {place.partition for place in consumer.assignment()}

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._is_leaving.set()
        self._thread.join()


class TestGroups:
    def test_a_group_goes_on_where_it_has_committed(self, broker):
        topic, group = broker.create_topic(partitions=2), broker.unique("group")
        for partition in (0, 1):
            broker.produce(topic, [b"%d" % number for number in range(50)], partition=partition)
        first = consume(broker, group, topic, 60)
        second = consume(broker, group, topic, 40)
        assert sorted(first + second) == [(p, o, b"%d" % o) for p in (0, 1) for o in range(50)]
        assert broker.committed(group, topic) == {0: 50, 1: 50}

    def test_a_group_that_never_committed_has_no_offsets(self, broker):
        topic = broker.create_topic()
        assert broker.committed(broker.unique("nobody"), topic) == {}

    def test_offsets_can_be_set_for_a_group_without_members(self, broker):
        topic, group = broker.create_topic(), broker.unique("group")
        broker.produce(topic, [b"a", b"b", b"c"])
        with broker.consumer(group_id=group) as consumer:
            consumer.assign([TopicPartition(topic, 0)])
            consumer.seek(TopicPartition(topic, 0), 2)
            consumer.commit()
        assert broker.committed(group, topic) == {0: 2}
        assert consume(broker, group, topic, 1) == [(0, 2, b"c")]

    def test_two_members_share_the_partitions_and_one_takes_over_when_the_other_leaves(self, broker):
        topic, group = broker.create_topic(partitions=4), broker.unique("group")
        with Member(broker, group, topic) as stays:
            with Member(broker, group, topic) as leaves:
                until(lambda: len(stays.owned) == len(leaves.owned) == 2 and not stays.owned & leaves.owned)
            until(lambda: len(stays.owned) == 4)

    def test_a_commit_of_another_generation_or_of_a_stranger_is_refused(self, broker):
        topic, group = broker.create_topic(), broker.unique("group")
        broker.produce(topic, [b"x"] * 10)
        with broker.consumer(topic, group_id=group, **SHORT_SESSION) as consumer:
            until(lambda: consumer.poll(timeout_ms=200))
            member = consumer.group_metadata()
            generation, name = member.generation_id, member.member_id
            codes = asyncio.run(
                commit_codes(
                    broker,
                    group,
                    topic,
                    [
                        (generation, name),
                        (generation + 1, name),
                        (generation - 1, name),
                        (generation, "stranger"),
                    ],
                )
            )
        assert codes == [0, ILLEGAL_GENERATION, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID]
        assert broker.committed(group, topic) == {0: 3}


async def commit_codes(broker, group: str, topic: str, members: list[tuple[int, str]]) -> list[int]:
    """Commit offset 3 in the name of each member; return the broker's error codes."""
    client = AIOKafkaClient(bootstrap_servers=broker.bootstrap_servers)
    await client.bootstrap()
    try:
        node = next(
            iter(client.cluster.brokers())
        ).nodeId  # the only one, so it is the group's coordinator too
        codes = []
        for generation, name in members:
            answer = await client.send(
                node, OffsetCommitRequest(group, generation, name, -1, [(topic, [(0, 3, "")])])
            )
            codes.append(answer.topics[0][1][0][1])
        return codes
    finally:
        await client.close()


class TestAiokafka:
    @pytest.fixture(autouse=True)
    def _producer_ids(self):
        enable_producer_ids()

    def test_an_idempotent_lz4_producer_and_a_group_carry_records_over_a_restart(self, broker):
        topic, group = broker.create_topic(partitions=2), broker.unique("group")

        async def scenario() -> tuple[list[int], list[int]]:
            async with AIOKafkaProducer(
                bootstrap_servers=broker.bootstrap_servers,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=5,
            ) as producer:
                sends = [await producer.send(topic, b"%d" % n, partition=n % 2) for n in range(2000)]
                await asyncio.gather(*sends)
            return await read(1200), await read(800)

        async def read(count: int) -> list[int]:
            found: list[int] = []
            async with AIOKafkaConsumer(
                topic,
                bootstrap_servers=broker.bootstrap_servers,
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                metadata_max_age_ms=1_000,
                **SHORT_SESSION,
            ) as consumer:
                while len(found) < count:
                    batches = await asyncio.wait_for(
                        consumer.getmany(timeout_ms=500, max_records=count - len(found)), HANGING_S
                    )
                    found += [int(record.value) for records in batches.values() for record in records]
                await consumer.commit()
            return found

        first, second = asyncio.run(scenario())
        assert sorted(first + second) == list(range(2000))
        assert broker.committed(group, topic) == {0: 1000, 1: 1000}
        assert [r.value for r in broker.read_topic(topic)] == [
            b"%d" % n for s in (0, 1) for n in range(s, 2000, 2)
        ]

    def test_the_high_watermark_of_fetches_is_the_end_of_the_log(self, broker):
        topic = broker.create_topic()
        broker.produce(topic, [b"x"] * 500)

        async def scenario() -> int | None:
            place = AioTopicPartition(topic, 0)
            async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers) as consumer:
                consumer.assign([place])
                consumer.seek(place, 0)
                await asyncio.wait_for(consumer.getmany(timeout_ms=10_000, max_records=1), HANGING_S)
                high: int | None = consumer.highwater(place)
                return high

        assert asyncio.run(scenario()) == 500

    def test_a_record_of_900_kb_passes(self, broker):
        topic = broker.create_topic()

        async def scenario() -> int:
            async with AIOKafkaProducer(
                bootstrap_servers=broker.bootstrap_servers,
                enable_idempotence=True,
                max_request_size=BIG + 10_000,
            ) as producer:
                await producer.send_and_wait(topic, b"y" * BIG)
            async with AIOKafkaConsumer(
                topic, bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest"
            ) as consumer:
                return len((await asyncio.wait_for(consumer.getone(), HANGING_S)).value)

        assert asyncio.run(scenario()) == BIG

    def test_an_answer_that_is_lost_makes_no_second_copy(self, proxied_broker):
        broker, proxy = proxied_broker
        topic = broker.create_topic()

        async def scenario() -> None:
            async with AIOKafkaProducer(
                bootstrap_servers=broker.bootstrap_servers,
                enable_idempotence=True,
                request_timeout_ms=5000,
                retry_backoff_ms=50,
            ) as producer:
                await producer.send_and_wait(topic, b"first", partition=0)
                proxy.to_client.is_swallowed = True
                future = await producer.send(topic, b"second", partition=0)
                await asyncio.to_thread(until, lambda: proxy.to_client.swallowed_bytes > 0)
                proxy.reset_all()
                proxy.heal()
                await asyncio.wait_for(future, HANGING_S)

        asyncio.run(scenario())
        assert [record.value for record in broker.read_topic(topic)] == [b"first", b"second"]
