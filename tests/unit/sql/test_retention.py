"""How long rows are kept."""

from __future__ import annotations

import pytest

from tokentide.sql.retention import Retention


@pytest.mark.parametrize("days", [(90, 400), (1, 1), (0, 0), (5, 0)])
def test_windows_are_kept_at_least_as_long_as_events(days):
    Retention(events_days=days[0], windows_days=days[1])


@pytest.mark.parametrize("days", [(-1, 5), (5, -1), (0, 5), (6, 5)])
def test_anything_else_is_refused_with_the_remedy(days):
    with pytest.raises(ValueError, match=r"days|retention"):
        Retention(events_days=days[0], windows_days=days[1])


def test_the_ledger_is_never_aged():
    assert "llm_ledger" not in Retention().days_by_table()
