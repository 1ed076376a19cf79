"""A client of clickhouse-connect for the commands that write to ClickHouse or read typed rows: `init`, `audit`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokentide.cli.clickhouse_http import ACCESS_DENIED, HINTS, UNKNOWN_TABLE, ClickHouseHttp
from tokentide.cli.exits import CliError, ForbiddenError, RefusedError, UnknownTableError, UnreachableError
from tokentide.cli.extras import require_extra
from tokentide.config import ClickHouseSettings

if TYPE_CHECKING:
    from tokentide.sql.client import SqlClient


@contextmanager
def sql_client(
    clickhouse: ClickHouseSettings, *, purpose: str, with_database: bool = True
) -> Iterator[SqlClient]:
    """A connected client; errors of ClickHouse from within the block become ours.

    Args:
        clickhouse: the settings.
        purpose: the command, for the message where the extra is missing.
        with_database: False where the database may not exist yet.

    Raises:
        NotReadyError: the extra [stream] is not installed.
        UnreachableError, UnknownTableError, RefusedError: ClickHouse does not answer, or refuses.
    """
    require_extra("stream", purpose=purpose)
    ClickHouseHttp(clickhouse).ping()  # quicker, and says more clearly what is wrong
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415 - an extra

    from tokentide.sinks.connection import open_client  # noqa: PLC0415 - needs the extra

    try:
        client = open_client(clickhouse, database=None if with_database else "default")
        try:
            yield client
        finally:
            client.close()
    except ClickHouseError as error:
        raise as_ours(error) from error


def as_ours(error: Exception) -> CliError:
    """An error of clickhouse-connect as one of ours, by its code."""
    code = getattr(error, "code", None)
    text = (str(error).splitlines() or [type(error).__name__])[0]
    if code is None:
        return UnreachableError(f"ClickHouse cannot be used: {text}")
    if code in UNKNOWN_TABLE:
        return UnknownTableError(
            f"ClickHouse (code {code}) {text}", hint="`tokentide init` creates the tables."
        )
    kind = ForbiddenError if code == ACCESS_DENIED else RefusedError
    return kind(f"ClickHouse (code {code}) {text}", hint=HINTS.get(code, ""))
