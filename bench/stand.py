"""Engines for the benchmarks: a broker (Apache Kafka where Java and Maven are, else the embedded one) and ClickHouse."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.apache_kafka import why_missing
from tests.support.brokers import Broker, BrokerKind, make_server
from tests.support.pipeline import Pipeline, clickhouse_process, pipeline


class Stand(NamedTuple):
    """What a benchmark runs on."""

    broker: Broker
    clickhouse: str
    folder: Path

    @contextmanager
    def pipeline(self, **settings: str) -> Iterator[Pipeline]:
        """Topics and tables of its own."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        with pipeline(self.broker, self.clickhouse, folder, **settings) as made:
            yield made


@contextmanager
def stand() -> Iterator[Stand]:
    """Start the engines, stop them afterwards."""
    kind: BrokerKind = "embedded" if why_missing() else "apache_kafka"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = make_server(kind, folder, is_short_lived=False)
        server.start()
        try:
            with clickhouse_process(folder / "clickhouse") as url:
                yield Stand(Broker(kind, server), url, folder)
        finally:
            server.kill()


def pinned(core: int, command: list[str]) -> list[str]:
    """The command on one core, where the system can pin."""
    return ["taskset", "-c", str(core), *command] if sys.platform.startswith("linux") else command


def start_worker(made: Pipeline, *, core: int | None = None) -> subprocess.Popen[bytes]:
    """Start one worker, on one core if asked for."""
    command = [sys.executable, "-m", "tokentide", "worker"]
    log = (made.folder / "worker-0.log").open("wb")
    process = subprocess.Popen(
        pinned(core, command) if core is not None else command, env=made.environment, stderr=log, stdout=log
    )
    log.close()
    made.workers.append(process)
    return process
