"""The runner against a client that answers as told: another runner at work, and a server that stays broken."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tokentide.sql.catalogue import Catalogue, SqlFile
from tokentide.sql.errors import StatementError
from tokentide.sql.migrate import migrate

SCHEMA = Catalogue.of([SqlFile("view", "v", "CREATE OR REPLACE VIEW {database}.v AS SELECT 1")])


class Refused(Exception):  # noqa: N818 - named as the test tells it
    """A ClickHouse error with its code."""

    def __init__(self, code):
        self.code = code
        super().__init__(f"Code: {code}")


class RacingClient:
    """Has an empty database; refuses the first statements of a kind with a code."""

    def __init__(self, code, times):
        self.code = code
        self.times = times
        self.commands = []

    def query(self, query, parameters=None):
        del parameters
        return SimpleNamespace(column_names=["n"], result_rows=[(1,)] if "system.databases" in query else [])

    def command(self, cmd, parameters=None):
        del parameters
        self.commands.append(cmd)
        if cmd.startswith("CREATE") and self.times:
            self.times -= 1
            raise Refused(self.code)


@pytest.mark.parametrize("code", [57, 60, 218, 609])
def test_what_another_runner_can_cause_is_tried_again(code):
    client = RacingClient(code, times=2)
    assert [step.name for step in migrate(client, "db", schema=SCHEMA)] == ["v"]
    assert sum(command.startswith("CREATE") for command in client.commands) == 3


def test_a_cause_that_stays_ends_the_run():
    client = RacingClient(57, times=10**9)
    with pytest.raises(StatementError, match=r"sql/views/v\.sql \(code 57\)"):
        migrate(client, "db", schema=SCHEMA)


def test_any_other_refusal_ends_the_run_at_once():
    client = RacingClient(497, times=1)
    with pytest.raises(StatementError) as caught:
        migrate(client, "db", schema=SCHEMA)
    assert (caught.value.code, len(client.commands)) == (497, 1)
    assert isinstance(caught.value.__cause__, Refused)


def test_a_database_that_is_there_is_not_created():
    client = RacingClient(0, times=0)
    migrate(client, "db", schema=SCHEMA)
    assert not any(command.startswith("CREATE DATABASE") for command in client.commands)
