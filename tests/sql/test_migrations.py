"""The runner: forward only, recorded, safe to repeat and to run twice at once."""

from __future__ import annotations

import threading
from dataclasses import replace

import clickhouse_connect
import pytest

from tests.support.clickhouse_rows import event, event_table
from tokentide.sql.catalogue import Catalogue, SqlFile, catalogue
from tokentide.sql.errors import (
    ChangedMigrationError,
    InvalidIdentifierError,
    NewerDatabaseError,
    StatementError,
)
from tokentide.sql.migrate import Applied, migrate, pending
from tokentide.sql.retention import Retention, current_days

FIRST = SqlFile("migration", "0001_schema_migrations", catalogue().migrations[0].text)


def _schema(*files):
    return Catalogue.of((FIRST, *files))


def _table(name, number=2):
    return SqlFile(
        "migration",
        f"{number:04}_{name}",
        f"CREATE TABLE IF NOT EXISTS {{database}}.{name} (n Int64) ENGINE = MergeTree ORDER BY n;",
    )


def test_a_new_database_gets_everything_and_the_second_run_does_nothing(new_database):
    database = new_database()
    schema = catalogue()
    steps = migrate(database.client, database.name)
    assert [step.name for step in steps] == [
        file.name for file in (*schema.migrations, *schema.functions, *schema.views)
    ]
    assert migrate(database.client, database.name) == []


def test_steps_are_told_while_they_happen(new_database):
    database = new_database()
    told = []
    assert migrate(database.client, database.name, schema=_schema(), on_step=told.append) == told
    assert told == [Applied("migration", "0001_schema_migrations")]


def test_pending_names_the_missing_migrations_and_changes_nothing(new_database):
    database = new_database()
    assert pending(database.client, database.name, schema=_schema(_table("a"))) == [
        "0001_schema_migrations",
        "0002_a",
    ]
    assert database.ask("SELECT 1 FROM system.databases WHERE name = {n:String}", n=database.name) == []
    migrate(database.client, database.name, schema=_schema())
    assert pending(database.client, database.name, schema=_schema(_table("a"))) == ["0002_a"]


def test_each_step_is_recorded_with_the_hash_of_its_file(new_database):
    database = new_database()
    table = _table("a")
    migrate(database.client, database.name, schema=_schema(table))
    assert database.ask(
        "SELECT kind, name, sha256 FROM {database}.schema_migrations FINAL ORDER BY name"
    ) == [
        ("migration", FIRST.name, FIRST.sha256),
        ("migration", table.name, table.sha256),
    ]


def test_a_later_run_applies_only_what_is_new(new_database):
    database = new_database()
    migrate(database.client, database.name, schema=_schema(_table("a")))
    steps = migrate(database.client, database.name, schema=_schema(_table("a"), _table("b", 3)))
    assert steps == [Applied("migration", "0003_b")]


def test_a_migration_changed_after_it_was_applied_is_refused_before_anything_is_done(new_database):
    database = new_database()
    migrate(database.client, database.name, schema=_schema(_table("a")))
    changed = replace(_table("a"), text=_table("a").text + "-- edited")
    with pytest.raises(
        ChangedMigrationError, match=r"0002_a .* put the change into a new migration"
    ) as caught:
        migrate(database.client, database.name, schema=_schema(changed, _table("b", 3)))
    assert (caught.value.applied_sha256, caught.value.file_sha256) == (_table("a").sha256, changed.sha256)
    assert (
        database.ask(
            "SELECT 1 FROM system.tables WHERE database = {n:String} AND name = 'b'", n=database.name
        )
        == []
    )


def test_a_database_of_a_newer_release_is_refused(new_database):
    database = new_database()
    migrate(database.client, database.name, schema=_schema(_table("a"), _table("b", 3)))
    with pytest.raises(NewerDatabaseError, match="0003_b"):
        migrate(database.client, database.name, schema=_schema(_table("a")))


def test_a_refused_statement_names_its_file_and_the_next_run_goes_on_from_there(new_database):
    database = new_database()
    broken = SqlFile(
        "migration", "0003_b", "SELECT 1; CREATE TABLE {database}.b (n Nonsense) ENGINE = Memory;"
    )
    with pytest.raises(
        StatementError, match=r"statement 2 of sql/migrations/0003_b\.sql \(code 50\)"
    ) as caught:
        migrate(database.client, database.name, schema=_schema(_table("a"), broken))
    assert caught.value.code == 50
    assert caught.value.__cause__ is not None
    steps = migrate(database.client, database.name, schema=_schema(_table("a"), _table("b", 3)))
    assert steps == [Applied("migration", "0003_b")]


def _view(text, needs=""):
    header = f"-- Needs: {needs}\n" if needs else ""
    return SqlFile("view", "v", f"{header}CREATE OR REPLACE VIEW {{database}}.v AS {text}")


