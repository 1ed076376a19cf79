"""Incidents as rows of `llm_anomalies`: times and numbers get their types, nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import pyarrow as pa

from tokentide.schemas.anomaly import Anomaly
from tokentide.schemas.arrow import MONEY, TIME_US
from tokentide.schemas.timestamps import parse_timestamp

ANOMALY_ROWS: Final = pa.schema(
    [
        pa.field("schema_version", pa.uint16()),
        pa.field("anomaly_id", pa.string()),
        pa.field("revision", pa.uint32()),
        pa.field("state", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("severity", pa.string()),
        pa.field("series", pa.map_(pa.string(), pa.string())),
        pa.field("started_at", TIME_US),
        pa.field("updated_at", TIME_US),
        pa.field("resolved_at", TIME_US),
        pa.field("window_start", TIME_US),
        pa.field("window_seconds", pa.uint32()),
        pa.field("value", MONEY),
        pa.field("limit", MONEY),
        pa.field("baseline", MONEY),
        pa.field("samples", pa.int64()),
        pa.field("example_event_ids", pa.list_(pa.string())),
        pa.field("summary", pa.string()),
    ]
)
"""One row per revision of an incident."""

_STEP: Final = Decimal("1e-12")
_WIDE: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_TIMES: Final = ("started_at", "updated_at", "resolved_at", "window_start")
_NUMBERS: Final = ("value", "limit", "baseline")


def anomaly_rows(anomalies: Sequence[Anomaly]) -> Any:
    """Return a `pyarrow.Table` of `ANOMALY_ROWS`, one row per message, in order.

    Numbers with more than 12 decimals are rounded half to even.

    Raises:
        ValueError: a time is no RFC 3339 text, or a number no decimal text of at most 26 digits before the point.
    """
    return pa.Table.from_pylist([_row(anomaly) for anomaly in anomalies], schema=ANOMALY_ROWS)


def _row(anomaly: Anomaly) -> dict[str, object]:
    row: dict[str, Any] = anomaly.model_dump()
    row["series"] = list(anomaly.series.items())
    for name in _TIMES:
        row[name] = None if row[name] is None else parse_timestamp(row[name])
    for name in _NUMBERS:
        row[name] = None if row[name] is None else _decimal(row[name], name)
    return row


def _decimal(text: str, name: str) -> Decimal:
    try:
        number = Decimal(text).quantize(_STEP, context=_WIDE)
    except ArithmeticError:  # no number, or too large
        number = Decimal("NaN")
    if number.is_finite() and number.adjusted() < 26:
        return number
    raise ValueError(f"{name} is no decimal number with at most 26 digits before the point")
