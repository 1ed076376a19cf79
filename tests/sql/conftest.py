"""The engine of ClickHouse in this process, migrated once; each test finds empty tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import clickhouse_connect
import pytest

from tests.support.clickhouse_engine import open_engine
from tests.support.clickhouse_rows import FOLD, Row, event_table, ledger_table, partial_table
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.sql.identifiers import render
from tokentide.sql.migrate import migrate

TABLES: Final = (
    "llm_events",
    "llm_evaluations",
    "llm_occurrences",
    "llm_windows",
    "llm_ledger",
    "llm_anomalies",
)
_numbers = itertools.count()


@dataclass(frozen=True)
class Database:
    """One migrated database and the ways to fill and ask it."""

    client: Any
    name: str

    def ask(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query; `{database}` stands for the database's name."""
        return [tuple(row) for row in self.client.query(render(sql, self.name), parameters).result_rows]

    def dicts(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows by column name."""
        result = self.client.query(render(sql, self.name), parameters)
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def do(self, sql: str) -> None:
        """A statement without rows."""
        self.client.command(render(sql, self.name))

    def insert(self, table: str, rows: Any) -> None:
        """Arrow rows, through the sink that the worker uses."""
        client = clickhouse_connect.get_client(dsn=f"chdb://{self.client.path}", database=self.name)
        sink = ClickHouseSink(lambda: client, compression="none")
        sink.insert(table, rows)
        sink.close()

    def store(self, events: Sequence[Row], *, fold: int = FOLD, **ledger: Any) -> None:
        """What a worker leaves of these events: event rows, partials, ledger."""
        self.insert("llm_events", event_table(events))
        self.insert("llm_windows", partial_table(events, fold=fold))
        self.insert("llm_ledger", ledger_table(events, fold=fold, **ledger))


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of the engine in this process."""
    client = open_engine()
    yield client
    client.close()


@pytest.fixture(scope="session")
def _migrated(engine: Any) -> Database:
    migrate(engine, "tokentide")
    return Database(engine, "tokentide")


@pytest.fixture
def database(_migrated: Database) -> Database:
    """A migrated database with empty tables."""
    for table in TABLES:
        _migrated.do(f"TRUNCATE TABLE {{database}}.{table}")
    return _migrated


@pytest.fixture
def new_database(engine: Any) -> Iterator[Callable[[], Database]]:
    """Makes names of databases that do not exist yet, and drops them afterwards."""
    made: list[Database] = []

    def make() -> Database:
        made.append(Database(engine, f"fresh_{next(_numbers)}"))
        return made[-1]

    yield make
    for database in made:
        engine.command(f"DROP DATABASE IF EXISTS {database.name} SYNC")
