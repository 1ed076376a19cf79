"""The numbers that the demo shows, from SQL that any user could write. Reading only."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple, Protocol


class SqlReader(Protocol):
    """What is needed of a ClickHouse client."""

    def rows(self, sql: str, *, parameters: Mapping[str, str] | None = None) -> list[dict[str, object]]:
        """The rows of a query, by column."""


class ServiceRow(NamedTuple):
    """One service over the last minutes."""

    service: str
    calls: int
    error_rate: float
    duration_p95_ms: float | None
    tokens: int
    cost_usd: Decimal


class IncidentRow(NamedTuple):
    """One incident, in its latest state."""

    anomaly_id: str
    state: str
    severity: str
    rule: str
    started_at: str
    summary: str


class Board(NamedTuple):
    """What is shown at one moment."""

    stored_events: int
    calls: int
    """Over the last minutes, as all that follows."""
    errors: int
    cost_usd: Decimal
    tokens: int
    cache_hit_rate: float | None
    """Tokens read from the prompt cache, as a share of the input tokens where that was reported."""
    coverage: float | None
    """Share of the calls that have a price."""
    services: tuple[ServiceRow, ...]
    incidents: tuple[IncidentRow, ...]

    @property
    def error_rate(self) -> float:
        """Errors as a share of the calls."""
        return self.errors / self.calls if self.calls else 0.0


MINUTES: Final = 5
TOTALS_SQL: Final = """
SELECT
    sum(calls) AS total_calls,
    sum(errors) AS total_errors,
    sum(cost_usd) AS total_cost_usd,
    sum(input_tokens) + sum(output_tokens) AS tokens,
    if(sum(cache_reported_input_tokens) = 0, NULL,
       sum(cache_read_input_tokens) / sum(cache_reported_input_tokens)) AS cache_hit_rate,
    if(total_calls = 0, NULL, sum(priced_calls) / total_calls) AS coverage
FROM windows
WHERE window_start >= now() - toIntervalMinute({minutes:UInt32})"""
SERVICES_SQL: Final = """
SELECT
    service,
    sum(calls) AS total_calls,
    sum(errors) / total_calls AS error_rate,
    tokentide_quantile(sumMap(duration_ms_sketch), 0.95) AS p95_ms,
    sum(input_tokens) + sum(output_tokens) AS tokens,
    sum(cost_usd) AS total_cost_usd
FROM windows
WHERE window_start >= now() - toIntervalMinute({minutes:UInt32})
GROUP BY service
HAVING total_calls > 0
ORDER BY total_cost_usd DESC, service
LIMIT 10"""
INCIDENTS_SQL: Final = """
SELECT anomaly_id, state, severity, rule, toString(started_at) AS since, summary
FROM anomalies
ORDER BY state = 'open' DESC, updated_at DESC
LIMIT 8"""
STORED_SQL: Final = "SELECT count() AS events FROM events"


def read_board(clickhouse: SqlReader, *, minutes: int = MINUTES) -> Board:
    """Ask the four questions.

    Args:
        clickhouse: a client whose database is ours.
        minutes: how far back windows are summed.

    Raises:
        CliError: ClickHouse does not answer.
    """
    parameters = {"minutes": str(minutes)}
    (totals,) = clickhouse.rows(TOTALS_SQL, parameters=parameters)
    (stored,) = clickhouse.rows(STORED_SQL)
    services = clickhouse.rows(SERVICES_SQL, parameters=parameters)
    return Board(
        stored_events=_int(stored["events"]),
        calls=_int(totals["total_calls"]),
        errors=_int(totals["total_errors"]),
        cost_usd=_decimal(totals["total_cost_usd"]),
        tokens=_int(totals["tokens"]),
        cache_hit_rate=_float(totals["cache_hit_rate"]),
        coverage=_float(totals["coverage"]),
        services=tuple(_service(row) for row in services),
        incidents=tuple(_incident(row) for row in clickhouse.rows(INCIDENTS_SQL)),
    )


def _service(row: Mapping[str, object]) -> ServiceRow:
    return ServiceRow(
        service=str(row["service"]),
        calls=_int(row["total_calls"]),
        error_rate=_float(row["error_rate"]) or 0.0,
        duration_p95_ms=_float(row["p95_ms"]),
        tokens=_int(row["tokens"]),
        cost_usd=_decimal(row["total_cost_usd"]),
    )


def _incident(row: Mapping[str, object]) -> IncidentRow:
    names = ("anomaly_id", "state", "severity", "rule", "since", "summary")
    return IncidentRow(*(str(row[name]) for name in names))


def _int(value: object) -> int:
    return int(str(value or 0))


def _decimal(value: object) -> Decimal:
    return Decimal(str(value or 0))


def _float(value: object) -> float | None:
    return None if value is None else float(str(value))
