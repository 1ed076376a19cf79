"""One machine started by `tokentide up`, shared by the tests of this folder; each test has a service name of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands_support import Begin, Machine, start

from tests.support.waiting import HANGING_S


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    log = folder / "up.log"
    up = start(
        "up",
        "--data-dir", folder / "data",
        "--kafka-port", "0",
        "--clickhouse-port", "0",
        "--workers", "2",
        "--json",
        log=log,
    )  # fmt: skip
    assert up.stdout is not None
    try:
        line = up.stdout.readline()
        assert line, log.read_text(encoding="utf-8")
        yield Machine(json.loads(line), log)
        up.send_signal(signal.SIGTERM)
        rest = up.stdout.read()
        assert (up.wait(HANGING_S), rest) == (0, ""), log.read_text(encoding="utf-8")
    finally:
        up.kill()
        up.wait()
        up.stdout.close()


@pytest.fixture
def service() -> str:
    """A name that no other test uses."""
    return f"service-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start commands that go on; what is left of them at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str | Path) -> subprocess.Popen[str]:
        started.append(start(*arguments, log=tmp_path / "log"))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
