"""What users are told of the database's views."""

from __future__ import annotations

import json

import pytest
from fake_clickhouse import Answer, Server

from tokentide.cli.commands.query import hint_of_views
from tokentide.cli.main import main
from tokentide.cli.views import missing_parameters, view_with_parameter, views, views_markdown
from tokentide.sql.catalogue import catalogue

NO_COLUMNS = "ClickHouse (code 51) Empty list of columns in projection. (EMPTY_LIST_OF_COLUMNS_QUERIED)"
NO_SCHEMA = "ClickHouse (code 1) Cannot infer table schema for the parameterized view when no query parameters are provided."
NO_SECONDS = "ClickHouse (code 456) Substitution `seconds` is not set. (UNKNOWN_QUERY_PARAMETER)"
OF_ERROR_RATES = "This view takes parameters: error_rates_every(seconds = 3600)"


def test_every_view_has_a_question_and_those_with_parameters_a_call():
    assert {view.name for view in views()} == {file.name for file in catalogue().views}
    for view, file in zip(views(), sorted(catalogue().views, key=lambda file: file.name), strict=True):
        assert view.question.endswith("?")
        has_parameters = "{" in file.text.replace("{database}", "")
        assert (view.call is not None) == has_parameters, view.name


def test_the_table_has_each_view_once():
    table = views_markdown()
    for view in views():
        assert table.count(f"`{view.call or view.name}`") == 1


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("SELECT * FROM error_rates_every", NO_COLUMNS, OF_ERROR_RATES),
        ("DESCRIBE error_rates_every", NO_SCHEMA, OF_ERROR_RATES),
        ("SELECT * FROM error_rates_every(second = 60)", NO_SECONDS, OF_ERROR_RATES),
        (
            "SELECT * FROM error_rates_every(seconds = {seconds:UInt32})",
            NO_SECONDS.replace("seconds", "s"),
            "",
        ),
        ("SELECT * FROM error_rates_every(seconds = 60)", NO_COLUMNS, ""),
        ("SELECT * FROM error_rates", NO_COLUMNS, ""),
        ("SELECT * FROM error_rates_every", "ClickHouse (code 241) Memory limit exceeded", ""),
    ],
)
def test_a_view_without_its_parameters_is_named_with_them(sql, message, hint):
    assert hint_of_views(sql, message) == hint


def test_a_view_of_the_users_own_is_not_taken_for_one_of_ours():
    assert missing_parameters("SELECT * FROM my_costs_every") is None
    assert view_with_parameter("SELECT * FROM my_costs_every(x = 1)", "seconds") is None


@pytest.fixture
def asked(monkeypatch):
    def ask(answer: Answer, *words: str) -> tuple[int, Server]:
        server = Server(answer)
        with server.running():
            monkeypatch.setenv("TOKENTIDE_CLICKHOUSE_URL", f"http://ann@127.0.0.1:{server.port}/metrics")
            return main(["query", *words]), server

    return ask


def test_the_hint_follows_the_refusal(asked, capsys):
    refusal = b"Code: 51. DB::Exception: Empty list. (EMPTY_LIST_OF_COLUMNS_QUERIED) (version 26.9.1.1)"
    code, _ = asked(Answer(refusal, 400), "SELECT * FROM error_rates_every")
    assert code == 5
    assert capsys.readouterr().err.endswith(f"\n  {OF_ERROR_RATES}\n")


def test_json_is_a_row_a_line(asked, capsysbinary):
    code, server = asked(Answer(b'{"n":1}\n'), "SELECT 1 AS n", "--json")
    assert code == 0
    assert json.loads(capsysbinary.readouterr().out) == {"n": 1}
    assert server.requests[0].arguments["default_format"] == "JSONEachRow"
