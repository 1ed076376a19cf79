"""What this package needs of a ClickHouse client; the clients of clickhouse-connect have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Rows(Protocol):
    """The result of a query."""

    @property
    def column_names(self) -> Sequence[str]:
        """Names of the columns, in order."""
        ...

    @property
    def result_rows(self) -> Sequence[Sequence[Any]]:
        """One sequence of values per row."""
        ...


class SqlClient(Protocol):
    """Sends one statement at a time; values travel as parameters of the server, `{name:Type}`.

    Errors carry ClickHouse's number as `code` where there is one.
    """

    def command(self, cmd: str, parameters: dict[str, Any] | None = None) -> Any:
        """Run a statement that returns no rows."""
        ...

    def query(self, query: str, parameters: dict[str, Any] | None = None) -> Rows:
        """Run a statement that returns rows."""
        ...
