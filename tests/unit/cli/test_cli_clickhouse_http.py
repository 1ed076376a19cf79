"""The small ClickHouse client, against a server that answers as told."""

from __future__ import annotations

import pytest
from fake_clickhouse import Answer, Server

from tokentide.cli.clickhouse_http import ClickHouseHttp, server_version
from tokentide.cli.exits import ExitCode, RefusedError, UnknownTableError, UnreachableError
from tokentide.cli.main import main

SYNTAX = "Code: 62. DB::Exception: Syntax error: failed at position 1 (SELEC): SELEC. (SYNTAX_ERROR) (version 26.9.1.1 (official build))\n"


def test_a_query_carries_database_format_and_parameters_and_the_login_in_headers() -> None:
    server = Server(Answer(b'{"n":1}\n'))
    with server.running() as clickhouse:
        pieces = clickhouse.stream("SELECT 1", output_format="JSONEachRow", parameters={"s": "a\tb\\c\nd"})
        assert b"".join(pieces) == b'{"n":1}\n'
    (request,) = server.requests
    assert request.body == "SELECT 1"
    assert request.arguments == {
        "database": "metrics",
        "default_format": "JSONEachRow",
        "param_s": "a\\tb\\\\c\\nd",
    }
    assert (request.headers["X-ClickHouse-User"], request.headers["X-ClickHouse-Key"]) == ("ann", "c@nary")
    assert "nary" not in request.path


def test_rows_are_read_by_name() -> None:
    with Server(Answer(b'{"a":1,"b":"x"}\n{"a":2,"b":null}\n')).running() as clickhouse:
        assert clickhouse.rows("q") == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
        assert clickhouse.value("q") == 1


def test_no_row_is_no_value() -> None:
    with Server(Answer(b"")).running() as clickhouse:
        assert clickhouse.value("q") is None


def test_reading_asks_for_a_query_that_can_change_nothing() -> None:
    server = Server()
    with server.running() as clickhouse:
        list(clickhouse.read_only("SELECT 1", output_format="TSV", options={"max_threads": "1"}))
    assert server.requests[0].arguments["readonly"] == "1"
    assert server.requests[0].arguments["max_threads"] == "1"


def test_a_user_who_may_not_even_say_read_only_can_ask_all_the_same() -> None:
    refusal = b"Code: 164. DB::Exception: Cannot modify 'readonly' setting in readonly mode. (READONLY)\n"
    server = Server(Answer(refusal, 500), Answer(b"42\n"))
    with server.running() as clickhouse:
        assert b"".join(clickhouse.read_only("SELECT 42", output_format="TSV")) == b"42\n"
    assert "readonly" not in server.requests[1].arguments


def test_an_attempt_to_change_something_is_not_sent_again_without_the_guard() -> None:
    refusal = b"Code: 164. DB::Exception: ann: Cannot execute query in readonly mode. (READONLY)\n"
    server = Server(Answer(refusal, 500))
    with server.running() as clickhouse, pytest.raises(RefusedError, match="code 164") as caught:
        list(clickhouse.read_only("DROP TABLE x", output_format="TSV"))
    assert len(server.requests) == 1
    assert "read-only" in caught.value.hint


def test_an_error_has_its_code_its_sentence_and_a_hint() -> None:
    server = Server(Answer(SYNTAX.encode(), 400, {"X-ClickHouse-Exception-Code": "62"}))
    with server.running() as clickhouse, pytest.raises(RefusedError) as caught:
        list(clickhouse.stream("SELEC"))
    assert caught.value.message == (
        "ClickHouse (code 62) Syntax error: failed at position 1 (SELEC): SELEC. (SYNTAX_ERROR)"
    )
    assert "syntax" in caught.value.hint
    assert caught.value.exit_code == ExitCode.REFUSED


@pytest.mark.parametrize("code", [60, 81])
def test_an_unknown_table_points_to_init(code: int) -> None:
    server = Server(Answer(f"Code: {code}. DB::Exception: no such thing. (X)".encode(), 404))
    with server.running() as clickhouse, pytest.raises(UnknownTableError) as caught:
        list(clickhouse.stream("q"))
    assert "tokentide init" in caught.value.hint


