"""How ClickHouse and the workers are started on one machine: their arguments, environment and health checks."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tokentide.embedded import clickhouse
from tokentide.embedded.broker import WORKER_SETTINGS
from tokentide.embedded.ports import LOOPBACK
from tokentide.embedded.process import HealthCheck, ProcessSpec
from tokentide.embedded.run_state import Addresses

DATABASE: Final = "tokentide"

_PING_TIMEOUT_S: Final = 2.0
_OTHERS_ADDRESSES: Final = ("TOKENTIDE_KAFKA_", "TOKENTIDE_CLICKHOUSE_")
"""Settings of a user's Kafka and ClickHouse elsewhere: addresses, logins, certificates. None fits the engines here."""


def clickhouse_command(data_dir: Path, port: int) -> Sequence[str]:
    """Return the arguments that start the embedded ClickHouse for a data directory and a port."""
    return clickhouse.command(data_dir=data_dir, port=port, parent_pid=os.getpid())


def clickhouse_url(port: int) -> str:
    """Return the address of the embedded ClickHouse as the setting `TOKENTIDE_CLICKHOUSE_URL` takes it."""
    return f"http://default@{LOOPBACK}:{port}/{DATABASE}"


def clickhouse_spec(argv: Sequence[str], *, port: int, log_file: Path) -> ProcessSpec:
    """Describe the ClickHouse process."""
    return ProcessSpec(
        name="clickhouse",
        argv=argv,
        log_file=log_file,
        health_check=lambda: ping(port),
        start_timeout_s=120.0,  # a large data directory after a crash: the engine reads all parts first
        stop_grace_s=30.0,
    )


def ping(port: int) -> str | None:
    """Return None if ClickHouse answers on this port of the loopback interface, else what is missing."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PING_TIMEOUT_S)
    try:
        connection.request("GET", "/ping")
        answer = connection.getresponse()
        body = answer.read(100)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer from {LOOPBACK}:{port}: {type(error).__name__}"
    finally:
        connection.close()
    return (
        None if answer.status == http.HTTPStatus.OK and body == b"Ok.\n" else "it does not answer a ping yet"
    )


def worker_spec(
    name: str,
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    log_file: Path,
    health_check: HealthCheck,
    stop_grace_s: float,
) -> ProcessSpec:
    """Describe a worker process."""
    return ProcessSpec(
        name=name,
        argv=argv,
        log_file=log_file,
        health_check=health_check,
        environment=environment,
        start_timeout_s=60.0,
        stop_grace_s=stop_grace_s,
    )


def worker_environment(addresses: Addresses, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker: ours, settings fit for these engines, the caller's, the addresses."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS_ADDRESSES)}
    return {
        **WORKER_SETTINGS,
        **ours,
        "PYTHONUNBUFFERED": "1",  # the last lines before a crash must be in the log
        **more,
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap_servers,
        "TOKENTIDE_CLICKHOUSE_URL": addresses.clickhouse_url,
    }


def lives_for(seconds: float) -> HealthCheck:
    """Return a health check for programs that have none: it passes once they lived for so long."""
    begin: list[float] = []

    def check() -> str | None:
        begin.append(time.monotonic())
        return None if begin[-1] - begin[0] >= seconds else f"it has not lived for {seconds:g} s"

    return check
