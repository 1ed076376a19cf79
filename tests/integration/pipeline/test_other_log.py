"""The log under the topic's name becomes another one: made anew, with a commit that is no position of it, with more partitions."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from kafka.structs import OffsetAndMetadata, TopicPartition

from tests.integration.conftest import NewPipeline
from tests.support.brokers import Broker
from tests.support.pipeline import Pipeline, pipeline
from tests.support.waiting import HANGING_S, until, wait_until_stopped

OFTEN = {"TOKENTIDE_WORKER_METADATA_REFRESH_SECONDS": "3"}
BEGUN_ANEW = "it is read from its beginning"


def ship(running: Pipeline, name: str, count: int) -> None:
    events = [
        {"event_id": f"{name}-{number}", "timestamp": "2026-01-31T12:00:00Z", "service": name}
        for number in range(count)
    ]
    running.run("ship", "-", "--quiet", input_="\n".join(map(json.dumps, events)).encode())


def stored(running: Pipeline) -> dict[str, int]:
    rows = running.client.query("SELECT service, count() FROM events GROUP BY service").result_rows
    return {str(service): int(count) for service, count in rows}


def commit(running: Pipeline, offset: int) -> None:
    """As an operator moves a group."""
    topic = f"{running.prefix}events"
    with running.broker.consumer(group_id=running.environment["TOKENTIDE_WORKER_GROUP_ID"]) as consumer:
        places = [TopicPartition(topic, partition) for partition in running.broker.end_offsets(topic)]
        consumer.assign(places)
        consumer.commit({place: OffsetAndMetadata(offset, "", -1) for place in places})


@pytest.mark.parametrize(
    "offset",
    [
        pytest.param(1_000, marks=pytest.mark.long, id="in the first segment"),
        pytest.param(10_000_000, id="far away"),
    ],
)
def test_with_a_commit_past_its_end_a_log_is_read_from_its_beginning(
    new_pipeline: NewPipeline, offset: int
) -> None:
    running = new_pipeline(TOKENTIDE_TOPICS_PARTITIONS="2")
    commit(running, offset)
    ship(running, "shop", 50)
    running.start_workers(1)
    running.wait()
    assert stored(running) == {"shop": 50}
    assert BEGUN_ANEW in running.logs()
    ship(running, "later", 50)
    running.wait()
    assert stored(running) == {"shop": 50, "later": 50}
    running.run("audit")


def test_a_topic_made_anew_under_a_running_worker_is_another_source(new_pipeline: NewPipeline) -> None:
    # As many as the embedded broker gives a topic that it makes because the worker asks for it, before `init` does.
    running = new_pipeline(TOKENTIDE_TOPICS_PARTITIONS="4", **OFTEN)
    running.start_workers(1)
    ship(running, "before", 400)
    running.wait()
    running.broker.delete_topic(f"{running.prefix}events")
    until(lambda: _is_gone(running), what="deleting")
    running.run("init")
    ship(running, "after", 100)
    until(lambda: _restarted(running) and stored(running).get("after") == 100, what="reading the new log")
    running.wait()
    assert stored(running) == {"before": 400, "after": 100}
    sources = running.client.query("SELECT uniqExact(source), sum(events) FROM ledger").result_rows
    assert sources == [(2, 500)]
    ((calls,),) = running.client.query("SELECT sum(calls) FROM windows").result_rows
    assert int(calls) == 500
    running.run("audit")


def _is_gone(running: Pipeline) -> bool:
    with running.broker.admin() as admin:
        return f"{running.prefix}events" not in admin.list_topics()


def _restarted(running: Pipeline) -> bool:
    """A worker may end with a code that asks for a restart, which whoever runs it gives."""
    if running.workers[-1].poll() is not None:
        assert running.workers[-1].returncode in {20, 22, 23}
        running.start_workers(1)
    return True


def test_partitions_that_are_added_are_read_by_the_workers_that_run(
    own_apache_kafka: Broker, clickhouse: str, tmp_path: Path
) -> None:
    with pipeline(
        own_apache_kafka, clickhouse, tmp_path, TOKENTIDE_TOPICS_PARTITIONS="1", **OFTEN
    ) as running:
        running.start_workers(1)
        ship(running, "before", 100)
        running.wait()
        running.run("init", "--set", "topics.partitions=3", "--update")
        running.environment["TOKENTIDE_TOPICS_PARTITIONS"] = "3"
        ship(running, "after", 600)
        running.wait()
        assert running.workers[0].poll() is None
        assert stored(running) == {"before": 100, "after": 600}
        ((partitions,),) = running.client.query("SELECT uniqExact(source_partition) FROM events").result_rows
        assert partitions == 3
        running.run("audit")


def test_told_to_stop_while_kafka_hangs_a_worker_ends_all_the_same(
    own_broker: Broker, clickhouse: str, tmp_path: Path
) -> None:
    with pipeline(own_broker, clickhouse, tmp_path, TOKENTIDE_WORKER_CHECKPOINT_SECONDS="5") as running:
        running.start_workers(1)
        ship(running, "shop", 100)
        until(lambda: re.search("partitions assigned", running.logs()) is not None, what="starting")
        own_broker.server.process.send_signal(signal.SIGSTOP)
        wait_until_stopped(own_broker.server.process.pid)
        try:
            running.workers[0].terminate()
            assert running.workers[0].wait(HANGING_S) in {0, 20}
        finally:
            own_broker.server.process.send_signal(signal.SIGCONT)
        running.environment["TOKENTIDE_WORKER_CHECKPOINT_SECONDS"] = "1"
        running.start_workers(1)
        running.wait()
        assert stored(running) == {"shop": 100}
        running.run("audit")
