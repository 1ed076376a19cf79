"""Commands that only need Kafka, on the embedded broker and on Apache Kafka alike."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest
from commands_support import tokentide
from kafka import OffsetAndMetadata, TopicPartition

from tests.support.brokers import Broker

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(broker: Broker) -> Run:
    """Commands against the broker, with topics of this test's own."""
    environ = {
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "TOKENTIDE_TOPICS_PREFIX": broker.prefix,
        "TOKENTIDE_WORKER_GROUP_ID": broker.unique("group"),
    }
    return lambda *arguments, stdin="": tokentide(*arguments, environ=environ, stdin=stdin)


def created(run: Run, *options: str) -> dict[str, dict[str, object]]:
    done = run("init", "--only", "topics", "--json", *options)
    assert done.returncode in (0, 1), done.stderr
    return {topic["topic"].rpartition(".")[2]: topic for topic in json.loads(done.stdout)["topics"]}


def test_init_creates_the_topics_with_the_planned_partitions(broker: Broker, run: Run) -> None:
    topics = created(run, "--set", "topics.partitions=3")
    assert {name: (t["state"], t["partitions"]) for name, t in topics.items()} == {
        "events": ("created", 3),
        "windows": ("created", 3),
        "anomalies": ("created", 1),
        "rejected": ("created", 1),
    }
    assert len(broker.end_offsets(f"{broker.prefix}events")) == 3


def test_init_is_idempotent_and_tells_other_settings(run: Run) -> None:
    created(run)
    assert {topic["state"] for topic in created(run).values()} == {"as planned"}
    changed = ["--set", "topics.events_retention_hours=5"]
    assert created(run, *changed)["events"]["notes"] == ["retention.ms=259200000 instead of 18000000"]
    assert created(run, *changed, "--update")["events"]["state"] == "updated"
    assert created(run, *changed)["events"]["state"] == "as planned"


def test_partitions_are_added_where_the_broker_can(broker: Broker, run: Run) -> None:
    created(run, "--set", "topics.partitions=1")
    done = run("init", "--only", "topics", "--json", "--set", "topics.partitions=2", "--update")
    if broker.kind == "apache_kafka":
        assert done.returncode == 0
        assert len(broker.end_offsets(f"{broker.prefix}events")) == 2
    else:
        assert done.returncode == 5
        assert "this broker cannot add partitions" in done.stderr


def test_records_are_stamped_when_they_arrive(broker: Broker, run: Run) -> None:
    created(run)
    topic = f"{broker.prefix}events"
    with broker.producer() as producer:
        producer.send(topic, b"{}", timestamp_ms=946_684_800_000)
        producer.flush()
    (record,) = broker.read_topic(topic)
    if broker.kind == "apache_kafka":  # the embedded broker keeps everything anyway
        assert record.timestamp_ms > 1_700_000_000_000


def commit(broker: Broker, run: Run, offsets: dict[int, int]) -> None:
    """As a worker does: only after everything is stored."""
    group = json.loads(run("doctor", "--settings", "--json").stdout)["worker.group_id"]["value"]
    with broker.consumer(group_id=group) as consumer:
        places = {p: TopicPartition(f"{broker.prefix}events", p) for p in offsets}
        consumer.assign(list(places.values()))
        consumer.commit({places[p]: OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()})


def test_waiting_counts_every_record_of_a_batch(broker: Broker, run: Run) -> None:
    """The embedded broker lists the end of a partition as if its last batch held one record."""
    created(run, "--set", "topics.partitions=2")
    topic = f"{broker.prefix}events"
    broker.produce(topic, [b"{}"] * 10, partition=0, linger_ms=100)
    broker.produce(topic, [b"{}"] * 3, partition=1, linger_ms=100)
    commit(broker, run, {0: 1, 1: 3})
    done = run("wait", "--timeout", "1", "--json")
    assert done.returncode == 1
    partitions = {p["partition"]: p["left"] for p in json.loads(done.stdout)["partitions"]}
    assert partitions == {0: 9, 1: 0}
    commit(broker, run, {0: 10})
    assert run("wait", "--timeout", "300").returncode == 0


@pytest.mark.apache_kafka
def test_what_a_transaction_took_back_is_not_waited_for(apache_kafka: Broker) -> None:
    environ = {
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": apache_kafka.bootstrap_servers,
        "TOKENTIDE_TOPICS_PREFIX": apache_kafka.prefix,
        "TOKENTIDE_WORKER_GROUP_ID": apache_kafka.unique("group"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return tokentide(*arguments, environ=environ)

    created(run, "--set", "topics.partitions=1")
    topic = f"{apache_kafka.prefix}events"
    with apache_kafka.producer(transactional_id=apache_kafka.unique("tx")) as producer:
        producer.init_transactions()
        for keep in (True, False):
            producer.begin_transaction()
            for _ in range(5):
                producer.send(topic, b"{}")
            producer.flush()
            producer.commit_transaction() if keep else producer.abort_transaction()
    commit(apache_kafka, run, {0: 4})
    assert json.loads(run("wait", "--timeout", "1", "--json").stdout)["left"] > 0
    commit(apache_kafka, run, {0: 5})
    assert run("wait", "--timeout", "300").returncode == 0


def test_tail_shows_what_is_in_packed_records(broker: Broker, run: Run) -> None:
    created(run, "--set", "topics.partitions=1")
    broker.produce(
        f"{broker.prefix}events", [b'[{"service": "a"}, {"service": "b"}]', b"\xff", b'{"service": "c"}']
    )
    done = run("tail", "events", "--from-beginning", "--no-follow", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("service") for line in lines] == ["a", "b", None, "c"]
    assert lines[2] == {"partition": 0, "offset": 1, "unreadable_bytes": 1}
    assert len(run("tail", "events", "--from-beginning", "--limit", "2").stdout.splitlines()) == 2


def test_the_doctor_finds_missing_topics_and_is_content_after_init(run: Run) -> None:
    def kafka_findings() -> dict[str, str]:
        findings = json.loads(run("doctor", "--json").stdout)["findings"]
        return {f["check"].rpartition(".")[2]: f["status"] for f in findings if f["area"] == "kafka"}

    before = kafka_findings()
    assert (before["brokers"], before["events"], before["rejected"]) == ("ok", "fail", "fail")
    created(run)
    after = kafka_findings()
    assert set(after.values()) <= {"ok", "skip"}


def test_a_missing_topic_ends_with_4_and_the_way_out(run: Run) -> None:
    for command in (["wait", "--timeout", "0"], ["tail", "events", "--no-follow"], ["ship", "-"]):
        done = run(*command, stdin="{}\n")
        assert done.returncode == 4
        assert "`tokentide init` creates the topics" in done.stderr
