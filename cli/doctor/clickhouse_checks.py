"""Checks of ClickHouse: the server, our tables, the user's rights, its clock and its disks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from tokentide.cli.clickhouse_http import ClickHouseHttp, server_version
from tokentide.cli.doctor.disks import disk_of_clickhouse, room
from tokentide.cli.doctor.findings import Finding, Reporter
from tokentide.cli.exits import CliError, RefusedError
from tokentide.cli.extras import missing_modules
from tokentide.cli.sql_client import sql_client
from tokentide.config import Settings

OLDEST_TRIED: Final = (26, 0)
"""The SQL is tested on ClickHouse 26; nothing is known to fail on older ones."""
CLOCK_TOLERANCE_S: Final = 2.0
FREE_SHARE: Final = 0.1
ENDLESS_BYTES: Final = 2**60
"""What object storage says of itself is beyond this."""
WRITTEN_TABLES: Final = ("llm_events", "llm_windows", "llm_ledger")


def clickhouse_checks(settings: Settings) -> Iterator[Finding]:
    """Everything about ClickHouse; one failure where it does not answer."""
    report = Reporter("clickhouse")
    clickhouse = ClickHouseHttp(settings.clickhouse)
    try:
        clickhouse.ping()
        yield from _server(report, clickhouse)
        database = settings.clickhouse.url.database
        if not _exists(clickhouse, database):
            yield report.fail("tables", f"the database {database} does not exist", "tokentide init")
            return
    except CliError as error:
        yield report.fail("server", error.message, error.hint or "Check clickhouse.url.")
        return
    yield from report.guarded("tables", lambda: _tables(report, clickhouse, database))
    yield from report.guarded("migrations", lambda: _migrations(report, settings))
    yield from report.guarded("rights", lambda: _rights(report, clickhouse, database))
    yield from report.guarded("clock", lambda: _clock(report, clickhouse))
    yield from report.guarded("disks", lambda: _disks(report, clickhouse))


def _server(report: Reporter, clickhouse: ClickHouseHttp) -> Iterator[Finding]:
    started = time.monotonic()
    version = server_version(clickhouse)
    took_ms = (time.monotonic() - started) * 1000
    text = f"ClickHouse {version.text} at {clickhouse.url}, {took_ms:.0f} ms"
    if (version.major, version.minor) < OLDEST_TRIED:
        yield report.warn(
            "server", text, f"Tokentide is tested on ClickHouse {OLDEST_TRIED[0]}; an update is advisable."
        )
    else:
        yield report.ok("server", text)


def _exists(clickhouse: ClickHouseHttp, database: str) -> bool:
    rows = clickhouse.rows(
        "SELECT 1 AS found FROM system.databases WHERE name = {name:String}",
        parameters={"name": database},
        database="",
    )
    return bool(rows)


def _tables(report: Reporter, clickhouse: ClickHouseHttp, database: str) -> Iterator[Finding]:
    rows = clickhouse.rows(
        "SELECT name FROM system.tables WHERE database = {name:String}", parameters={"name": database}
    )
    there = {str(row["name"]) for row in rows}
    missing = sorted({*WRITTEN_TABLES, "events", "windows"} - there)
    if missing:
        yield report.fail("tables", f"missing in {database}: {', '.join(missing)}", "tokentide init")
        return
    yield report.ok("tables", f"{len(there)} tables and views in {database}")


def _migrations(report: Reporter, settings: Settings) -> Iterator[Finding]:
    """Whether the database has the schema of this release."""
    if missing_modules("stream"):
        yield report.skip("migrations", "compared only where the extra [stream] is installed")
        return
    from tokentide.sql.errors import SqlError  # noqa: PLC0415 - after the check for the extra
    from tokentide.sql.migrate import pending  # noqa: PLC0415 - after the check for the extra

    try:
        with sql_client(settings.clickhouse, purpose="`tokentide doctor`") as client:
            waiting = pending(client, settings.clickhouse.url.database)
    except SqlError as error:
        yield report.fail(
            "migrations", str(error), "Run the release of Tokentide that the database belongs to."
        )
        return
    if waiting:
        yield report.warn("migrations", f"to be applied: {', '.join(waiting)}", "tokentide init")
    else:
        yield report.ok("migrations", "the schema is the one of this release")


def _rights(report: Reporter, clickhouse: ClickHouseHttp, database: str) -> Iterator[Finding]:
    """Whether the user may write where a worker writes; a reader need not."""
    is_reader = bool(int(str(clickhouse.value("SELECT getSetting('readonly') AS readonly"))))
    lacking = [
        table
        for table in WRITTEN_TABLES
        if is_reader or not _is_granted(clickhouse, f"INSERT, SELECT ON `{database}`.`{table}`")
    ]
    user = clickhouse.url.user
    if lacking:
        yield report.warn(
            "rights",
            f"{user} may not write {', '.join(lacking)}: good for readers, not for workers and `init`",
            "Use the worker's user in clickhouse.url where a worker runs.",
        )
    else:
        yield report.ok("rights", f"{user} may read and write")


def _is_granted(clickhouse: ClickHouseHttp, right: str) -> bool:
    try:
        return bool(int(str(clickhouse.value(f"CHECK GRANT {right}"))))
    except RefusedError:  # older servers do not know the question; then the worker will find out
        return True


def _clock(report: Reporter, clickhouse: ClickHouseHttp) -> Iterator[Finding]:
    before = time.time()
    there = float(str(clickhouse.value("SELECT toUnixTimestamp64Milli(now64(3)) / 1000 AS t")))
    after = time.time()
    off_s = there - (before + after) / 2
    if abs(off_s) > CLOCK_TOLERANCE_S + (after - before) / 2:
        yield report.warn(
            "clock",
            f"ClickHouse's clock is {abs(off_s):.1f} s {'ahead of' if off_s > 0 else 'behind'} this machine's",
            "Synchronise both (NTP): retention and freshness are judged by ClickHouse's clock.",
        )
    else:
        yield report.ok("clock", f"within {max(abs(off_s), 0.1):.1f} s of this machine's")


def _disks(report: Reporter, clickhouse: ClickHouseHttp) -> Iterator[Finding]:
    rows = clickhouse.rows(
        "SELECT name, path, least(free_space, unreserved_space) AS free, total_space AS total FROM system.disks "
        "WHERE total_space > 0"
    )
    for row in rows:
        free, total = int(str(row["free"])), int(str(row["total"]))
        has_limit = total < ENDLESS_BYTES
        text = f"{room(free, total) if has_limit else 'no limit'} at {row['path']}"
        yield disk_of_clickhouse(
            report,
            f"disk {row['name']}",
            text,
            free_bytes=free,
            low_bytes=total * FREE_SHARE if has_limit else 0,
        )
