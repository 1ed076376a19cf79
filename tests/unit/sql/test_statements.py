"""Splitting SQL text into statements."""

from __future__ import annotations

import pytest

from tokentide.sql.errors import SqlFileError
from tokentide.sql.statements import split_statements


def test_semicolons_end_statements_and_are_left_out():
    assert split_statements("SELECT 1;\nSELECT 2 ;SELECT 3") == ["SELECT 1", "SELECT 2", "SELECT 3"]


@pytest.mark.parametrize("text", ["", "  \n", ";;", "-- nothing\n", "/* nothing; */ ;"])
def test_what_holds_no_statement_gives_none(text):
    assert split_statements(text) == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ';'",
        r"SELECT 'it\'s; fine'",
        "SELECT 'it''s; fine'",
        r"SELECT '\\'",
        'SELECT ";" AS "a;b"',
        "SELECT `;`",
        "SELECT 1 -- one; two",
        "SELECT 1 /* a; 'b */ + 1",
        "SELECT $$;$$, $tag$ ' ; $tag$",
        "SELECT 5 - -1",
    ],
)
def test_semicolons_in_quotes_comments_and_heredocs_end_nothing(statement):
    assert split_statements(f"{statement}\n;SELECT 2") == [statement, "SELECT 2"]


def test_comments_before_a_statement_are_left_out_and_those_inside_stay():
    assert split_statements("-- head; er\n/* x */ SELECT -- why\n1;") == ["SELECT -- why\n1"]


@pytest.mark.parametrize(
    "text", ["SELECT 1;\nSELECT 'open", "SELECT 1;\n/* open", 'SELECT 1;\nSELECT "a', "SELECT 1;\nSELECT `a"]
)
def test_an_open_quote_or_comment_is_named_with_its_line(text):
    with pytest.raises(SqlFileError, match=r"x\.sql: .* line 2"):
        split_statements(text, where="x.sql")
