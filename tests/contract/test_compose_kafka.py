"""The Kafka of docker-compose.yml, started from its own environment block by what the image itself runs.

`kafka.docker.KafkaDockerWrapper` is Apache Kafka's program that turns `KAFKA_…` into server.properties and formats the
storage in a container. What must differ here: ports are free ones, the host `kafka` is the loopback, the log is in a
temporary folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaTimeoutError

from tests.support.apache_kafka import java, libraries
from tests.support.compose_file import read_compose_file
from tests.support.fixtures import _require
from tests.support.ports import unused_port
from tests.support.waiting import HANGING_S, until
from tokentide.cli.kafka_access import admin_client
from tokentide.cli.topics import KafkaTopics, apply_plans
from tokentide.config import KafkaSettings, Settings
from tokentide.config.topics import topic_plans
from tokentide.embedded.kafka_probe import ask_cluster, kafka_health
from tokentide.embedded.ports import LOOPBACK
from tokentide.embedded.process import ManagedProcess, ProcessSpec

pytestmark = pytest.mark.apache_kafka

CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
"""The image's own, where none is given (docker/resources/common-scripts/configureDefaults)."""
LOG_CONFIG = """
Configuration:
  Appenders: {Console: {name: STDOUT, target: SYSTEM_OUT, PatternLayout: {pattern: "%p %m (%c)%n"}}}
  Loggers: {Root: {level: WARN, AppenderRef: {ref: STDOUT}}}
"""
LONG_AGO_MS = 1_682_899_200_000  # 2023-05-01


class Running(NamedTuple):
    """The broker, by the two addresses that it gives."""

    on_host: str
    inside: str
    properties: Mapping[str, str]


@pytest.fixture(scope="module")
def kafka(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    _require("apache_kafka")
    folder = tmp_path_factory.mktemp("compose-kafka")
    ports = {"9092": unused_port(), "19092": unused_port(), "9093": unused_port()}
    environment = {
        variable: adapted(value, ports)
        for variable, value in read_compose_file(repository / "docker-compose.yml")
        .services["kafka"]
        .environment.items()
    } | {"KAFKA_LOG_DIRS": str(folder / "data")}
    written = server_properties(environment, folder)
    classes = f"{libraries()}/*"
    process = ManagedProcess(
        ProcessSpec(
            name="compose-kafka",
            argv=[
                java(), "-Xmx512m", f"-Dlog4j2.configurationFile={folder / 'final' / 'log4j2.yaml'}",
                "-cp", classes, "kafka.Kafka", str(written),
            ],
            log_file=folder / "kafka.log",
            health_check=lambda: kafka_health(LOOPBACK, ports["9092"], cluster_id=CLUSTER_ID),
            start_timeout_s=HANGING_S,
        )
    )  # fmt: skip
    process.start()
    try:
        process.wait_ready()
        lines = (line.partition("=") for line in written.read_text(encoding="utf-8").split())
        yield Running(
            f"{LOOPBACK}:{ports['9092']}",
            f"{LOOPBACK}:{ports['19092']}",
            {name: value for name, _, value in lines},
        )
    finally:
        process.kill()


def adapted(value: str, ports: Mapping[str, int]) -> str:
    for port, ours in ports.items():
        value = value.replace(f"://:{port}", f"://{LOOPBACK}:{ours}").replace(
            f"kafka:{port}", f"{LOOPBACK}:{ours}"
        )
        value = value.replace(f"//{LOOPBACK}:{port}", f"//{LOOPBACK}:{ours}")
    return value


def server_properties(environment: Mapping[str, str], folder: Path) -> Path:
    """Let the image's program write the file and format the storage."""
    for name in ("default", "mounted", "final"):
        (folder / name).mkdir()
    (folder / "default" / "server.properties").write_text("of.the.distribution=1\n", encoding="utf-8")
    for name in ("log4j2.yaml", "tools-log4j2.yaml"):
        (folder / "default" / name).write_text(LOG_CONFIG, encoding="utf-8")
    answer = subprocess.run(
        [
            java(), "-cp", f"{libraries()}/*", "kafka.docker.KafkaDockerWrapper", "setup",
            "--default-configs-dir", "default", "--mounted-configs-dir", "mounted", "--final-configs-dir", "final",
        ],
        env={**environment, "CLUSTER_ID": CLUSTER_ID},
        cwd=folder, capture_output=True, text=True, timeout=HANGING_S, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder / "final" / "server.properties"


def test_every_setting_is_one_that_kafka_knows_and_takes(kafka, repository):
    asked = read_compose_file(repository / "docker-compose.yml").services["kafka"].environment
    assert len(kafka.properties) == len(asked)
    node = ConfigResource(ConfigResourceType.BROKER, kafka.properties["node.id"], configs=None)
    with admin_client(KafkaSettings(bootstrap_servers=(kafka.on_host,))) as admin:
        described = admin.describe_configs([node], config_filter="all")["broker"][node.name]
    for name, value in kafka.properties.items():
        # Kafka passes names that it does not know on to plug-ins, and hides their values.
        assert described[name]["config_type"] != "UNKNOWN", name
        assert described[name]["value"] == value
        assert described[name]["config_source"] == "STATIC_BROKER_CONFIG"


def test_clients_are_sent_on_by_the_address_that_they_came_by(kafka):
    for address in (kafka.on_host, kafka.inside):
        host, _, port = address.rpartition(":")
        assert ask_cluster(host, int(port)).brokers == ((host, int(port)),)


def test_init_finds_what_it_made_as_planned_and_records_of_long_ago_stay(kafka):
    """Retention counts from arrival, so the broker must not take the client's time of a replayed trace for it."""
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": kafka.inside}})
    plans = topic_plans(settings)
    with admin_client(settings.kafka) as admin:
        made = apply_plans(KafkaTopics(admin), plans, update=False, dry_run=False)
        assert {outcome.state for outcome in made} == {"created"}
        again = apply_plans(KafkaTopics(admin), plans, update=False, dry_run=False)
        assert {outcome.state for outcome in again} == {"as planned"}
    with closing(
        KafkaProducer(bootstrap_servers=kafka.on_host, enable_idempotence=True, acks="all")
    ) as producer:
        producer.send(settings.topics.events, b"{}", timestamp_ms=LONG_AGO_MS).get(timeout=HANGING_S)
    group = {"group_id": "readers", "auto_offset_reset": "earliest", "enable_auto_commit": False}
    with closing(KafkaConsumer(settings.topics.events, bootstrap_servers=kafka.inside, **group)) as reader:
        (record,) = next(iter(polled(reader).values()))
        reader.commit()  # the offsets topic can be made, with its one copy
    assert record.timestamp > LONG_AGO_MS


def test_a_misspelt_topic_is_not_made(kafka):
    producer = KafkaProducer(bootstrap_servers=kafka.on_host, max_block_ms=2_000)
    with closing(producer), pytest.raises(KafkaTimeoutError):
        producer.send("llm.evens", b"{}").get(timeout=HANGING_S)
    with admin_client(KafkaSettings(bootstrap_servers=(kafka.on_host,))) as admin:
        assert "llm.evens" not in admin.list_topics()


def polled(reader: KafkaConsumer) -> Mapping[object, list[ConsumerRecord]]:
    return until(lambda: reader.poll(timeout_ms=500), what="a record")
