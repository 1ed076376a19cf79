"""What the tests of the SDK share."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import children
from tests.support.brokers import Broker
from tests.support.waiting import HANGING_S, until
from tokentide.schemas.call import CallEvent


def read_events(broker: Broker, topic: str) -> list[dict[str, object]]:
    """All events of a topic, taken out of their packs and held against the contract."""
    events: list[dict[str, object]] = []
    for record in broker.read_topic(topic):
        assert record.key is None
        assert record.value is not None
        parsed = json.loads(record.value)
        events += parsed if isinstance(parsed, list) else [parsed]
    for event in events:
        CallEvent.model_validate(event)
    return events


@pytest.fixture
def events_in() -> Callable[[Broker, str], list[dict[str, object]]]:
    return read_events


@pytest.fixture
def arrived() -> Callable[[Broker, str], list[int]]:
    """The numbers (`input_tokens`) of the events that arrived, sorted; twice is twice."""

    def numbers(where: Broker, topic: str) -> list[int]:
        return sorted(int(str(event["input_tokens"])) for event in read_events(where, topic))

    return numbers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(
                pytest.mark.filterwarnings(
                    r"ignore:Exception ignored in. <(ssl\.SSLS|s)ocket:pytest.PytestUnraisableExceptionWarning"
                )
            )
            item.add_marker(
                pytest.mark.filterwarnings(r"ignore:unclosed <(ssl\.SSLS|s)ocket:ResourceWarning")
            )


@pytest.fixture(autouse=True)
def _sockets_of_the_client() -> Iterator[None]:
    """kafka-python leaves sockets whose connection was refused to the collector: let it come here."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("tokentide-"):  # a try to connect ends when its time is over
            thread.join(HANGING_S)
    gc.collect()


class Script:
    """A program of its own that uses the SDK: what it prints can be awaited, and it can be killed."""

    def __init__(self, code: str, *arguments: str, env: dict[str, str], flags: tuple[str, ...]) -> None:
        self.process = children.start(
            [sys.executable, *flags, "-c", textwrap.dedent(code), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,  # so that its children can be ended with it
        )

    def line(self) -> str:
        """Wait for the next line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """Wait for its end in good order; return what it wrote to its standard error."""
        out, err = self.process.communicate(timeout=HANGING_S)
        assert self.process.returncode == 0, f"{out}\n{err}"
        return err

    def kill(self) -> None:
        """SIGKILL, for its children too."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def script(tmp_path: Path):
    """Start programs; none outlives the test."""
    started: list[Script] = []

    def start(code: str, *arguments: str, flags: tuple[str, ...] = ()) -> Script:
        env = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": ""}
        started.append(Script(code, *arguments, env=env, flags=flags))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something holds."""
    return until
