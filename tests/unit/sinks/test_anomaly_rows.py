"""Incidents as typed rows."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tokentide.schemas.anomaly import Anomaly
from tokentide.sinks.anomaly_rows import ANOMALY_ROWS, anomaly_rows

_FIELDS = {
    "anomaly_id": "0" * 32,
    "revision": 2,
    "state": "open",
    "rule": "error_rate",
    "metric": "error_rate",
    "unit": "ratio",
    "severity": "critical",
    "series": {"service": "chat", "model": "gpt-4o"},
    "started_at": "2024-03-01T12:00:00Z",
    "updated_at": "2024-03-01T12:05:00.5Z",
    "window_start": "2024-03-01T12:00:00Z",
    "window_seconds": 300,
    "value": "0.0883660615042608",
    "limit": "0.05",
    "samples": 10796,
    "example_event_ids": ["e1", "e2"],
    "summary": "8.8 % of calls of chat fail",
}


def _row(**changes):
    (row,) = anomaly_rows([Anomaly.model_validate(_FIELDS | changes)]).to_pylist()
    return row


def test_the_columns_are_the_fields_in_their_order():
    assert ANOMALY_ROWS.names == list(Anomaly.model_fields)


def test_times_and_numbers_get_their_types():
    row = _row(baseline="12", resolved_at="2024-03-01T14:00:00+02:00")
    assert row["started_at"] == datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert row["updated_at"] == datetime(2024, 3, 1, 12, 5, 0, 500_000, tzinfo=UTC)
    assert row["resolved_at"] == datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert (row["value"], row["limit"], row["baseline"]) == (
        Decimal("0.088366061504"),
        Decimal("0.05"),
        Decimal(12),
    )
    assert row["series"] == [("service", "chat"), ("model", "gpt-4o")]
    assert row["example_event_ids"] == ["e1", "e2"]


def test_what_is_not_known_stays_unknown():
    row = _row()
    assert (row["baseline"], row["resolved_at"]) == (None, None)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "", "ten", "1e26", "-1e30"])
def test_a_value_that_is_no_decimal_is_named(value):
    with pytest.raises(ValueError, match="value is no decimal"):
        _row(value=value)


def test_the_largest_value_fits():
    assert _row(value="99999999999999999999999999.9999999999994")["value"] == Decimal(
        "99999999999999999999999999.999999999999"
    )


def test_no_incidents_are_no_rows():
    assert anomaly_rows([]).num_rows == 0
