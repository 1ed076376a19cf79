"""Events that belong together by their `request_id` travel alone, with it as key, to the partition that any client chooses."""

from __future__ import annotations

import json

import pytest

from tokentide.producers.kafka_transport import load_client
from tokentide.producers.packing import Packed, pack
from tokentide.producers.routing import KEYED_TYPES, event_type_of, index_of, key_of, travels_alone
from tokentide.producers.spool import Spool
from tokentide.schemas.evaluation import EVALUATION
from tokentide.schemas.limits import MAX_TEXT
from tokentide.schemas.part import PART_TYPES

load_client()

from kafka.partitioner import DefaultPartitioner  # noqa: E402 - it warns when it is loaded

KEYS = [*(f"request-{n}" for n in range(200)), "a", "ab", "abc", "abcd", "日本", "é" * MAX_TEXT, " "]


class Cluster:
    """What the partitioner asks for."""

    def __init__(self, partitions: set[int]) -> None:
        self.partitions = partitions

    def topics(self) -> set[str]:
        return {"t"}

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return self.partitions

    available_partitions_for_topic = partitions_for_topic


def written(**fields: object) -> bytes:
    return json.dumps({"event_id": "e", "input": "x", **fields}).encode()


@pytest.mark.parametrize("partitions", [{0}, {0, 1, 2}, set(range(12)), set(range(100))])
def test_the_partition_is_the_one_that_the_default_partitioner_chooses(partitions):
    default, cluster = DefaultPartitioner(), Cluster(partitions)
    for key in KEYS:
        chosen = default.partition("t", key, key.encode(), b"", b"", cluster)
        assert sorted(partitions)[index_of(key.encode(), len(partitions))] == chosen


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ],
)
def test_the_hash_is_the_one_of_the_java_client(key, hashed):
    """Values of Apache Kafka's own test, `UtilsTest.testMurmur2`."""
    assert index_of(key, 1_000_003) == (hashed & 0x7FFFFFFF) % 1_000_003


def test_the_types_are_those_of_the_contract():
    assert {*PART_TYPES, EVALUATION} == KEYED_TYPES


@pytest.mark.parametrize("kind", sorted(KEYED_TYPES))
def test_parts_and_evaluations_travel_alone_with_their_request_id_as_key(kind):
    event = written(event_type=kind, request_id="r-é")
    assert travels_alone(event)
    assert key_of(event) == "r-é".encode()
    assert event_type_of(event) == kind


@pytest.mark.parametrize("request_id", [None, "", 7, ["r"], "r" * (MAX_TEXT + 1)])
def test_without_a_request_id_that_the_contract_knows_there_is_no_key(request_id):
    event = written(event_type="request", request_id=request_id)
    assert travels_alone(event)
    assert key_of(event) is None


@pytest.mark.parametrize(
    "event",
    [
        written(request_id="r"),
        written(request_id="r", event_type="call"),
        written(request_id="r", event_type="call", labels={"event_type": "request"}),
        written(request_id="r", labels={"event_type": "request"}),
        written(request_id="r", input='{"event_type":"request"}'),
        written(request_id="r", event_type=""),
        written(request_id="r", event_type=None),
        written(request_id="r", event_type="REQUEST"),
        written(request_id="r", event_type="unheard-of"),
        written(request_id="r", event_type=["request"]),
        written(request_id="r", event_type={"event_type": "request"}),
        written(request_id="r", event_type=1),
        b'{"event_type":"request","request_id":"r"',
        b'{"event_type":',
        b'{"event_type":"request","request_id":"\\ud800"}',
        b'{"event_type":"request","request_id":"\xff"}',
        b'"event_type"',
        b"",
    ],
)
def test_what_is_no_part_goes_as_always(event):
    assert not travels_alone(event)
    assert key_of(event) is None


def test_a_part_is_known_however_its_json_is_written():
    event = b' {\n"labels": {"event_type": "call"}, "request_id": "\\u0072", "event_type" : "re\\u0071uest"}'
    assert travels_alone(event)
    assert key_of(event) == b"r"


def test_a_pack_has_no_key():
    part = written(event_type="request", request_id="r")
    assert key_of(pack([part, part]).value) is None


def test_a_record_has_the_same_key_after_it_was_on_disk(tmp_path):
    record = Packed(written(event_type="response", request_id="r-1"), 1)
    spool = Spool(tmp_path, max_bytes=1_000_000, on_drop=lambda *_: None)
    spool.append(record)
    spool.close()
    successor = Spool(tmp_path, max_bytes=1_000_000, on_drop=lambda *_: None)
    assert successor.adopt() == 1
    spooled = successor.next()
    assert spooled is not None
    assert spooled.record == record
    assert key_of(spooled.record.value) == b"r-1"
    successor.settle(spooled)
    successor.close()
