"""What `up` and `demo` make of the user's settings, and when a worker counts as started."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from tokentide.cli import one_machine
from tokentide.cli.arguments import command_parser
from tokentide.cli.exits import NotReadyError, UnreachableError, UsageError
from tokentide.cli.registry import COMMANDS
from tokentide.config import Settings, SettingsError, load_settings
from tokentide.embedded.errors import (
    DataDirError,
    NotInstalledError,
    PortUnavailableError,
    ProcessNotReadyError,
)
from tokentide.embedded.progress import Progress
from tokentide.embedded.run_options import SupervisorOptions
from tokentide.embedded.run_state import Addresses

ELSEWHERE = {
    "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "production:9093",
    "TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "TOKENTIDE_KAFKA_SASL_USERNAME": "ann",
    "TOKENTIDE_KAFKA_SASL_PASSWORD": "c4nary",
    "TOKENTIDE_CLICKHOUSE_URL": "https://ann:c4nary@db",
}


def arguments(*options: str) -> argparse.Namespace:
    up = next(command for command in COMMANDS if command.name == "up")
    return command_parser(up, up.load()).parse_args(options)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user who works with a Kafka and a ClickHouse of others."""
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def prepared(*options: str, workers: int = 1) -> tuple[Settings, dict[str, str]]:
    return one_machine.settings_for_engines_here(arguments(*options), workers=workers)


def test_addresses_and_logins_of_other_engines_are_left_out() -> None:
    settings, environment = prepared()
    assert settings.kafka == load_settings(environ={}).kafka
    assert not any("c4nary" in value or "production" in value for value in environment.values())


def test_a_worker_gets_the_settings_of_the_file_and_of_flags(tmp_path: Path) -> None:
    (tmp_path / "tokentide.toml").write_text('windows.dimensions = ["model"]\n', encoding="utf-8")
    _, environment = prepared("--set", "worker.checkpoint_rows=7")
    worker = load_settings(environ=environment, folder=tmp_path)
    assert worker.windows.dimensions == ("model",)
    assert worker.worker.checkpoint_rows == 7
    assert environment["TOKENTIDE_CONFIG"] == os.devnull


def test_sessions_are_short_here_unless_the_user_says_otherwise() -> None:
    assert load_settings(environ=prepared()[1]).worker.session_timeout_seconds == 6
    _, environment = prepared("--set", "worker.session_timeout_seconds=20")
    worker = load_settings(environ=environment).worker
    assert (worker.session_timeout_seconds, worker.heartbeat_seconds) == (20, 3)


def test_there_is_a_partition_for_each_worker() -> None:
    settings, environment = prepared(workers=9)
    assert settings.topics.partitions == 9
    assert load_settings(environ=environment).topics.partitions == 9
    assert prepared(workers=2)[0].topics.partitions == 4


def test_fewer_partitions_than_workers_on_purpose_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match="2 partitions cannot be shared by 3 workers"):
        prepared("--set", "topics.partitions=2", workers=3)


@pytest.mark.parametrize("name", ["kafka.bootstrap_servers", "clickhouse.url"])
def test_an_address_on_the_command_line_is_a_mistake(name: str) -> None:
    with pytest.raises(UsageError, match="brings its own Kafka and ClickHouse"):
        prepared("--set", f"{name}=x")


def test_the_addresses_that_were_chosen_are_put_in() -> None:
    settings, _ = prepared("--set", "topics.prefix=x.")
    here = one_machine.at_addresses(
        settings, Addresses("127.0.0.1:5", "http://default@127.0.0.1:6/tokentide")
    )
    assert here.kafka.bootstrap_servers == ("127.0.0.1:5",)
    assert here.clickhouse.url.port == 6
    assert here.topics.prefix == "x."


def options(
    *given: str, workers: int = 2, kafka_port: int = 0, clickhouse_port: int = 0
) -> SupervisorOptions:
    settings, environment = prepared(*given, workers=workers)
    return one_machine.supervisor_options(
        settings,
        environment,
        data_dir=Path("data"),
        workers=workers,
        kafka_port=kafka_port,
        clickhouse_port=clickhouse_port,
    )


def test_each_worker_has_a_port_of_its_own_for_metrics() -> None:
    made = options("--set", "metrics.port=9100", workers=3)
    seen = [load_settings(environ={**made.environment, **made.environment_of_worker(n)}) for n in (1, 2, 3)]
    assert [settings.metrics.port for settings in seen] == [9100, 9101, 9102]


def test_without_a_port_there_are_no_metrics_and_with_0_each_takes_a_free_one() -> None:
    for given, port in (([], None), (["--set", "metrics.port=0"], 0)):
        made = options(*given)
        environment = {**made.environment, **made.environment_of_worker(2)}
        assert load_settings(environ=environment).metrics.port == port


@pytest.mark.parametrize(
    ("port", "kafka_port", "message"),
    [(65_535, 0, "ports end at 65535"), (9_091, 9_092, "9092 is that of Kafka or ClickHouse")],
)
def test_ports_for_metrics_that_cannot_be_are_a_mistake(port: int, kafka_port: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options("--set", f"metrics.port={port}", kafka_port=kafka_port)


def test_a_port_for_metrics_that_is_taken_is_said_before_a_worker_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokentide.embedded.ports.is_free_port", lambda port: port != 9_101)
    addresses = Addresses("127.0.0.1:5", "http://default@127.0.0.1:6/tokentide")
    with pytest.raises(NotReadyError, match="metrics of worker-2 cannot be served on port 9101"):
        options("--set", "metrics.port=9100").prepare(addresses)


def test_a_worker_has_started_when_its_log_says_so_again(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    assert one_machine.worker_has_started(log)() is not None
    log.write_text("worker started\n", encoding="utf-8")
    check = one_machine.worker_has_started(log)
    assert check() is not None, "that was the one before it"
    with log.open("a") as stream:
        stream.write('{"event": "worker started"}\n')
    assert check() is None


def test_a_log_that_was_cut_meanwhile_is_read_from_its_begin(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    log.write_text("x" * 1000, encoding="utf-8")
    check = one_machine.worker_has_started(log)
    log.write_text("worker started\n", encoding="utf-8")
    assert check() is None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (NotInstalledError("x"), NotReadyError),
        (PortUnavailableError("x", port=1), NotReadyError),
        (DataDirError("x"), NotReadyError),
        (
            ProcessNotReadyError("clickhouse", waited_s=1, reason="r", log_file=Path("l"), log_tail=""),
            UnreachableError,
        ),
    ],
)
def test_errors_of_the_engines_have_their_exit_codes(
    theirs: Exception, ours: type[NotReadyError | UnreachableError]
) -> None:
    with pytest.raises(ours), one_machine.engine_errors():
        raise theirs


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress("broker", "ready", 0.14), "  ✓ Kafka broker ready (0.1 s)"),
        (Progress("prepare", "ready", 2), "  ✓ topics and tables ready (2.0 s)"),
        (
            Progress("worker-1", "restarting", 0.5, "worker-1 was ended by SIGKILL"),
            "  ! worker-1 was ended by SIGKILL\n    worker-1 is started again in 0.5 s",
        ),
        (Progress("broker", "warning", 0, "it is full"), "  ! it is full"),
        (Progress("worker-1", "stopped", 1.0, "it was killed"), "  worker-1 stopped (1.0 s; it was killed)"),
        (Progress("broker", "starting"), None),
        (Progress("run", "failed", 0, "said by the error"), None),
    ],
)
def test_progress_is_one_line_each(progress: Progress, line: str | None) -> None:
    assert one_machine.progress_line(progress) == line
