"""Brings a database to the schema of this release: forward only, recorded, safe to repeat and to run twice at once.

Each migration is applied once and never changes; functions and views are replaced when their file, or anything they
rest on, has changed. All statements are idempotent (`IF NOT EXISTS`, `OR REPLACE`), so two runners that start
together do the same work twice and no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from tokentide import __version__
from tokentide.sql.catalogue import Catalogue, Kind, SqlFile, catalogue
from tokentide.sql.client import SqlClient
from tokentide.sql.errors import ChangedMigrationError, NewerDatabaseError, StatementError
from tokentide.sql.identifiers import database_name, render
from tokentide.sql.retention import Retention, apply_retention
from tokentide.sql.statements import split_statements

_RACED: Final = frozenset({57, 60, 82, 218, 608, 609})
"""Errors that a second runner at work can cause: a table, database or function exists, is gone or is dropped."""
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Applied:
    """One step that `migrate` took."""

    kind: Literal["migration", "function", "view", "retention"]
    name: str


class _Key(NamedTuple):
    kind: str
    name: str


def migrate(
    client: SqlClient,
    database: str,
    *,
    retention: Retention | None = None,
    schema: Catalogue | None = None,
    on_step: Callable[[Applied], None] = lambda _: None,
) -> list[Applied]:
    """Create or update the database; return the steps taken, none where all was up to date.

    Args:
        client: connected without a database, or to one that exists; needs the right to create tables,
            views and functions (and the database, if it is not there).
        database: its name.
        retention: how long rows are kept; None leaves it as it is (for ever, in a new database).
        schema: the files to apply; those of this release.
        on_step: called after each step, for progress.

    Raises:
        InvalidIdentifierError: the database's name.
        ChangedMigrationError, NewerDatabaseError: database and release do not belong together; nothing was done.
        StatementError: ClickHouse refused a statement; the steps before it stay, and a new run goes on from there.
    """
    schema = catalogue() if schema is None else schema
    run = _Run(client, database_name(database), on_step)
    run.create_database()
    recorded = run.recorded()
    _check(schema, recorded)
    for file in schema.migrations:
        if _Key("migration", file.name) not in recorded:
            run.apply(file, file.sha256)
    run.replace("function", {file: file.sha256 for file in schema.functions}, recorded)
    run.replace("view", {file: schema.view_sha256(file) for file in schema.views}, recorded)
    if retention is not None:
        for table in apply_retention(client, database, retention):
            run.note(Applied("retention", table))
    return run.applied


def pending(client: SqlClient, database: str, *, schema: Catalogue | None = None) -> list[str]:
    """Names of the migrations that the database lacks; all of them where there is no database. Changes nothing.

    Raises:
        InvalidIdentifierError, ChangedMigrationError, NewerDatabaseError: as `migrate`.
    """
    schema = catalogue() if schema is None else schema
    recorded = _Run(client, database_name(database), lambda _: None).recorded()
    _check(schema, recorded)
    return [file.name for file in schema.migrations if _Key("migration", file.name) not in recorded]


def _check(schema: Catalogue, recorded: Mapping[_Key, str]) -> None:
    known = {file.name: file.sha256 for file in schema.migrations}
    applied = {key.name: sha256 for key, sha256 in recorded.items() if key.kind == "migration"}
    if unknown := sorted(applied.keys() - known.keys()):
        raise NewerDatabaseError(unknown)
    for name, sha256 in applied.items():
        if known[name] != sha256:
            raise ChangedMigrationError(name=name, applied_sha256=sha256, file_sha256=known[name])


class _Run:
    """One run against one database."""

    def __init__(self, client: SqlClient, database: str, on_step: Callable[[Applied], None]) -> None:
        self._client = client
        self._database = database
        self._on_step = on_step
        self.applied: list[Applied] = []

    def create_database(self) -> None:
        """Asks first: a user who may use the database need not have the right to create one."""
        if not self._exists("SELECT 1 FROM system.databases WHERE name = {database:String}"):
            self._statement(f"CREATE DATABASE IF NOT EXISTS {self._database}", "CREATE DATABASE", 1)

    def recorded(self) -> dict[_Key, str]:
        """SHA-256 of all that has been applied."""
        if not self._exists(
            "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'"
        ):
            return {}
        rows = self._client.query(
            f"SELECT kind, name, sha256 FROM {self._database}.schema_migrations FINAL"  # noqa: S608  # a checked name
        ).result_rows
        return {_Key(kind, name): sha256 for kind, name, sha256 in rows}

    def replace(self, kind: Kind, wanted: Mapping[SqlFile, str], recorded: Mapping[_Key, str]) -> None:
        """Create again what has changed, or was dropped by hand."""
        present = self._present(kind)
        for file, sha256 in wanted.items():
            if file.name not in present or recorded.get(_Key(kind, file.name)) != sha256:
                self.apply(file, sha256)

    def apply(self, file: SqlFile, sha256: str) -> None:
        for number, statement in enumerate(
            split_statements(render(file.text, self._database), where=file.path), 1
        ):
            self._statement(statement, file.path, number)
        self._client.command(
            f"INSERT INTO {self._database}.schema_migrations (kind, name, sha256, release) "  # a checked name
            "SELECT {kind:String}, {name:String}, {sha256:String}, {release:String}",
            {"kind": file.kind, "name": file.name, "sha256": sha256, "release": __version__},
        )
        self.note(Applied(file.kind, file.name))

    def note(self, step: Applied) -> None:
        self.applied.append(step)
        self._on_step(step)

    def _statement(self, statement: str, file: str, number: int) -> None:
        for left in reversed(range(_TRIES)):
            try:
                self._client.command(statement)
            except Exception as error:
                code = getattr(error, "code", None)
                if code in _RACED and left:
                    continue
                raise StatementError(file=file, number=number, code=code) from error
            return

    def _exists(self, query: str) -> bool:
        return bool(self._client.query(query, {"database": self._database}).result_rows)

    def _present(self, kind: Kind) -> set[str]:
        query = (
            "SELECT name FROM system.functions WHERE origin = 'SQLUserDefined'"
            if kind == "function"
            else "SELECT name FROM system.tables WHERE database = {database:String}"
        )
        return {name for (name,) in self._client.query(query, {"database": self._database}).result_rows}
