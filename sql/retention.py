"""How long rows are kept, counted from their storing, never from the event's time.

An old trace replayed today is kept as long as today's traffic. The migrations set no TTL: it follows from
settings, which may change without a new migration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokentide.sql.client import SqlClient
from tokentide.sql.identifiers import database_name

_TTL: Final = re.compile(r"\bTTL toDateTime\(stored_at\) \+ toIntervalDay\((\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days that rows are kept; 0 keeps them for ever.

    Raises:
        ValueError: negative, or windows kept shorter than events: the audit compares the two.
    """

    events_days: int = 90
    """Event rows and evaluations: the bulk of the storage, and the only place of ids and texts."""
    windows_days: int = 400
    """Windows, incidents and the places of events: a year and the one before it can be compared."""

    def __post_init__(self) -> None:
        if self.events_days < 0 or self.windows_days < 0:
            raise ValueError("retention is a number of days, 0 or more; 0 keeps rows for ever")
        if self.windows_days and (self.events_days == 0 or self.events_days > self.windows_days):
            raise ValueError(
                f"events are kept longer ({self.events_days or 'for ever'}) than windows ({self.windows_days} days): "
                "raise the windows' retention or lower that of the events"
            )

    def days_by_table(self) -> Mapping[str, int]:
        """Of each table that has a TTL; the ledger has none."""
        return {
            "llm_events": self.events_days,
            "llm_evaluations": self.events_days,
            "llm_occurrences": self.windows_days,
            "llm_windows": self.windows_days,
            "llm_anomalies": self.windows_days,
        }


def apply_retention(client: SqlClient, database: str, retention: Retention) -> list[str]:
    """Bring the tables' TTL in line; return the names of the tables that were changed.

    A shorter TTL rewrites the parts it touches, in the background.
    """
    current = current_days(client, database)
    changed = [table for table, days in retention.days_by_table().items() if current[table] != days]
    for table in changed:
        days = retention.days_by_table()[table]
        change = f"MODIFY TTL toDateTime(stored_at) + toIntervalDay({days:d})" if days else "REMOVE TTL"
        client.command(f"ALTER TABLE {database_name(database)}.{table} {change}")
    return changed


def current_days(client: SqlClient, database: str) -> dict[str, int]:
    """Days of retention that each table and view of the database has now; 0: for ever."""
    rows = client.query(
        "SELECT name, engine_full FROM system.tables WHERE database = {database:String}",
        {"database": database},
    ).result_rows
    return {name: int(found[1]) if (found := _TTL.search(engine)) else 0 for name, engine in rows}
