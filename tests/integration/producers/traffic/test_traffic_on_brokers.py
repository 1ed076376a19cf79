"""The tools against real brokers: everything arrives once, in packed records, and losses are told."""

from __future__ import annotations

import io
import json
from collections import Counter

import pytest

from tokentide.producers.bulk import open_kafka_sink
from tokentide.producers.progress import Progress
from tokentide.producers.replay.load import parse_mapping
from tokentide.producers.replay.options import ReplayOptions
from tokentide.producers.replay.run import replay
from tokentide.producers.ship import ShipOptions, ship
from tokentide.producers.simulate.incidents import parse_incident
from tokentide.producers.simulate.run import RunOptions, run_simulation
from tokentide.producers.simulate.truth import Truth
from tokentide.producers.traffic_errors import ConnectError, DeliveryError

# kafka-python leaves it to the garbage collector to close sockets whose connection was refused.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

MAPPING = '[time]\ncolumn = "t"\nunit = "s"\n[fields]\nservice = { constant = "x" }\ninput_tokens = "n"\n'
PARTITIONS = 3


def quiet() -> Progress:
    return Progress("test", stream=io.StringIO(), style="quiet")


def placed_events(broker, topic: str) -> list[tuple[int, dict]]:
    """(partition, event) of everything in the topic."""
    found = []
    for record in broker.read_topic(topic):
        value = json.loads(record.value)
        found += [(record.partition, event) for event in (value if isinstance(value, list) else [value])]
    return found


def replay_into(broker, topic: str, rows: int):
    content = "t,n\n" + "".join(f"{1_700_000_000 + n // 7},{n}\n" for n in range(rows))
    sink = open_kafka_sink(broker.bootstrap_servers, topic)
    report = replay(
        io.BytesIO(content.encode()), parse_mapping(MAPPING, "m"), sink, ReplayOptions(), progress=quiet()
    )
    sink.close()
    return report


def test_a_replayed_trace_arrives_once_packed_and_spread_over_the_partitions(broker):
    topic = broker.create_topic(partitions=PARTITIONS)
    report = replay_into(broker, topic, 5_000)
    found = placed_events(broker, topic)
    assert report.acknowledged == 5_000
    assert Counter(event["input_tokens"] for _, event in found) == Counter(range(5_000))
    assert set(Counter(partition for partition, _ in found)) == set(range(PARTITIONS))
    assert len(broker.read_topic(topic)) < 100


def test_a_trace_replayed_again_sends_each_event_to_the_partition_of_the_first(broker):
    topic = broker.create_topic(partitions=PARTITIONS)
    replay_into(broker, topic, 1_000)
    replay_into(broker, topic, 2_000)
    places: dict[str, set[int]] = {}
    for partition, event in placed_events(broker, topic):
        places.setdefault(event["event_id"], set()).add(partition)
    assert len(places) == 2_000
    assert all(len(partitions) == 1 for partitions in places.values())


def test_made_up_traffic_arrives_as_its_truth_says(broker):
    topic = broker.create_topic(partitions=PARTITIONS)
    truth = Truth()
    run = RunOptions(
        history_s=60, is_live=False, rate_per_second=50, incidents=(parse_incident("reject_burst:rate=0.1"),)
    )
    sink = open_kafka_sink(broker.bootstrap_servers, topic)
    report = run_simulation(run, sink, progress=quiet(), truth=truth)
    sink.close()
    values = [record.value for record in broker.read_topic(topic)]
    items = [
        item for value in values for item in (value[1:-1].split(b",\n") if value[:1] == b"[" else [value])
    ]
    assert len(items) == report.sent == report.acknowledged == truth.events + sum(truth.rejects.values())


def test_shipped_lines_arrive_as_they_are_and_broken_ones_do_not_spoil_their_neighbours(broker):
    topic = broker.create_topic()
    good = [f'{{"event_id": "e{n}", "timestamp": 1700000000.5, "service":"x"}}'.encode() for n in range(100)]
    sink = open_kafka_sink(broker.bootstrap_servers, topic)
    report = ship(
        io.BytesIO(b"\n".join([*good[:50], b'{"a":', *good[50:], b"\xff"])),
        sink,
        ShipOptions(),
        progress=quiet(),
    )
    sink.close()
    values = [record.value for record in broker.read_topic(topic)]
    assert report.acknowledged == 102
    assert b'{"a":' in values
    assert b"\xff" in values
    packed = b"\n".join(value for value in values if value[:1] == b"[")
    assert all(line in packed for line in good)


@pytest.mark.apache_kafka  # the embedded broker makes any topic that it is asked for
def test_a_missing_topic_is_told_with_the_remedy_and_is_not_created(apache_kafka):
    topic = apache_kafka.unique("missing")
    with pytest.raises(ConnectError, match="create it with `tokentide init`"):
        open_kafka_sink(apache_kafka.bootstrap_servers, topic, timeout_s=10)
    with apache_kafka.admin() as admin:
        assert topic not in admin.list_topics()


def test_a_broker_that_dies_ends_the_sending_with_what_was_acknowledged(own_broker):
    topic = own_broker.create_topic()
    short = {"delivery_timeout_ms": 15_000, "request_timeout_ms": 5_000, "max_block_ms": 10_000}
    sink = open_kafka_sink(own_broker.bootstrap_servers, topic, connection=short)
    sink.send({"event_id": "safe"})
    sink.flush()
    own_broker.server.kill()
    with pytest.raises(DeliveryError, match="1 events were acknowledged before"):
        _send_and_flush(sink)
    assert sink.acknowledged == 1
    sink.close()


def _send_and_flush(sink) -> None:
    sink.send({"event_id": "lost"})
    sink.flush()
