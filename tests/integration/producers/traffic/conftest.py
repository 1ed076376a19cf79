"""Until tests/conftest.py names the plug-in, this folder takes the shared fixtures itself."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator

import pytest

from tests.support.fixtures import (  # noqa: F401 - fixtures are found by name
    _apache_kafka_server,
    _embedded_server,
    apache_kafka,
    broker,
    embedded_broker,
    own_apache_kafka,
    own_broker,
    own_embedded_broker,
)


@pytest.fixture(autouse=True)
def _forgotten_sockets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """kafka-python leaves sockets of refused connections to the garbage collector; log records keep them alive."""
    caplog.set_level(logging.CRITICAL, "kafka")
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
