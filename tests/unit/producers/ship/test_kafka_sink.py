"""The sink that waits for every acknowledgement, against a producer that answers, refuses or is silent."""

from __future__ import annotations

import gc
import io
import json
import logging
import warnings
from collections import Counter

import pytest

from tokentide.producers.bulk import KafkaSink, NdjsonSink, open_kafka_sink
from tokentide.producers.compact_json import encode_event
from tokentide.producers.kafka_transport import load_client
from tokentide.producers.packing import Packed, unpack
from tokentide.producers.traffic_errors import ConnectError, DeliveryError

load_client()

from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError  # noqa: E402 - it warns when it is loaded
from kafka.partitioner import murmur2  # noqa: E402 - as above


class Answer:
    def __init__(self, error: Exception | None, *, is_done: bool) -> None:
        self._error = error
        self.is_done = is_done
        self.waited = 0

    def get(self, timeout=None):  # noqa: ARG002 - as kafka-python has it
        self.waited += 1
        self.is_done = True
        if self._error is not None:
            raise self._error
        return object()


class AnsweringProducer:
    """Takes records; the answers are there at once, or only when waited for."""

    def __init__(self, *, partitions=(0, 1, 2), answers_at_once=True, refuses_record=None) -> None:
        self._partitions = partitions
        self._answers_at_once = answers_at_once
        self._refuses = refuses_record
        self.records: list[tuple[int, bytes]] = []
        self.keys: list[bytes | None] = []
        self.answers: list[Answer] = []
        self.is_closed = False

    def partitions_for(self, topic):  # noqa: ARG002 - as above
        return set(self._partitions)

    def send(self, topic, value, *, key, partition):  # noqa: ARG002 - as above
        error = KafkaTimeoutError("gone") if self._refuses == len(self.records) else None
        self.records.append((partition, value.value))
        self.keys.append(None if key is None else key.value)
        self.answers.append(Answer(error, is_done=self._answers_at_once))
        return self.answers[-1]

    def close(self, timeout=None):  # noqa: ARG002 - as above
        self.is_closed = True


def events_of(value: bytes) -> list[dict]:
    found = json.loads(value)
    return found if isinstance(found, list) else [found]


def event(number: int) -> dict:
    return {"event_id": f"e{number}", "service": "a"}


def send_all(sink: KafkaSink, count: int) -> None:
    for number in range(count):
        sink.send(event(number))


def test_events_are_packed_and_every_one_arrives_once():
    producer = AnsweringProducer()
    sink = KafkaSink(producer, "t", pack_events=10)
    for number in range(95):
        sink.send(event(number))
    sink.close()
    arrived = Counter(e["event_id"] for _, value in producer.records for e in events_of(value))
    assert arrived == Counter(f"e{n}" for n in range(95))
    assert sink.acknowledged == 95
    assert producer.is_closed


def test_a_packed_record_has_the_layout_that_workers_split_without_parsing():
    producer = AnsweringProducer(partitions=(0,))
    sink = KafkaSink(producer, "t", pack_events=2)
    sink.send(b'{"event_id":"a"}', "a")
    sink.send(b'{"event_id":"b"}', "b")
    sink.flush()
    assert producer.records == [(0, b'[{"event_id":"a"},\n{"event_id":"b"}]')]
    assert unpack(Packed(producer.records[0][1], 2)) == [b'{"event_id":"a"}', b'{"event_id":"b"}']


def test_an_event_sent_again_goes_to_the_partition_of_the_first_however_it_is_packed():
    places: dict[str, set[int]] = {}
    for pack_events in (1, 3, 50):
        producer = AnsweringProducer(partitions=(0, 1, 2, 3))
        sink = KafkaSink(producer, "t", pack_events=pack_events)
        for number in range(60):
            line = json.dumps(event(number)).encode()
            if number % 2:
                sink.send(event(number))
            else:
                sink.send(line, f"e{number}")
        sink.flush()
        for partition, value in producer.records:
            for found in events_of(value):
                places.setdefault(found["event_id"], set()).add(partition)
    assert all(len(found) == 1 for found in places.values())
    assert {next(iter(found)) for found in places.values()} == {0, 1, 2, 3}


def part(number: int, kind: str, request_id: str | None) -> dict:
    return {"event_id": f"{kind}{number}", "event_type": kind, "request_id": request_id}


def test_parts_go_alone_and_at_once_in_order_where_any_client_sends_their_request_id():
    producer = AnsweringProducer(partitions=(0, 1, 2, 5))
    sink = KafkaSink(producer, "t")
    sent = [
        part(number, kind, f"r{number}")
        for number in range(40)
        for kind in ("request", "response", "evaluation")
    ]
    for index, one in enumerate(sent):
        sink.send(event(index))
        sink.send(one if index % 2 else encode_event(one), one["event_id"])
    assert [json.loads(value) for _, value in producer.records] == sent
    assert producer.keys == [one["request_id"].encode() for one in sent]
    assert [partition for partition, _ in producer.records] == [
        (0, 1, 2, 5)[murmur2(key) % 2**31 % 4] for key in producer.keys
    ]
    assert len({partition for partition, _ in producer.records}) == 4
    sink.close()
    assert sink.acknowledged == 240
    assert set(producer.keys[120:]) == {None}
    assert len(producer.records) == 124


def test_a_part_without_request_id_is_sent_alone_without_key_where_its_id_says():
    producer = AnsweringProducer()
    sink = KafkaSink(producer, "t")
    for _ in range(2):
        for number in range(9):
            sink.send(part(number, "request", None))
    assert producer.keys == [None] * 18
    assert producer.records[:9] == producer.records[9:]
    assert {partition for partition, _ in producer.records} == {0, 1, 2}


