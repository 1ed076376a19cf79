"""The topic of incidents on real brokers."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from kafka import KafkaConsumer, KafkaProducer

from tests.support.brokers import Broker
from tokentide.schemas.anomaly import Anomaly
from tokentide.stream.detect.incident import Incident
from tokentide.stream.detect.messages import message
from tokentide.stream.detect.rules import ErrorRate, Reading
from tokentide.stream.detection_topic import AnomalyTopic


def anomaly(number: int, revision: int = 1) -> Anomaly:
    reading = Reading(Decimal("0.5"), Decimal("0.1"), None, 100)
    incident = Incident(number, "critical", reading, number + 1, number + 1, number + 1)
    return message(ErrorRate(), ("default", "checkout", "openai", "gpt-4o"), incident, revision=revision)


def topic_of(broker: Broker, name: str) -> AnomalyTopic:
    def producer() -> KafkaProducer:
        return KafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all", enable_idempotence=True)

    def reader() -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=broker.bootstrap_servers, group_id=None, enable_auto_commit=False
        )

    return AnomalyTopic(name, producer, reader)


def test_what_was_sent_is_heard_once_by_each_reader(broker: Broker) -> None:
    name = broker.create_topic(configs={"cleanup.policy": "compact"})

    async def story() -> None:
        ours, theirs = topic_of(broker, name), topic_of(broker, name)
        assert await ours.heard() == []
        await ours.send([anomaly(1), anomaly(2)])
        assert await theirs.heard() == [anomaly(1), anomaly(2)]
        await theirs.send([anomaly(1, revision=2)])
        assert await theirs.heard() == [anomaly(1, revision=2)]
        assert await ours.heard() == [anomaly(1), anomaly(2), anomaly(1, revision=2)]
        assert await ours.heard() == []
        await ours.close()
        await theirs.close()

    asyncio.run(story())


def test_messages_are_keyed_by_their_incident(broker: Broker) -> None:
    name = broker.create_topic(configs={"cleanup.policy": "compact"})

    async def story() -> None:
        ours = topic_of(broker, name)
        await ours.send([anomaly(1)])
        await ours.close()

    asyncio.run(story())
    (stored,) = broker.read_topic(name)
    assert stored.key == anomaly(1).anomaly_id.encode()


def test_what_is_no_incident_is_left_out(broker: Broker) -> None:
    name = broker.create_topic(configs={"cleanup.policy": "compact"})
    newer = anomaly(2).model_dump_json().replace('"schema_version":1', '"schema_version":2').encode()
    broker.produce(name, [b"{}", newer, anomaly(1).model_dump_json().encode()], key=b"k")
    if broker.kind == "apache_kafka":
        broker.produce(name, [None], key=b"k")

    async def story() -> None:
        ours = topic_of(broker, name)
        assert await ours.heard() == [anomaly(1)]
        await ours.close()

    asyncio.run(story())


def test_all_partitions_are_heard(broker: Broker) -> None:
    name = broker.create_topic(partitions=3)
    for partition in (0, 2):
        broker.produce(name, [anomaly(partition).model_dump_json().encode()], partition=partition, key=b"k")

    async def story() -> None:
        ours = topic_of(broker, name)
        assert sorted(found.started_at for found in await ours.heard()) == [
            anomaly(0).started_at,
            anomaly(2).started_at,
        ]
        await ours.close()

    asyncio.run(story())