def test_a_view_is_replaced_when_its_file_changes_and_only_then(new_database):
    database = new_database()
    migrate(database.client, database.name, schema=_schema(_view("SELECT 1 AS n")))
    assert migrate(database.client, database.name, schema=_schema(_view("SELECT 1 AS n"))) == []
    assert migrate(database.client, database.name, schema=_schema(_view("SELECT 2 AS n"))) == [
        Applied("view", "v")
    ]
    assert database.ask("SELECT n FROM {database}.v") == [(2,)]


def test_a_view_is_created_again_when_a_function_it_uses_changes(new_database):
    """ClickHouse writes the function's body into the view."""
    database = new_database()

    def schema(factor):
        function = SqlFile(
            "function", "times", f"CREATE OR REPLACE FUNCTION tokentide_test AS n -> n * {factor}"
        )
        return _schema(function, _view("SELECT tokentide_test(21) AS n"))

    migrate(database.client, database.name, schema=schema(1))
    migrate(database.client, database.name, schema=schema(2))
    assert database.ask("SELECT n FROM {database}.v") == [(42,)]
    database.client.command("DROP FUNCTION tokentide_test")


def test_a_view_over_all_columns_sees_those_of_a_later_migration(new_database):
    database = new_database()
    view = _view("SELECT * FROM {database}.a")
    migrate(database.client, database.name, schema=_schema(_table("a"), view))
    more = SqlFile("migration", "0003_more", "ALTER TABLE {database}.a ADD COLUMN IF NOT EXISTS m Int64")
    migrate(database.client, database.name, schema=_schema(_table("a"), more, view))
    assert database.ask(
        "SELECT name FROM system.columns WHERE table = 'v' AND database = {n:String}", n=database.name
    ) == [("n",), ("m",)]


def test_a_view_dropped_by_hand_comes_back(new_database):
    database = new_database()
    migrate(database.client, database.name)
    database.do("DROP VIEW {database}.costs SYNC")
    assert migrate(database.client, database.name) == [Applied("view", "costs")]


def test_runners_that_start_at_once_leave_one_good_schema(new_database):
    database = new_database()
    failures = []

    def run():
        client = clickhouse_connect.get_client(dsn=f"chdb://{database.client.path}")
        try:
            migrate(client, database.name, retention=Retention())
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error.__cause__ or error)
        finally:
            client.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert migrate(database.client, database.name, retention=Retention()) == []
    database.insert("llm_events", event_table([event(0)]))
    assert database.ask("SELECT event_id FROM {database}.events") == [("event-0",)]


def test_retention_counts_from_storing_and_is_changed_by_the_next_run(new_database):
    database = new_database()
    migrate(database.client, database.name, retention=Retention(events_days=30, windows_days=60))
    days = current_days(database.client, database.name)
    assert {table: days[table] for table in (*Retention().days_by_table(), "llm_ledger")} == {
        "llm_events": 30,
        "llm_evaluations": 30,
        "llm_occurrences": 60,
        "llm_windows": 60,
        "llm_anomalies": 60,
        "llm_ledger": 0,
    }
    ((engine,),) = database.ask(
        "SELECT engine_full FROM system.tables WHERE name = 'llm_events' AND database = {n:String}",
        n=database.name,
    )
    assert "TTL toDateTime(stored_at) + toIntervalDay(30)" in engine

    forever = Retention(events_days=0, windows_days=0)
    changed = {step.name for step in migrate(database.client, database.name, retention=forever)}
    assert changed == set(Retention().days_by_table())
    assert set(current_days(database.client, database.name).values()) == {0}
    assert migrate(database.client, database.name, retention=forever) == []


def test_an_old_event_stored_today_stays_and_a_row_stored_long_ago_goes(new_database):
    database = new_database()
    migrate(database.client, database.name, retention=Retention(events_days=1, windows_days=1))
    old = "toDateTime64('2003-01-01 00:00:00', 6, 'UTC')"
    for name, stored in (("replayed", "now64(3)"), ("stored-long-ago", "now64(3) - INTERVAL 2 DAY")):
        database.do(
            "INSERT INTO {database}.llm_events (timestamp, service, event_id, stored_at) "
            f"SELECT {old}, 'chat', '{name}', {stored}"
        )
    database.do("OPTIMIZE TABLE {database}.llm_events FINAL")
    assert database.ask("SELECT event_id FROM {database}.events") == [("replayed",)]


@pytest.mark.parametrize("name", ["a`; DROP DATABASE x", "1abc", "", "a" * 64, "a.b", "daten-bank", "é"])
def test_names_that_are_not_plain_identifiers_never_reach_sql(engine, name):
    with pytest.raises(InvalidIdentifierError, match="TOKENTIDE_CLICKHOUSE_URL"):
        migrate(engine, name)
