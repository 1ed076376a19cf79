"""Events in parts on real brokers: all of one request are in one partition, in order, whoever sent them and whatever came between."""

from __future__ import annotations

import io
import json

from tests.support.brokers import Broker
from tests.support.waiting import HANGING_S
from tokentide import Producer, ProducerOptions
from tokentide.producers.bulk import open_kafka_sink
from tokentide.producers.progress import Progress
from tokentide.producers.ship import ShipOptions, ship

PARTITIONS = 5


def sequences(broker: Broker, topic: str) -> dict[str, list[str]]:
    """Types of the events of each request, in the order of the one partition that has them."""
    found: dict[str, list[str]] = {}
    places: dict[str, set[int]] = {}
    for record in broker.read_topic(topic):
        event = json.loads(record.value)
        if isinstance(event, dict) and "event_type" in event:
            request_id = event["request_id"]
            assert record.key == request_id.encode()
            found.setdefault(request_id, []).append(event["event_type"])
            places.setdefault(request_id, set()).add(record.partition)
        else:
            assert record.key is None
    assert all(len(partitions) == 1 for partitions in places.values())
    assert len(set.union(*places.values())) > 1
    return found


def shipped(broker: Broker, topic: str, events: list[dict[str, object]]) -> None:
    sink = open_kafka_sink(broker.bootstrap_servers, topic)
    lines = b"\n".join(json.dumps(event).encode() for event in events)
    progress = Progress("test", stream=io.StringIO(), style="quiet")
    report = ship(io.BytesIO(lines), sink, ShipOptions(), progress=progress)
    sink.close()
    assert (report.acknowledged, report.invalid) == (len(events), 0)


def test_a_request_of_another_client_its_answer_from_the_sdk_and_a_shipped_evaluation_meet(broker, tmp_path):
    topic = broker.create_topic(partitions=PARTITIONS)
    ids = [f"request-é-{number}" for number in range(60)]
    with broker.producer() as client:  # with the default partitioner
        for request_id in ids:
            request = {"event_type": "request", "event_id": f"q{request_id}", "request_id": request_id}
            client.send(topic, key=request_id.encode(), value=json.dumps(request).encode())
        client.flush()
    with Producer(
        broker.bootstrap_servers,
        service="shop",
        topic=topic,
        options=ProducerOptions(spool_folder=tmp_path / "spool"),
    ) as producer:
        for request_id in ids:
            producer.emit({"input_tokens": 1, "request_id": request_id})
            producer.emit({"event_type": "response", "request_id": request_id})
        assert producer.flush(HANGING_S)
    common = {"service": "shop", "timestamp": "2026-01-31T12:00:00Z"}
    score = {"event_type": "evaluation", "quality": {"score": 1}}
    shipped(broker, topic, [{**common, **score, "event_id": f"v{i}", "request_id": i} for i in ids])
    assert sequences(broker, topic) == {key: ["request", "response", "evaluation"] for key in ids}
    calls = [record.value for record in broker.read_topic(topic) if record.key is None]
    assert len(calls) < 10
    assert sum(value.count(b'"input_tokens"') for value in calls) == 60


def test_parts_that_waited_on_disk_have_their_keys_and_meet_those_sent_before_and_after(
    proxied_broker, tmp_path, eventually
):
    broker, proxy = proxied_broker
    topic = broker.create_topic(partitions=PARTITIONS)
    ids = [f"r-{number}" for number in range(40)]
    chosen = ProducerOptions(spool_folder=tmp_path / "spool", delivery_timeout_s=4.0, away_after_s=0.5)
    with Producer(broker.bootstrap_servers, service="shop", topic=topic, options=chosen) as producer:

        def emit(kind: str) -> None:
            for request_id in ids:
                producer.emit({"event_type": kind, "request_id": request_id})

        emit("request")
        assert producer.flush(HANGING_S)
        proxy.is_refusing = True
        proxy.reset_all()
        emit("response")
        eventually(lambda: producer.stats().in_spool == len(ids))
        proxy.heal()
        emit("evaluation")
        assert producer.flush(HANGING_S)
        assert producer.stats().dropped == {}
    # What was on its way when the connection broke may have been written twice.
    once = {request_id: list(dict.fromkeys(kinds)) for request_id, kinds in sequences(broker, topic).items()}
    assert once == {key: ["request", "response", "evaluation"] for key in ids}


def test_types_that_nobody_knows_break_nothing(broker, tmp_path):
    topic = broker.create_topic(partitions=PARTITIONS)
    with Producer(
        broker.bootstrap_servers,
        service="shop",
        topic=topic,
        options=ProducerOptions(spool_folder=tmp_path / "spool"),
    ) as producer:
        for kind in ["requset", "", None, ["request"], {"a": 1}]:
            producer.emit({"event_type": kind, "request_id": "r", "input_tokens": 1})
            producer.emit({"event_type": "call", "request_id": "r", "input_tokens": 1})
        assert producer.flush(HANGING_S)
        assert producer.stats().delivered == 10
    records = broker.read_topic(topic)
    assert {record.key for record in records} == {None}
    assert sum(record.value.count(b'"input_tokens"') for record in records) == 10
