"""One ClickHouse process for all pipelines of the session, and a fresh pipeline per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.brokers import Broker
from tests.support.pipeline import Pipeline, clickhouse_process, pipeline

NewPipeline = Callable[..., Pipeline]


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with clickhouse_process(tmp_path_factory.mktemp("engine") / "data") as url:
        yield url


@pytest.fixture
def new_pipeline(broker: Broker, clickhouse: str, tmp_path: Path) -> Iterator[NewPipeline]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(pipeline(broker, clickhouse, tmp_path, **settings))