def test_an_answer_that_is_no_error_of_clickhouse_is_named_by_its_status() -> None:
    with Server(Answer(b"", 502)).running() as clickhouse, pytest.raises(RefusedError, match="HTTP 502"):
        list(clickhouse.stream("q"))


def late_error(tag: bool) -> Answer:  # noqa: FBT001 - a parametrised test gives it
    if tag:
        body = b"1\n2\n\r\n__exception__\r\nabc\r\nCode: 395. DB::Exception: gave up. (X) (version 26.9.2.1)\n\r\n23 abc\r\n__exception__\r\n"
        return Answer(body, headers={"X-ClickHouse-Exception-Tag": "abc"})
    return Answer(b"1\n2\nCode: 395. DB::Exception: gave up. (X) (version 26.9)\n", breaks_off=True)


@pytest.mark.parametrize("tag", [True, False])
def test_an_error_in_the_middle_of_the_result_is_an_error(tag: bool) -> None:  # noqa: FBT001 - parametrised
    with Server(late_error(tag)).running() as clickhouse, pytest.raises(RefusedError) as caught:
        list(clickhouse.stream("q"))
    assert caught.value.message == "the result is incomplete: ClickHouse (code 395) gave up. (X)"


def test_what_came_before_a_late_error_is_given_and_nothing_of_the_error() -> None:
    got = b""

    def read_all(clickhouse: ClickHouseHttp) -> None:
        nonlocal got
        for piece in clickhouse.stream("q"):
            got += piece

    with Server(late_error(tag=True)).running() as clickhouse, pytest.raises(RefusedError):
        read_all(clickhouse)
    assert got == b"1\n2\n"


def test_a_marker_that_is_cut_in_two_is_found() -> None:
    answer = late_error(tag=True)
    cut = answer.body.index(b"exception") + 3
    answer.pieces = (answer.body[:cut], answer.body[cut:])
    with Server(answer).running() as clickhouse, pytest.raises(RefusedError, match="code 395"):
        list(clickhouse.stream("q"))


def test_a_whole_result_is_given_whole_where_errors_could_come_late() -> None:
    answer = Answer(b"1\n2\n", headers={"X-ClickHouse-Exception-Tag": "abc"})
    with Server(answer).running() as clickhouse:
        assert b"".join(clickhouse.stream("q")) == b"1\n2\n"


def test_a_result_that_breaks_off_without_a_word_is_an_error() -> None:
    server = Server(Answer(b"1\n2\n", breaks_off=True))
    with server.running() as clickhouse, pytest.raises(UnreachableError, match="in the middle of the result"):
        list(clickhouse.stream("q"))


def test_rows_that_look_like_an_error_are_rows() -> None:
    body = b"Code: 62. DB::Exception: quoted in a log table\n"
    with Server(Answer(body)).running() as clickhouse:
        assert b"".join(clickhouse.stream("q")) == body


def test_nobody_there_is_unreachable_without_the_password() -> None:
    server = Server()
    with server.running():
        pass
    with pytest.raises(UnreachableError) as caught:
        server.client().ping()
    assert "connection refused" in caught.value.message
    assert "http://ann:***@127.0.0.1" in caught.value.message
    assert "nary" not in caught.value.message + caught.value.hint


def test_a_ping_tells_clickhouse_from_other_servers() -> None:
    with Server(Answer(b"Ok.\n")).running() as clickhouse:
        clickhouse.ping()
    with (
        Server(Answer(b"<html>")).running() as clickhouse,
        pytest.raises(UnreachableError, match="not ClickHouse"),
    ):
        clickhouse.ping()


def test_the_version_can_be_compared() -> None:
    with Server(Answer(b'{"v":"26.9.2.1"}\n')).running() as clickhouse:
        assert server_version(clickhouse) == (26, 9, "26.9.2.1")


def query(server: Server, *arguments: str) -> int:
    with server.running():
        url = f"http://ann:c4nary@127.0.0.1:{server.port}/metrics"
        return main(["query", "--clickhouse-url", url, *arguments])


