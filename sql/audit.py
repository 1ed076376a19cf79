"""Holds ledger, events and windows against each other and returns what differs.

The questions are `sql/queries/audit_*.sql`; each returns differences only. Nothing is changed. Run it when workers
are idle or have caught up: an insert between two questions is a difference that goes away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from tokentide.sql.catalogue import named_query
from tokentide.sql.client import Rows, SqlClient
from tokentide.sql.identifiers import database_name, render
from tokentide.sql.retention import current_days

Cell = str | int | float | Decimal | datetime | None | Sequence[str]

_SETTINGS: Final = re.compile(r"\nSETTINGS [^\n]+\s*$")
_MAY_NOT_SET: Final = (164, 452)
"""ClickHouse's READONLY and SETTING_CONSTRAINT_VIOLATION: of users with `readonly = 1`, or whose profile binds the setting."""

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""The range of event times that the contract and the windows' type allow."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question of the audit."""

    name: str
    """Of the file in `sql/queries`."""
    question: str
    """For people; it can be answered with yes if there are no rows."""


CHECKS: Final = (
    Check("audit_ledger", "Does each ledger row add up?"),
    Check("audit_segments", "Does each ledger row go on where the one before it ended?"),
    Check("audit_rows", "Is every event that the ledger counts stored, and no other?"),
    Check("audit_lost_rows", "Is every stored event still there?"),
    Check("audit_evaluations", "Is every evaluation that the ledger counts stored, and no other?"),
    Check("audit_event_ids", "Does the view events hold each event once?"),
    Check("audit_minutes", "Do windows and events agree, minute by minute?"),
    Check("audit_series", "Do windows and events agree, series by series?"),
)
SENT_AGAIN: Final = "sent again"
SENT_AGAIN_CHANGED: Final = "sent again with other values?"
"""What `explanation` of audit_minutes and audit_series may be, besides `none`."""
MONEY: Final = "cost_usd"
"""The measure that is no count."""
DUPLICATES: Final = Check(
    "duplicates_across_segments", "Were events sent again across segments or partitions?"
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The rows that speak against it."""

    check: Check
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_cut: bool
    """There are more rows than were asked for."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the ledger and the two views hold, over all sources and times."""

    segments: int
    records: int
    gaps: int
    items: int
    events: int
    test_events: int
    incomplete_events: int
    """Calls made of a part whose partner never came; they have no item of their own."""
    duplicates: int
    """Within segments: counted in the ledger only."""
    rejects: int
    parts: int
    """Requests and answers that are part of a call and not its place."""
    evaluations: int
    lost: int
    """Offsets that retention took before they were read: no difference, but not in any number either."""
    event_rows: int
    evaluation_rows: int
    """Fewer than `evaluations` where one was sent again across segments or partitions."""
    window_calls: int
    """With test events."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the audit found."""

    database: str
    totals: Totals
    results: tuple[CheckResult, ...]
    """In the order of `CHECKS`."""
    duplicates: CheckResult
    """Events sent again across segments or partitions: `events` holds them once, the windows count each. They
    stand behind differences of audit_minutes and audit_series whose `unexplained` is 0."""

    @property
    def differences(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.rows)

    @property
    def agrees(self) -> bool:
        """Ledger, events and windows agree in everything; false also where only duplicates set them apart."""
        return not self.differences and not self.duplicates.rows

    @property
    def is_explained_by_duplicates(self) -> bool:
        """All that differs are windows that count repeated events again, to the last digit."""
        return bool(self.duplicates.rows) and self._explanations <= {SENT_AGAIN}

    @property
    def may_be_changed_duplicates(self) -> bool:
        """The calls that differ are repeated events, sums are not: as if copies had been sent with other values."""
        return (
            bool(self.duplicates.rows)
            and SENT_AGAIN_CHANGED in self._explanations
            and self._explanations <= {SENT_AGAIN, SENT_AGAIN_CHANGED}
        )

    @property
    def _explanations(self) -> set[Cell]:
        """Of all rows, those that were cut too: the queries put the worst first."""
        return {cell for result in self.differences for cell in _explanations_of(result)}


def run_audit(
    client: SqlClient,
    database: str,
    *,
    since: datetime = _EARLIEST,
    until: datetime = _LATEST,
    max_rows: int = 1000,
) -> AuditReport:
    """Run all checks.

    Args:
        client: may read the database, nothing else.
        database: its name.
        since: first event time to compare windows and events at (UTC); rounded down to the minute.
        until: event time to stop before (UTC); rounded down to the minute.
        max_rows: rows kept of each check, at least 1: without rows there would be no difference.

    Raises:
        ValueError: `max_rows` is below 1.
        InvalidIdentifierError: the database's name.
        Whatever the client raises, for instance where the tables are not there.
    """
    if max_rows < 1:
        raise ValueError(f"max_rows is {max_rows}; it must be 1 or more")
    days = current_days(client, database_name(database))
    parameters = {
        "since": _minute(since),
        "until": _minute(until),
        "events_days": days.get("llm_events", 0),
        "evaluations_days": days.get("llm_evaluations", 0),
        "windows_days": days.get("llm_occurrences", 0),
        "limit": max_rows + 1,
    }
    return AuditReport(
        database=database,
        totals=_totals(client, database),
        results=tuple(_run(client, database, check, parameters) for check in CHECKS),
        duplicates=_run(client, database, DUPLICATES, parameters),
    )


def _run(client: SqlClient, database: str, check: Check, parameters: dict[str, Any]) -> CheckResult:
    text = render(named_query(check.name), database)
    wanted = {name: value for name, value in parameters.items() if f"{{{name}:" in text}
    rows = _asked(client, text, wanted)
    most = int(parameters["limit"]) - 1
    return CheckResult(
        check=check,
        columns=tuple(rows.column_names),
        rows=tuple(_plain(rows.column_names, row) for row in rows.result_rows[:most]),
        is_cut=len(rows.result_rows) > most,
    )


def _asked(client: SqlClient, text: str, parameters: dict[str, Any]) -> Rows:
    """The answer; where this user may not set the query's own limits, under those that the server has for them."""
    try:
        return client.query(text, parameters)
    except Exception as error:
        bare = _SETTINGS.sub("", text)
        if bare == text or getattr(error, "code", None) not in _MAY_NOT_SET:
            raise
    return client.query(bare, parameters)


def _totals(client: SqlClient, database: str) -> Totals:
    row = client.query(render(named_query("totals"), database)).result_rows[0]
    return Totals(*(int(value) for value in row))


def _explanations_of(result: CheckResult) -> set[Cell]:
    if "explanation" not in result.columns:
        return {"none"}
    column = result.columns.index("explanation")
    return {row[column] for row in result.rows}


def _plain(columns: Sequence[str], row: Sequence[Cell]) -> tuple[Cell, ...]:
    """The row with counts as whole numbers: one column holds the values of all measures, as decimals."""
    if "measure" in columns and row[columns.index("measure")] == MONEY:
        return tuple(row)
    return tuple(int(cell) if isinstance(cell, Decimal) else cell for cell in row)


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:00")
