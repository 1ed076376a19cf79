"""docker-compose.yml without an engine: its form, and that its parts fit each other and the program.

What the images have and do is taken from their published sources (named below). How Apache Kafka takes its settings is
tried on the real one in `test_compose_kafka.py`.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from tests.support.compose_file import ComposeFile, Service, read_compose_file
from tests.support.documents import parse_command
from tests.support.ports import unused_port
from tokentide.config import Settings, load
from tokentide.stream.metrics_http import MetricsServer

PROGRAMS_OF_IMAGES = {
    # https://github.com/apache/kafka: docker/jvm/Dockerfile unpacks the distribution to /opt/kafka
    "apache/kafka": {"/opt/kafka/bin/kafka-broker-api-versions.sh"},
    # https://github.com/ClickHouse/ClickHouse: docker/server/Dockerfile.ubuntu; its entrypoint uses wget itself
    "clickhouse/clickhouse-server": {"wget", "clickhouse-client"},
    "tokentide": {"python"},
}
"""What health checks may call."""

DATA_FOLDERS = {
    # the VOLUME lines of the same two files; of other folders the image's user would not be the owner
    "apache/kafka": "/var/lib/kafka/data",
    "clickhouse/clickhouse-server": "/var/lib/clickhouse",
}


@pytest.fixture(scope="module")
def path(repository: Path) -> Path:
    return repository / "docker-compose.yml"


@pytest.fixture(scope="module")
def compose(path: Path) -> ComposeFile:
    return read_compose_file(path)


@pytest.fixture(scope="module")
def settings(compose: ComposeFile, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_of(compose.services["worker"], tmp_path_factory.mktemp("nothing"))


def settings_of(service: Service, folder: Path) -> Settings:
    return load(environ=service.environment, folder=folder).settings


def repository_of(image: str) -> str:
    return image.partition(":")[0]


def ours(compose: ComposeFile) -> dict[str, Service]:
    return {name: service for name, service in compose.services.items() if "tokentide" in service.image}


def listeners(service: Service, variable: str) -> dict[str, tuple[str, int]]:
    """Name → host and port."""
    found = {}
    for listener in service.environment[variable].split(","):
        name, _, address = listener.partition("://")
        host, _, port = address.rpartition(":")
        found[name] = (host, int(port))
    return found


class TestForm:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("depends_on:", "depend_on:"),
            ("condition: service_healthy", "condition: healthy"),
            ("restart: unless-stopped", "restart: sometimes"),
            ("interval: 10s", "interval: 10"),
            ('KAFKA_NODE_ID: "1"', "KAFKA_NODE_ID: 1"),
        ],
    )
    def test_a_mistake_in_the_form_is_found(self, path, tmp_path, before, after):
        text = path.read_text(encoding="utf-8")
        assert before in text
        wrong = tmp_path / "docker-compose.yml"
        wrong.write_text(text.replace(before, after), encoding="utf-8")
        with pytest.raises(ValidationError):
            read_compose_file(wrong)

    def test_no_key_is_written_twice(self, path):
        """PyYAML takes the last one silently; Compose refuses the file."""
        nodes = [yaml.compose(path.read_text(encoding="utf-8"))]
        while nodes:
            node = nodes.pop()
            if isinstance(node, yaml.MappingNode):
                keys = [key.value for key, _ in node.value]
                assert len(keys) == len(set(keys))
                nodes += [value for _, value in node.value]
            elif isinstance(node, yaml.SequenceNode):
                nodes += node.value

    def test_versions_are_pinned(self, compose):
        for service in compose.services.values():
            if service not in ours(compose).values():
                assert re.fullmatch(r"[a-z/-]+:\d+\.\d+[\d.]*", service.image)

    def test_ports_are_published_on_the_loopback_only(self, compose):
        published = [port for service in compose.services.values() for port in service.ports]
        assert published
        for port in published:
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)

    def test_every_volume_is_declared_and_used_for_the_folder_that_its_image_keeps_data_in(self, compose):
        used = {}
        for service in compose.services.values():
            for volume in service.volumes:
                name, _, folder = volume.partition(":")
                used[name] = folder
                assert folder == DATA_FOLDERS[repository_of(service.image)]
        assert set(used) == set(compose.volumes)
        assert {repository_of(s.image) for s in compose.services.values() if s.volumes} == set(DATA_FOLDERS)

    def test_one_service_builds_our_image_and_none_pulls_it(self, compose):
        """Compose builds services at the same time: two that build one tag make the first build of all fail."""
        assert len({service.image for service in ours(compose).values()}) == 1
        assert [name for name, service in ours(compose).items() if service.build] == ["init"]
        assert {service.pull_policy for service in ours(compose).values()} == {"never"}


class TestOrder:
    def test_conditions_can_come_true(self, compose):
        for service in compose.services.values():
            for name, dependency in service.depends_on.items():
                awaited = compose.services[name]
                if dependency.condition == "service_healthy":
                    assert awaited.healthcheck is not None
                if dependency.condition == "service_completed_successfully":
                    # It must end, and a failure that goes on must end too, or `up --wait` never does.
                    assert re.fullmatch(r"on-failure:\d+", awaited.restart)
                    assert awaited.healthcheck is None

    def test_init_waits_for_both_engines_and_workers_wait_for_init(self, compose):
        conditions = {
            name: {other: dependency.condition for other, dependency in service.depends_on.items()}
            for name, service in ours(compose).items()
        }
        assert conditions == {
            "init": {"kafka": "service_healthy", "clickhouse": "service_healthy"},
            "worker": {"init": "service_completed_successfully"},
        }

    def test_what_runs_for_good_is_started_again(self, compose):
        assert {name for name, s in compose.services.items() if s.restart == "unless-stopped"} == {
            "kafka", "clickhouse", "worker",
        }  # fmt: skip


class TestProgram:
    def test_every_service_of_ours_has_settings_that_can_be_used(self, compose, tmp_path):
        for service in ours(compose).values():
            settings_of(service, tmp_path)
            assert all(variable.startswith("TOKENTIDE_") for variable in service.environment)

    def test_every_command_can_be_parsed(self, compose):
        for service in ours(compose).values():
            parse_command(["tokentide", *service.command])

    def test_the_commands_of_the_head_are_right(self, compose, path):
        """`docker compose run … SERVICE COMMAND`, and what Compose calls its own options."""
        head = [
            line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#   docker")
        ]
        assert len(head) == 2
        for line in head:
            words = shlex.split(line.removeprefix("#"))
            assert words[:2] == ["docker", "compose"]
            if words[2] == "run":
                options = [word for word in words[3:] if word.startswith("--")]
                service, *command = words[3 + len(options) :]
                assert set(options) <= {"--rm", "--no-deps"}
                assert service in ours(compose)
                parse_command(["tokentide", *command])
            else:
                assert words[2] == "up"
                assert set(words[3:]) <= {"--build", "--detach", "--wait"}

    def test_there_are_no_more_workers_than_partitions(self, compose, settings):
        assert 1 < compose.services["worker"].deploy.replicas <= settings.topics.partitions

    def test_a_last_checkpoint_has_the_time_it_may_take(self, compose):
        assert compose.services["worker"].stop_grace_period == "30s"  # 10 s for each of its three ends


class TestKafka:
    def test_workers_use_the_address_that_kafka_gives_inside(self, compose, settings):
        kafka = compose.services["kafka"]
        inside = kafka.environment["KAFKA_INTER_BROKER_LISTENER_NAME"]
        host, port = listeners(kafka, "KAFKA_ADVERTISED_LISTENERS")[inside]
        assert settings.kafka.bootstrap_servers == (f"{host}:{port}",)
        assert compose.services[host] is kafka
        assert listeners(kafka, "KAFKA_LISTENERS")[inside][1] == port

    def test_applications_on_the_host_are_sent_to_the_published_port(self, compose):
        kafka = compose.services["kafka"]
        (published,) = kafka.ports
        address, port, inside_port = published.split(":")
        advertised = listeners(kafka, "KAFKA_ADVERTISED_LISTENERS")
        assert advertised["HOST"] == (address, int(port))
        assert listeners(kafka, "KAFKA_LISTENERS")["HOST"] == ("", int(inside_port))

    def test_the_controller_is_the_node_itself_and_not_for_clients(self, compose):
        kafka = compose.services["kafka"]
        name = kafka.environment["KAFKA_CONTROLLER_LISTENER_NAMES"]
        port = listeners(kafka, "KAFKA_LISTENERS")[name][1]
        node = kafka.environment["KAFKA_NODE_ID"]
        assert kafka.environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{node}@kafka:{port}"
        assert set(kafka.environment["KAFKA_PROCESS_ROLES"].split(",")) == {"broker", "controller"}
        assert name not in listeners(kafka, "KAFKA_ADVERTISED_LISTENERS")
        assert not [published for published in kafka.ports if published.endswith(f":{port}")]

    def test_every_listener_has_a_protocol(self, compose):
        kafka = compose.services["kafka"]
        protocols = dict(
            pair.split(":") for pair in kafka.environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
        )
        assert set(protocols) == set(listeners(kafka, "KAFKA_LISTENERS"))

    def test_its_log_is_on_the_volume(self, compose):
        kafka = compose.services["kafka"]
        assert kafka.volumes == [f"kafka:{kafka.environment['KAFKA_LOG_DIRS']}"]


class TestClickHouse:
    @pytest.mark.parametrize("environ", [{}, {"CLICKHOUSE_PASSWORD": "of1two"}], ids=["default", "own"])
    def test_workers_log_in_as_the_user_that_the_server_has(self, path, tmp_path, environ):
        compose = read_compose_file(path, environ)
        server = compose.services["clickhouse"].environment
        for service in ours(compose).values():
            url = settings_of(service, tmp_path).clickhouse.url
            assert compose.services[url.host] is compose.services["clickhouse"]
            assert (url.user, url.password.get_secret_value()) == (
                server["CLICKHOUSE_USER"],
                server["CLICKHOUSE_PASSWORD"],
            )
            assert environ.get("CLICKHOUSE_PASSWORD", "tokentide") == server["CLICKHOUSE_PASSWORD"]

    def test_the_port_is_the_published_one(self, compose, settings):
        (published,) = compose.services["clickhouse"].ports
        assert int(published.rpartition(":")[2]) == settings.clickhouse.url.port

    def test_it_is_not_healthy_before_others_can_reach_it(self, compose):
        """With CLICKHOUSE_DB the image first runs a server on its loopback, where a check would find it well."""
        clickhouse = compose.services["clickhouse"]
        assert "CLICKHOUSE_DB" not in clickhouse.environment
        assert clickhouse.healthcheck is not None
        assert urllib.parse.urlsplit(clickhouse.healthcheck.test[-1]).hostname == "clickhouse"

    def test_the_user_may_create_what_init_creates(self, compose):
        """A user of users.xml without grants may do everything; managing access has to be switched on."""
        environment = compose.services["clickhouse"].environment
        assert environment["CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT"] == "1"
        assert environment["CLICKHOUSE_USER"] != "default"


class TestHealth:
    def test_checks_call_programs_that_the_images_have(self, compose):
        checked = {name: s for name, s in compose.services.items() if s.healthcheck is not None}
        assert set(checked) == {"kafka", "clickhouse", "worker"}
        for service in checked.values():
            kind, program, *_ = service.healthcheck.test
            assert kind == "CMD"
            assert program in PROGRAMS_OF_IMAGES[repository_of(service.image)]

    def test_engines_are_asked_where_the_others_ask_them(self, compose, settings):
        kafka, clickhouse = compose.services["kafka"], compose.services["clickhouse"]
        assert kafka.healthcheck.test[-1] == settings.kafka.bootstrap_servers[0]
        url = settings.clickhouse.url
        assert clickhouse.healthcheck.test[-1] == f"http://{url.host}:{url.port}/ping"

    @pytest.mark.parametrize(("is_healthy", "code"), [(True, 0), (False, 1)])
    def test_the_worker_s_check_says_what_the_worker_says(self, compose, settings, is_healthy, code):
        async def answer() -> int:
            server = MetricsServer(lambda: "", lambda: is_healthy)
            port = urllib.parse.urlsplit(await server.start("127.0.0.1", 0)).port
            assert port is not None
            process = await asyncio.create_subprocess_exec(
                *self.check(compose, settings, port), stderr=subprocess.DEVNULL
            )
            ended = await process.wait()
            await server.close()
            return ended

        assert asyncio.run(answer()) == code

    def test_a_worker_that_does_not_answer_is_not_well(self, compose, settings):
        command = self.check(compose, settings, unused_port())
        assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 1

    @staticmethod
    def check(compose: ComposeFile, settings: Settings, port: int) -> list[str]:
        """The worker's check, asking another port."""
        _, _, option, program = compose.services["worker"].healthcheck.test
        address = f'"127.0.0.1", {settings.metrics.port}'
        assert address in program
        return [sys.executable, option, program.replace(address, f'"127.0.0.1", {port}')]