def test_the_command_copies_the_answer(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    server = Server(Answer(b"\x00\xff1\n"))
    assert query(server, "SELECT 1;", "--param", "a=b=c", "--format", "RowBinary") == 0
    assert capfdbinary.readouterr().out == b"\x00\xff1\n"
    (request,) = server.requests
    assert request.body == "SELECT 1"
    assert request.arguments["param_a"] == "b=c"
    assert request.arguments["default_format"] == "RowBinary"


def test_without_a_terminal_the_format_is_tab_separated(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    server = Server()
    assert query(server, "SELECT 1") == 0
    assert server.requests[0].arguments["default_format"] == "TabSeparated"
    capfdbinary.readouterr()


HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\r\u202eä\tb\n".encode() + b"\xff\n"
SPELT_OUT = "\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\r\\u202eä\tb\n\\xff\n".encode()


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


def test_on_a_terminal_text_of_events_cannot_steer_it(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    on_terminal(monkeypatch)
    cut = HOSTILE.index("ä".encode()) + 1  # in the middle of a character
    server = Server(Answer(pieces=(HOSTILE[:cut], HOSTILE[cut:])))
    assert query(server, "SELECT prompt_name FROM events") == 0
    assert capfdbinary.readouterr().out == SPELT_OUT
    assert server.requests[0].arguments["output_format_pretty_color"] == "0", "it would be spelt out, too"


@pytest.mark.parametrize("options", [["--format", "Vertical"], ["--json"]])
def test_so_it_is_in_every_format(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    on_terminal(monkeypatch)
    assert query(Server(Answer(HOSTILE)), "SELECT 1", *options) == 0
    assert capfdbinary.readouterr().out == SPELT_OUT


def test_raw_bytes_come_on_a_terminal_to_those_who_ask_for_them(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    on_terminal(monkeypatch)
    assert query(Server(Answer(HOSTILE)), "SELECT 1", "--raw") == 0
    assert capfdbinary.readouterr().out == HOSTILE


def test_a_pipe_gets_the_bytes_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert query(Server(Answer(HOSTILE)), "SELECT 1") == 0
    assert capfdbinary.readouterr().out == HOSTILE


def test_an_error_that_quotes_a_value_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    body = "Code: 6. DB::Exception: Cannot parse string '\x1b[2J' as UInt8. (CANNOT_PARSE_TEXT)\n"
    assert query(Server(Answer(body.encode(), 400)), "SELECT toUInt8(prompt_name)") == ExitCode.REFUSED
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "'\\x1b[2J'" in shown


def test_an_sql_error_ends_with_5_and_one_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert query(Server(Answer(SYNTAX.encode(), 400)), "SELEC") == ExitCode.REFUSED
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ClickHouse (code 62) Syntax error")
    assert "c4nary" not in shown.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["SELECT 1", "--file", "x.sql"], "not both"),
        (["  ; "], "empty"),
        (["SELECT 1", "--param", "a"], "NAME=VALUE"),
        (["SELECT 1", "--param", "a b=1"], "NAME=VALUE"),
        (["--file", "/nowhere/x.sql"], "cannot be read"),
    ],
)
def test_a_statement_that_cannot_be_sent_ends_with_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", *arguments]) == ExitCode.USAGE
    assert says in capsys.readouterr().err


GRAMMAR = ", ".join(["SELECT query, possibly with UNION"] * 100)


def refusal_of(text: str) -> RefusedError:
    body = f"Code: 62. DB::Exception: {text} (SYNTAX_ERROR) (version 26.9.1.1 (official build))"
    with Server(Answer(body.encode(), 400)).running() as clickhouse, pytest.raises(RefusedError) as caught:
        list(clickhouse.stream("q"))
    return caught.value


def test_a_syntax_error_keeps_its_place_and_what_was_meant_and_loses_the_grammar() -> None:
    error = refusal_of(
        f"Syntax error: failed at position 1 (SELEC): SELEC 1. Maybe you meant: SELECT. Expected one of: {GRAMMAR}."
    )
    assert error.message == (
        "ClickHouse (code 62) Syntax error: failed at position 1 (SELEC): SELEC 1. Maybe you meant: SELECT."
    )
    assert "the position is named above" in error.hint


def test_of_what_could_stand_at_the_place_the_begin_is_kept_where_nothing_is_suggested() -> None:
    said = "Syntax error: failed at position 9 (end of query): . Expected one of: "
    error = refusal_of(f"{said}{GRAMMAR}.")
    assert error.message == f"ClickHouse (code 62) {said}{GRAMMAR[:199]}…"


def test_no_position_is_promised_where_none_is_named() -> None:
    assert refusal_of("Syntax error (Multi-statements are not allowed).").hint == ""
