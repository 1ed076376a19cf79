"""Fixtures that every suite shares."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Where many examples are worth their time, set TOKENTIDE_PROPERTY_EXAMPLES to some thousands.
settings.register_profile(
    "tokentide",
    deadline=None,  # machines are shared
    print_blob=True,
    max_examples=int(os.environ.get("TOKENTIDE_PROPERTY_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tokentide")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of public traces; its absence skips the test with the reason."""
    folder = Path(os.environ.get("TOKENTIDE_PUBLIC_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no public traces at {folder.name}/: set TOKENTIDE_PUBLIC_DATA to their folder")
    return folder


@pytest.fixture(autouse=True)
def _log_levels_as_before() -> Iterator[None]:
    """The command line quietens the Kafka client for its process; in tests that is everybody's."""
    level = logging.getLogger("kafka").level
    yield
    logging.getLogger("kafka").setLevel(level)
