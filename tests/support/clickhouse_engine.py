"""The engine of ClickHouse in the process of the tests.

A process holds one engine with one data directory for its whole life, so all suites that want it in process open
this one, and keep apart by databases of different names.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from typing import Any

import clickhouse_connect
import pytest


def open_engine() -> Any:
    """Return a client of the engine, to be closed; skips the test where the engine is not installed."""
    pytest.importorskip("chdb", reason="needs the extra [embedded]")
    return clickhouse_connect.get_client(dsn=f"chdb://{_directory()}")


@functools.cache
def _directory() -> str:
    directory = tempfile.mkdtemp(prefix="tokentide-tests-clickhouse-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory
