"""What the traffic tests share."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _forgotten_sockets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """kafka-python leaves sockets of refused connections to the garbage collector; log records keep them alive."""
    caplog.set_level(logging.CRITICAL, "kafka")
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
