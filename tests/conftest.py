"""Fixtures that every suite shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

REQUIRE_PUBLIC_DATA: Final = "TOKENTIDE_REQUIRE_PUBLIC_DATA"
"""Set to 1 where tests on public traces may not be skipped: a missing folder is then a failure."""

# Where many examples are worth their time, set TOKENTIDE_PROPERTY_EXAMPLES to some thousands. They are others each time;
# without it they are the same each time, so that a change fails by what it changes, and not by the luck of the day.
EXAMPLES: Final = os.environ.get("TOKENTIDE_PROPERTY_EXAMPLES")
settings.register_profile(
    "tokentide",
    deadline=None,  # machines are shared
    print_blob=True,
    derandomize=EXAMPLES is None,
    max_examples=int(EXAMPLES or 100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tokentide")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Properties are tried with more examples where there is time for it."""
    for item in items:
        if ROOT / "tests" / "property" in item.path.parents:
            item.add_marker("many")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


def find_public_data() -> Path:
    """The folder of public traces; without it the test is skipped, unless the environment says that it must be there."""
    folder = Path(os.environ.get("TOKENTIDE_PUBLIC_DATA") or ROOT.parent / "shared" / "data")
    if folder.is_dir():
        return folder
    missing = f"no public traces at {folder.name}/: set TOKENTIDE_PUBLIC_DATA to their folder"
    if os.environ.get(REQUIRE_PUBLIC_DATA) == "1":
        pytest.fail(f"{missing}; {REQUIRE_PUBLIC_DATA}=1 forbids to skip", pytrace=False)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of public traces; its absence skips the test with the reason, or fails it (`REQUIRE_PUBLIC_DATA`)."""
    return find_public_data()
