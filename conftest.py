"""Makes the shared fixtures of `tests/support` known to every suite, and lets the slow suite begin first."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.support.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Integration tests wait a lot: begun first, they do so beside others; begun last, all wait for them."""
    items.sort(key=lambda item: "/integration/" not in item.path.as_posix())
