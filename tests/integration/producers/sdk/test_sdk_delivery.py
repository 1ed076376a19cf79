"""The SDK against real brokers: what is emitted arrives, whatever happens to the broker in between."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.waiting import HANGING_S
from tokentide import Producer, ProducerOptions

SOON = {"delivery_timeout_s": 4.0, "away_after_s": 0.5}
"""Where what is on its way has to come back: what takes longer than that to arrive is sent twice, on a slow machine too."""
AWAY_SOON = {"away_after_s": 0.5}
"""Where nothing is on its way, so that all arrives once."""


def options(folder: Path, **changes: object) -> ProducerOptions:
    return ProducerOptions(spool_folder=folder / "spool", **changes)


def test_events_arrive_once_packed_without_key_and_with_the_time_of_sending(broker, tmp_path, arrived):
    topic = broker.create_topic(partitions=3)
    before_ms = time.time() * 1000
    with Producer(
        broker.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path)
    ) as producer:
        for number in range(2000):
            producer.emit({"input_tokens": number, "timestamp": "2023-11-16T18:17:03Z"})
        assert producer.flush(HANGING_S)
        assert producer.stats().delivered == 2000
    assert arrived(broker, topic) == list(range(2000))
    records = broker.read_topic(topic)
    assert len(records) <= 2000 / 10
    assert all(before_ms - 1000 <= record.timestamp_ms <= time.time() * 1000 for record in records)
    assert all(record.key is None for record in records)


def test_all_partitions_get_their_share(broker, tmp_path):
    topic = broker.create_topic(partitions=3)
    with Producer(
        broker.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path)
    ) as producer:
        for _ in range(40):
            producer.emit({"input_tokens": 1})
            assert producer.flush(HANGING_S)
    assert {record.partition for record in broker.read_topic(topic)} == {0, 1, 2}


def test_connections_that_break_while_sending_cost_nothing(proxied_broker, tmp_path, arrived):
    broker, proxy = proxied_broker
    topic = broker.create_topic(partitions=2)
    with Producer(
        broker.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path)
    ) as producer:
        for number in range(1500):
            producer.emit({"input_tokens": number})
            if number % 300 == 150:
                proxy.reset_all()
            time.sleep(0.001)
        assert producer.flush(HANGING_S)
        assert producer.stats().dropped == {}
    received = arrived(broker, topic)
    assert sorted(set(received)) == list(range(1500))
    if broker.kind == "apache_kafka":  # whose memory of sequence numbers recognises what is sent again
        assert len(received) == 1500


def test_a_lost_acknowledgement_makes_no_second_record(proxied_broker, tmp_path, arrived):
    broker, proxy = proxied_broker
    topic = broker.create_topic()
    with Producer(
        broker.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path)
    ) as producer:
        producer.emit({"input_tokens": 0})
        assert producer.flush(HANGING_S)
        proxy.to_client.is_swallowed = True
        producer.emit({"input_tokens": 1})
        while not proxy.to_client.swallowed_bytes:
            time.sleep(0.01)
        proxy.heal()
        proxy.reset_all()
        assert producer.flush(HANGING_S)
    received = arrived(broker, topic)
    assert sorted(set(received)) == [0, 1]
    if broker.kind == "apache_kafka":
        assert received == [0, 1]


def test_what_is_emitted_before_kafka_is_there_arrives_when_it_comes(
    proxied_broker, tmp_path, arrived, eventually
):
    broker, proxy = proxied_broker
    topic = broker.create_topic()
    proxy.is_refusing = True
    producer = Producer(
        broker.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path, **AWAY_SOON)
    )
    for number in range(300):
        producer.emit({"input_tokens": number})
    eventually(lambda: producer.stats().in_spool == 300)
    assert not producer.stats().connected
    proxy.heal()
    for number in range(300, 310):
        producer.emit({"input_tokens": number})
    assert producer.flush(HANGING_S)
    assert arrived(broker, topic) == list(range(310))
    assert producer.close()
    assert list((tmp_path / "spool" / topic).iterdir()) == []


def test_a_long_outage_is_bridged_by_the_spool(proxied_broker, tmp_path, arrived, eventually):
    broker, proxy = proxied_broker
    topic = broker.create_topic(partitions=2)
    with Producer(
        broker.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path, **SOON)
    ) as producer:
        producer.emit({"input_tokens": 0})
        assert producer.flush(HANGING_S)
        proxy.is_refusing = True
        proxy.reset_all()
        for number in range(1, 500):
            producer.emit({"input_tokens": number})
            time.sleep(0.002)
        # Longer than the delivery time-out: what was on its way has to come back and go to the disk.
        eventually(lambda: producer.stats().in_spool == 499)
        proxy.heal()
        assert producer.flush(HANGING_S)
        assert producer.stats().dropped == {}
    assert sorted(set(arrived(broker, topic))) == list(range(500))


def test_a_broker_that_falls_silent_with_its_connections_open_is_bridged_too(
    proxied_broker, tmp_path, arrived, eventually
):
    broker, proxy = proxied_broker
    topic = broker.create_topic()
    with Producer(
        broker.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path, **SOON)
    ) as producer:
        producer.emit({"input_tokens": 0})
        assert producer.flush(HANGING_S)
        proxy.to_server.is_stalled = True
        for number in range(1, 100):
            producer.emit({"input_tokens": number})
            time.sleep(0.01)
        eventually(lambda: producer.stats().in_spool == 99)
        proxy.heal()
        assert producer.flush(HANGING_S)
    assert sorted(set(arrived(broker, topic))) == list(range(100))


@pytest.mark.apache_kafka
def test_a_broker_killed_and_started_again_while_emitting_has_every_event_once(
    own_apache_kafka, tmp_path, arrived
):
    topic = own_apache_kafka.create_topic(partitions=2)
    with Producer(
        own_apache_kafka.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path)
    ) as producer:
        for number in range(3000):
            if number == 1000:
                own_apache_kafka.server.kill()
            if number == 2000:
                own_apache_kafka.server.start()
            producer.emit({"input_tokens": number})
            time.sleep(0.001)
        assert producer.flush(HANGING_S)
        assert producer.stats().dropped == {}
    assert arrived(own_apache_kafka, topic) == list(range(3000))


@pytest.mark.apache_kafka
def test_events_too_large_for_the_topic_are_dropped_alone(apache_kafka, tmp_path, arrived):
    topic = apache_kafka.create_topic(configs={"max.message.bytes": "20000"})
    chosen = options(tmp_path, compression="none")
    with Producer(apache_kafka.bootstrap_servers, service="shop", topic=topic, options=chosen) as producer:
        for number in range(200):
            producer.emit({"input_tokens": number, "input": "x" * (30_000 if number % 50 == 7 else 500)})
        assert producer.flush(HANGING_S)
        assert producer.stats().dropped == {"too_large": 4}
    assert arrived(apache_kafka, topic) == [number for number in range(200) if number % 50 != 7]


@pytest.mark.apache_kafka
def test_a_topic_that_is_not_there_yet_is_named_and_waited_for(apache_kafka, tmp_path, arrived, eventually):
    topic = apache_kafka.unique("later")
    producer = Producer(
        apache_kafka.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path, **AWAY_SOON)
    )
    producer.emit({"input_tokens": 1})
    eventually(lambda: "create it with `tokentide init`" in (producer.stats().problem or ""))
    assert producer.stats().in_spool == 1
    apache_kafka.create_topic(topic)
    producer.emit({"input_tokens": 2})
    assert producer.flush(HANGING_S)
    producer.close()
    assert arrived(apache_kafka, topic) == [1, 2]


@pytest.mark.apache_kafka
def test_a_topic_that_is_deleted_costs_nothing_that_was_not_in_it(
    apache_kafka, tmp_path, arrived, eventually
):
    topic = apache_kafka.create_topic()
    with Producer(
        apache_kafka.bootstrap_servers, service="shop", topic=topic, options=options(tmp_path, **SOON)
    ) as producer:
        producer.emit({"input_tokens": 0})
        assert producer.flush(HANGING_S)
        apache_kafka.delete_topic(topic)
        for number in range(1, 50):
            producer.emit({"input_tokens": number})
            time.sleep(0.01)
        eventually(lambda: producer.stats().in_spool == 49)
        apache_kafka.create_topic(topic)
        assert producer.flush(HANGING_S)
    assert arrived(apache_kafka, topic) == list(range(1, 50))
