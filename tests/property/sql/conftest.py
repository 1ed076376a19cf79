"""Fixtures of the property tests of SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clickhouse_engine import open_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of the engine in this process."""
    client = open_engine()
    yield client
    client.close()
