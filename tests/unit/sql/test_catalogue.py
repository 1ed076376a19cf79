"""The SQL files of the package: complete, ordered, with headers."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tokentide.sql.catalogue import Catalogue, SqlFile, catalogue, named_query
from tokentide.sql.errors import SqlFileError
from tokentide.sql.identifiers import render
from tokentide.sql.statements import split_statements

_HEADER = ("Question", "Grain", "Units", "Time column", "Cost")


def _texts(folder):
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in files("tokentide.sql").joinpath(folder).iterdir()
    }


@pytest.mark.parametrize("folder", ["views", "queries"])
def test_every_view_and_query_has_its_header(folder):
    for name, text in _texts(folder).items():
        missing = [part for part in _HEADER if f"-- {part}: " not in text]
        # A parametrised view points to the view that explains its columns.
        assert missing in ([], ["Units"]), name
        assert "Units" not in missing or "-- Units and columns: as `" in text, name


@pytest.mark.parametrize("folder", ["migrations", "functions"])
def test_every_migration_and_function_begins_with_its_reason(folder):
    assert all(text.startswith("-- ") for text in _texts(folder).values())


def test_every_statement_is_idempotent():
    schema = catalogue()
    allowed = re.compile(
        r"(CREATE TABLE IF NOT EXISTS|CREATE MATERIALIZED VIEW IF NOT EXISTS|CREATE OR REPLACE (VIEW|FUNCTION)"
        r"|ALTER TABLE \S+\s+(ADD (COLUMN|INDEX) IF NOT EXISTS|COMMENT COLUMN|MODIFY))\b"
    )
    for file in (*schema.migrations, *schema.functions, *schema.views):
        for statement in split_statements(file.text):
            assert allowed.match(statement), (file.name, statement[:60])
            assert not re.search(r"\bADD (COLUMN|INDEX) (?!IF NOT EXISTS\b)", statement), file.name


def test_no_file_names_the_database_itself():
    for folder in ("migrations", "views", "queries", "roles", "functions"):
        for name, text in _texts(folder).items():
            statements = re.sub(r"--[^\n]*", "", text)
            assert not re.search(r"\btokentide\.", statements), name


def test_parameters_of_views_survive_the_name_of_the_database():
    assert render("{database}.v(seconds = {seconds:UInt32})", "tt") == "tt.v(seconds = {seconds:UInt32})"


def _view(name, needs=""):
    return SqlFile("view", name, f"-- Needs: {needs}\nSELECT 1" if needs else "SELECT 1")


def test_a_view_comes_after_the_views_it_needs():
    views = Catalogue.of([_view("a", "b, c"), _view("b", "c"), _view("c")]).views
    assert [view.name for view in views] == ["c", "b", "a"]


def test_views_of_the_release_come_after_what_their_text_selects_from():
    seen = set()
    names = {view.name for view in catalogue().views}
    for view in catalogue().views:
        used = set(re.findall(r"(?:FROM|JOIN) \{database\}\.(\w+)", view.text)) & names
        assert used <= seen, view.name
        seen.add(view.name)


def test_the_hash_of_a_view_follows_everything_below_it():
    def of(base="SELECT 1", function="f", migration="m"):
        schema = Catalogue.of(
            [
                SqlFile("migration", "0001_a", migration),
                SqlFile("function", "f", function),
                SqlFile("view", "base", base),
                _view("top", "base"),
            ]
        )
        return schema.view_sha256(schema.views[-1])

    assert of() == of()
    assert len({of(), of(base="SELECT 2"), of(function="g"), of(migration="n")}) == 4


@pytest.mark.parametrize(
    ("sql_files", "said"),
    [
        ([SqlFile("migration", "0002_a", "")], "0001"),
        ([SqlFile("migration", "1_a", "")], "NNNN_name"),
        ([_view("a", "missing")], "missing"),
        ([_view("a", "b"), _view("b", "a")], "circle"),
    ],
)
def test_a_broken_set_of_files_is_named(sql_files, said):
    with pytest.raises(SqlFileError, match=said):
        Catalogue.of(sql_files)


def test_a_query_that_is_not_there_is_named():
    with pytest.raises(SqlFileError, match="no_such_query"):
        named_query("no_such_query")
