"""The whole path for tests: a broker, the ClickHouse process, workers as real processes, and the command line.

Each pipeline has topics, a consumer group and a database of its own, so that several share one broker and engine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clickhouse_connect.driver.client import Client

from tests.support import children
from tests.support.brokers import Broker
from tests.support.waiting import HANGING_S
from tokentide.config.settings import ClickHouseSettings
from tokentide.embedded.clickhouse.launch import Ready, command, parse_start_line
from tokentide.sinks.connection import open_client


@contextmanager
def clickhouse_process(data_dir: Path) -> Iterator[str]:
    """Run the embedded ClickHouse process; yield its address."""
    log = (data_dir.parent / "clickhouse.log").open("w")
    process = children.start(
        command(data_dir=data_dir, port=0, parent_pid=os.getpid()),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = parse_start_line(process.stdout.readline())
        assert isinstance(said, Ready), f"ClickHouse did not start: {said}"
        yield said.url
    finally:
        process.terminate()
        process.wait(HANGING_S)
        process.stdout.close()
        log.close()


class Pipeline:
    """Topics, tables and workers of one test."""

    def __init__(self, broker: Broker, clickhouse: str, folder: Path, **settings: str) -> None:
        name = broker.unique().replace(".", "_")
        self.broker = broker
        self.folder = folder
        self.database = name
        self.prefix = f"{name}."
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TOKENTIDE_")},
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "TOKENTIDE_CLICKHOUSE_URL": f"{clickhouse}/{name}",
            "TOKENTIDE_TOPICS_PREFIX": self.prefix,
            "TOKENTIDE_WORKER_GROUP_ID": name,
            "TOKENTIDE_WORKER_SESSION_TIMEOUT_SECONDS": "6",
            "TOKENTIDE_WORKER_HEARTBEAT_SECONDS": "1.5",
            "TOKENTIDE_WORKER_STAGES": "ingest",
            **settings,
        }
        self.workers: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str, expect: int = 0, input_: bytes | None = None) -> str:
        """Run a command of `tokentide` and return its standard output."""
        done = subprocess.run(
            children.bound([sys.executable, "-m", "tokentide", *arguments]),
            env=self.environment, capture_output=True, check=False, timeout=2 * HANGING_S, input=input_, cwd=self.folder,
        )  # fmt: skip
        assert done.returncode == expect, f"{arguments} ended with {done.returncode}:\n{done.stderr.decode()}"
        return done.stdout.decode()

    @contextmanager
    def in_background(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command of `tokentide` that runs beside, with a pipe as its standard input.

        At the end of the block the pipe is closed, and the command has to end well by itself.
        """
        with children.start(
            [sys.executable, "-m", "tokentide", *arguments],
            env=self.environment, cwd=self.folder,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                yield process
                _, said = process.communicate(timeout=2 * HANGING_S)
            finally:
                process.kill()
        assert process.returncode == 0, f"{arguments} ended with {process.returncode}:\n{said.decode()}"

    @contextmanager
    def clickhouse_at(self, port: int) -> Iterator[None]:
        """What is started in this block reaches ClickHouse at another port, which leads there."""
        direct = self.environment
        url = direct["TOKENTIDE_CLICKHOUSE_URL"]
        other = url.replace(f":{urlsplit(url).port}/", f":{port}/")
        self.environment = {**direct, "TOKENTIDE_CLICKHOUSE_URL": other}
        try:
            yield
        finally:
            self.environment = direct

    def start_workers(self, count: int) -> None:
        """Start workers; each logs to a file of its own."""
        for _ in range(count):
            log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
            self.workers.append(
                children.start(
                    [sys.executable, "-m", "tokentide", "worker"],
                    env=self.environment,
                    stderr=log,
                    stdout=log,
                    cwd=self.folder,
                )
            )
            log.close()

    def kill_worker(self, place: int = 0) -> None:
        """`kill -9`."""
        self.workers[place].kill()
        self.workers[place].wait(HANGING_S)

    def stop(self) -> list[int]:
        """Ask all workers to end; return their exit codes."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        codes = []
        for worker in self.workers:
            try:
                codes.append(worker.wait(HANGING_S))
            except subprocess.TimeoutExpired:
                worker.kill()
                codes.append(worker.wait(HANGING_S))
        return codes

    def wait(self) -> None:
        """Until the workers have stored all that is in the events topic."""
        self.run("wait", "--timeout", str(HANGING_S))

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query; the default database is the test's own."""
        output = self.run("query", sql, "--format", "JSONEachRow")
        return [json.loads(line) for line in output.splitlines()]

    def one(self, sql: str) -> dict[str, Any]:
        """The only row of a query."""
        (row,) = self.query(sql)
        return row

    @cached_property
    def client(self) -> Client:
        """A client of the test's database."""
        return open_client(
            ClickHouseSettings.model_validate({"url": self.environment["TOKENTIDE_CLICKHOUSE_URL"]})
        )

    def letters(self) -> list[dict[str, Any]]:
        """Everything in the dead-letter topic."""
        return [
            json.loads(record.value or b"") for record in self.broker.read_topic(f"{self.prefix}rejected")
        ]

    def logs(self) -> str:
        """What all workers have logged."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))


@contextmanager
def pipeline(broker: Broker, clickhouse: str, folder: Path, **settings: str) -> Iterator[Pipeline]:
    """A pipeline with topics and tables made, and its workers ended afterwards."""
    made = Pipeline(broker, clickhouse, folder, **settings)
    made.run("init")
    try:
        yield made
    finally:
        made.stop()
