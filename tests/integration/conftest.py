"""One ClickHouse process for all pipelines of the session, and a fresh pipeline per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.support.brokers import Broker
from tests.support.pipeline import Pipeline, clickhouse_process, pipeline

NewPipeline = Callable[..., Pipeline]

WHOLE_PATH: Final = (Path(__file__).parent / "pipeline", Path(__file__).parent / "stream")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole path sees the embedded broker in `make test`, and Apache Kafka in `make test-long`.

    What Tokentide needs of a broker is held against both in each; a test that says `on_apache_kafka` goes the other way.
    """
    for item in items:
        kind = getattr(item, "callspec", None) and item.callspec.params.get("broker")
        if (
            kind is not None
            and "clickhouse" in item.fixturenames
            and any(folder in item.path.parents for folder in WHOLE_PATH)
        ):
            usual = "apache_kafka" if item.get_closest_marker("on_apache_kafka") else "embedded"
            if kind != usual:
                item.add_marker("long")


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with clickhouse_process(tmp_path_factory.mktemp("engine") / "data") as url:
        yield url


@pytest.fixture
def new_pipeline(broker: Broker, clickhouse: str, tmp_path: Path) -> Iterator[NewPipeline]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(pipeline(broker, clickhouse, tmp_path, **settings))
