"""The roles for servers. The engine in this process manages no access, so they are parsed and read, not run."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tokentide.sql.identifiers import render
from tokentide.sql.statements import split_statements

ROLES = ("analyst", "worker")


def _statements(name):
    text = files("tokentide.sql").joinpath("roles", f"{name}.sql").read_text(encoding="utf-8")
    return split_statements(render(text, "tokentide"))


@pytest.mark.parametrize("name", ROLES)
def test_every_statement_of_a_role_is_known_to_the_parser(engine, name):
    for statement in _statements(name):
        assert engine.query("SELECT formatQuery({q:String})", {"q": statement}).result_rows


def test_the_parser_would_refuse_a_statement_it_does_not_know(engine):
    with pytest.raises(DatabaseError):
        engine.query("SELECT formatQuery({q:String})", {"q": "GRANT SELECTION ON a.* TO"})


@pytest.mark.parametrize("name", ROLES)
def test_settings_of_a_role_exist(engine, name):
    known = {row[0] for row in engine.query("SELECT name FROM system.settings").result_rows}
    used = set(re.findall(r"\b([a-z][a-z_]+) = ", " ".join(_statements(name))))
    assert used
    assert used <= known


def test_the_analyst_may_ask_what_the_doctor_and_the_audit_ask(repository):
    granted = {
        target
        for statement in _statements("analyst")
        for target in re.findall(r"GRANT SELECT ON (\S+)", statement)
    }
    files = [repository / "cli" / "doctor" / "clickhouse_checks.py", *(repository / "sql").glob("*.py")]
    asked = {name for file in files for name in re.findall(r"FROM (system\.\w+)", file.read_text())}
    assert "system.disks" in asked
    assert asked <= granted


def test_the_analyst_may_only_select():
    grants = [statement for statement in _statements("analyst") if statement.startswith("GRANT")]
    assert grants
    assert {statement.split(" ON ")[0] for statement in grants} == {"GRANT SELECT"}