def test_packs_do_not_wait_for_ever_while_only_parts_come():
    now_s = [0.0]
    producer = AnsweringProducer()
    sink = KafkaSink(producer, "t", clock=lambda: now_s[0])
    sink.send(event(1))
    now_s[0] = 1.5
    sink.send(part(1, "request", "r"))
    assert [events_of(value)[0]["event_id"] for _, value in producer.records] == ["request1", "e1"]


def test_a_pack_is_closed_before_it_is_too_large():
    producer = AnsweringProducer(partitions=(0,))
    sink = KafkaSink(producer, "t", pack_bytes=1_000)
    for number in range(20):
        sink.send({"event_id": str(number), "x": "y" * 300})
    sink.flush()
    assert all(len(value) <= 1_000 for _, value in producer.records)
    assert [len(events_of(value)) for _, value in producer.records] == [3, 3, 3, 3, 3, 3, 2]


def test_an_event_larger_than_a_pack_gets_a_record_of_its_own():
    producer = AnsweringProducer(partitions=(0,))
    sink = KafkaSink(producer, "t", pack_bytes=1_000)
    sink.send(event(1))
    sink.send({"event_id": "2", "x": "y" * 5_000})
    sink.flush()
    assert [len(events_of(value)) for _, value in producer.records] == [1, 1]


def test_bytes_that_are_no_event_travel_alone():
    producer = AnsweringProducer(partitions=(0,))
    sink = KafkaSink(producer, "t")
    sink.send(event(1))
    sink.send_alone(b"\xff no json")
    sink.send(event(2))
    sink.flush()
    alone, packed = producer.records
    assert alone == (0, b"\xff no json")
    assert [found["event_id"] for found in events_of(packed[1])] == ["e1", "e2"]
    assert sink.acknowledged == 3


def test_sending_waits_while_too_much_is_unacknowledged():
    producer = AnsweringProducer(partitions=(0,), answers_at_once=False)
    sink = KafkaSink(producer, "t", pack_events=1, in_flight_bytes=100)
    for number in range(10):
        sink.send(event(number))
        unanswered = sum(
            len(value)
            for (_, value), answer in zip(producer.records, producer.answers, strict=True)
            if not answer.is_done
        )
        assert unanswered <= 100
    assert sink.acknowledged == 7


def test_a_refused_record_is_an_error_that_tells_what_was_acknowledged_before():
    producer = AnsweringProducer(partitions=(0,), refuses_record=2)
    sink = KafkaSink(producer, "t", pack_events=5)
    with pytest.raises(DeliveryError, match=r"\(KafkaTimeoutError\); 10 events were acknowledged"):
        send_all(sink, 100)


def test_after_a_refused_record_closing_sends_nothing_more():
    producer = AnsweringProducer(partitions=(0,), refuses_record=0)
    sink = KafkaSink(producer, "t", pack_events=5)
    with pytest.raises(DeliveryError):
        send_all(sink, 12)
    sent = len(producer.records)
    sink.send(event(99))
    sink.close()
    assert len(producer.records) == sent
    assert producer.is_closed


def test_a_record_that_the_client_will_not_take_is_an_error_too():
    class RefusingProducer(AnsweringProducer):
        def send(self, topic, value, *, key, partition):  # noqa: ARG002 - as above
            raise MessageSizeTooLargeError("too large")

    sink = KafkaSink(RefusingProducer(), "t")
    with pytest.raises(DeliveryError, match="MessageSizeTooLargeError"):
        sink.send_alone(b"x")


def test_open_packs_are_sent_when_events_come_slowly():
    now_s = [0.0]
    producer = AnsweringProducer(partitions=(0,))
    sink = KafkaSink(producer, "t", clock=lambda: now_s[0])
    sink.send(event(1))
    assert not producer.records
    now_s[0] = 1.5
    sink.send(event(2))
    assert len(producer.records) == 1


def test_pushing_sends_without_waiting_for_answers():
    producer = AnsweringProducer(partitions=(0,), answers_at_once=False)
    sink = KafkaSink(producer, "t")
    sink.send(event(1))
    sink.push()
    assert len(producer.records) == 1
    assert producer.answers[0].waited == 0
    assert sink.acknowledged == 0


def test_a_topic_without_partitions_is_refused_with_the_remedy():
    with pytest.raises(ConnectError, match="tokentide init"):
        KafkaSink(AnsweringProducer(partitions=()), "t")


def test_a_broker_that_is_not_there_is_named(caplog):
    caplog.set_level(logging.CRITICAL, "kafka")  # its log records would keep the sockets alive
    with warnings.catch_warnings():
        # kafka-python 3.0.12 forgets to close the sockets of refused connections.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(ConnectError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
            open_kafka_sink("127.0.0.1:1", "t", timeout_s=0.3)
        gc.collect()


def test_lines_go_to_a_stream_as_they_are():
    stream = io.BytesIO()
    sink = NdjsonSink(stream)
    sink.send({"event_id": "é"})
    sink.send(b'{"a": 1.50}')
    sink.send_alone(b"\xff")
    sink.close()
    assert stream.getvalue() == '{"event_id":"é"}\n{"a": 1.50}\n'.encode() + b"\xff\n"
    assert sink.acknowledged == 3
    assert not stream.closed


def test_events_are_written_as_json_reads_them_half_characters_too():
    event = {"a": "é\u2028", "b": [1.5, None, True, 10**20], "c": {"d": 1e-7, "e": "\n"}}
    assert json.loads(encode_event(event)) == event
    assert b"\n" not in encode_event(event)
    broken = {"a": "\ud800"}
    assert encode_event(broken) == b'{"a":"\\ud800"}'
