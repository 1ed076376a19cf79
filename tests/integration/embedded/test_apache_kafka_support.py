"""The suite's own Apache Kafka: it keeps its data, it can be paused and killed, and its absence is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kafka.errors import KafkaTimeoutError

from tests.support import apache_kafka as support
from tests.support import children, fixtures
from tests.support.waiting import HANGING_S, until


@pytest.mark.apache_kafka
class TestBroker:
    def test_records_and_commits_outlive_an_end_in_order_and_a_kill(self, own_apache_kafka):
        broker = own_apache_kafka
        topic, group = broker.create_topic(), broker.unique("group")
        for number, end in enumerate([broker.server.stop, broker.server.kill]):
            broker.produce(topic, [b"%d" % number])
            with broker.consumer(topic, group_id=group) as consumer:
                while not consumer.poll(timeout_ms=500):
                    pass
                consumer.commit()
            topic_id = broker.topic_id(topic)
            end()
            broker.server.start()
            assert broker.topic_id(topic) == topic_id
            assert [record.value for record in broker.read_topic(topic)] == [
                b"%d" % n for n in range(number + 1)
            ]
            assert broker.committed(group, topic) == {0: number + 1}

    def test_a_paused_broker_is_silent_and_goes_on_when_resumed(self, own_apache_kafka):
        broker = own_apache_kafka
        topic = broker.create_topic()
        with broker.producer(delivery_timeout_ms=600_000, request_timeout_ms=300_000) as producer:
            producer.send(topic, b"before").get(timeout=HANGING_S)
            broker.server.pause()
            future = producer.send(topic, b"during")
            with pytest.raises(KafkaTimeoutError):
                future.get(timeout=1)
            broker.server.resume()
            future.get(timeout=HANGING_S)
        assert [record.value for record in broker.read_topic(topic)] == [b"before", b"during"]

    def test_as_a_program_in_the_background_it_ends_in_order_by_sigterm(self, tmp_path, repository):
        program = f"exec {sys.executable} -m tests.support.apache_kafka --data-dir {tmp_path / 'kafka'} &"
        shell = children.start(
            ["/bin/sh", "-c", f"{program} echo $!; wait"], stdout=subprocess.PIPE, text=True, cwd=repository
        )
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        assert shell.stdout.readline().startswith("127.0.0.1:")
        os.kill(pid, signal.SIGTERM)
        assert shell.wait(timeout=HANGING_S) == 0
        shell.stdout.close()
        until(lambda: not Path(f"/proc/{pid}").exists(), what="its end")

    def test_it_does_not_outlive_a_suite_ended_by_sigkill(self, tmp_path, repository):
        program = [sys.executable, "-m", "tests.support.apache_kafka", "--data-dir", tmp_path / "kafka"]
        suite = children.start(program, stdout=subprocess.PIPE, text=True, cwd=repository)
        assert suite.stdout is not None
        assert suite.stdout.readline().startswith("127.0.0.1:")
        tasks = Path(f"/proc/{suite.pid}/task")
        pids = {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}
        assert len(pids) == 1
        suite.send_signal(signal.SIGKILL)
        suite.wait()
        suite.stdout.close()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="its end")


class TestAbsence:
    """Without Java or Maven the suite says so; where it may not be skipped, it fails."""

    @pytest.fixture
    def _empty_path(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("JAVA_HOME", raising=False)

    @pytest.mark.usefixtures("_empty_path")
    def test_a_missing_java_is_a_reason(self):
        assert "Java is not installed" in str(support.why_missing())

    @pytest.mark.usefixtures("_empty_path")
    def test_a_missing_maven_is_a_reason_only_while_the_jars_are_not_there(self, monkeypatch, tmp_path):
        monkeypatch.setattr(support, "java", lambda: "java")
        monkeypatch.setattr(support, "_CACHE", tmp_path / "cache")
        assert "Maven (mvn) is not installed" in str(support.why_missing())
        for folder in (tmp_path / "cache").iterdir():
            assert folder.name == "lock"

    def test_an_old_java_is_a_reason(self, monkeypatch, tmp_path):
        old = tmp_path / "java"
        old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
        old.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("JAVA_HOME", raising=False)
        assert "Java 11 is too old" in str(support.why_missing())

    @pytest.mark.parametrize(
        ("required", "outcome"),
        [("", pytest.skip.Exception), ("1", pytest.fail.Exception)],
        ids=["skips", "fails"],
    )
    def test_the_environment_decides_between_skip_and_failure(self, monkeypatch, required, outcome):
        monkeypatch.setattr(fixtures, "why_missing", lambda: "no Java here")
        monkeypatch.setenv(support.REQUIRE_VARIABLE, required)
        with pytest.raises(outcome, match="no Java here"):
            fixtures._require("apache_kafka")

    def test_the_embedded_broker_needs_no_java(self, monkeypatch):
        monkeypatch.setattr(fixtures, "why_missing", lambda: "no Java here")
        fixtures._require("embedded")
