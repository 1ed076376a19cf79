"""What requests ask for and by whom: parameters, settings, credentials, options."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from tokentide.embedded.clickhouse.auth import authenticate, credentials, refuse_foreign_page
from tokentide.embedded.clickhouse.errors import ServerError
from tokentide.embedded.clickhouse.guard import REFUSED_SETTINGS, Access
from tokentide.embedded.clickhouse.options import (
    ReaderLimits,
    ServerOptions,
    UsageError,
    is_loopback,
    read_password,
)
from tokentide.embedded.clickhouse.request_params import DEFAULT_BUFFER_BYTES, MAX_BUFFER_BYTES, parse_params
from tokentide.embedded.clickhouse.request_settings import set_statement, statement_settings

LIMITS = ReaderLimits(max_execution_s=10, max_memory_bytes=1000, max_result_rows=100, max_result_bytes=5000)


def options(**given: object) -> ServerOptions:
    return ServerOptions(**{"data_dir": Path("x"), "port": 0, **given})


def refused(code: int):
    return pytest.raises(ServerError, check=lambda error: error.code == code)


def test_parameters_settings_and_our_own_names_are_told_apart():
    given = {
        "query": "SELECT 1",
        "database": "d",
        "query_id": "q",
        "user": "u",
        "password": "p",
        "quota_key": "k",
        "param_a": "1",
        "max_threads": "2",
        "default_format": "CSV",
        "compress": "1",
        "client_protocol_version": "54460",
        "wait_end_of_query": "1",
        "buffer_size": "5",
    }
    params = parse_params(given.items(), {})
    assert (params.query, params.query_id, params.database) == ("SELECT 1", "q", "d")
    assert params.parameters == {"a": "1"}
    assert params.settings == {"max_threads": "2"}
    assert (params.default_format, params.protocol_version, params.buffer_bytes) == ("CSV", 54460, 5)
    assert params.block_compression
    assert params.wait_end
    assert not params.block_decompression


def test_defaults():
    params = parse_params([], {"X-ClickHouse-Database": "h", "X-ClickHouse-Format": "F"})
    assert (params.database, params.default_format, params.session) == ("h", "F", None)
    assert params.buffer_bytes == DEFAULT_BUFFER_BYTES


def test_a_buffer_cannot_be_boundless():
    assert parse_params([("buffer_size", "9" * 20)], {}).buffer_bytes == MAX_BUFFER_BYTES


@pytest.mark.parametrize("name", ["a b", "a=1,b", "1a", "", "a'", "a.b"])
def test_what_cannot_be_a_setting_is_refused(name):
    with refused(115):
        parse_params([(name, "1")], {})


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "²"])
def test_numbers_must_be_numbers(value):
    with refused(72):
        parse_params([("client_protocol_version", value)], {})


def test_sessions():
    session = parse_params(
        [("session_id", "s"), ("session_timeout", "5"), ("session_check", "1")], {}
    ).session
    assert session is not None
    assert (session.id, session.timeout_s, session.must_exist, session.close) == ("s", 5, True, False)
    assert parse_params([("session_id", "")], {}).session is None
    for wrong in ("x", "99999"):
        with refused(374):
            parse_params([("session_id", "s"), ("session_timeout", wrong)], {})


def test_external_tables_only_with_a_form():
    given = [("t_format", "CSV"), ("t_structure", "a Int8"), ("u_types", "Int8")]
    external = parse_params(given, {}, has_form=True).external
    assert (external["t"].format, external["t"].structure, external["u"].types) == ("CSV", "a Int8", "Int8")
    assert "t_format" in parse_params(given, {}).settings


def test_roles_are_refused():
    with refused(512):
        parse_params([("role", "r")], {})


def test_the_full_user_s_settings_go_through_and_readonly_comes_last():
    settings = statement_settings(
        {"readonly": "1", "max_threads": "2"}, access=Access.FULL, query_id="q", limits=LIMITS
    )
    assert list(settings.items()) == [("max_threads", "2"), ("log_comment", "q"), ("readonly", "1")]


def test_a_reader_s_limits_can_only_be_lowered():
    def limit(name: str, value: str) -> str:
        return statement_settings({name: value}, access=Access.READER, query_id="q", limits=LIMITS)[name]

    assert limit("max_execution_time", "5") == "5"
    assert limit("max_execution_time", "0") == "10"
    assert limit("max_execution_time", "-1") == "10"
    assert limit("max_execution_time", "inf") == "10"
    assert limit("max_execution_time", "nan") == "10"
    assert limit("max_result_rows", "101") == "100"
    assert limit("max_result_rows", "7") == "7"
    assert limit("max_memory_usage", "1e99") == "1000"


def test_a_reader_gets_a_share_of_the_processor_and_cannot_ask_for_more():
    def settings(limits: ReaderLimits, **requested: str) -> dict[str, str]:
        return statement_settings(requested, access=Access.READER, query_id="q", limits=limits)

    two = replace(LIMITS, max_threads=2, nice=0)
    assert settings(two)["max_threads"] == "2"
    assert settings(two, max_threads="8")["max_threads"] == "2"
    assert settings(two, max_threads="0")["max_threads"] == "2"
    assert settings(two, max_threads="auto")["max_threads"] == "2"
    assert settings(two, max_threads="1")["max_threads"] == "1"
    assert "os_thread_priority" not in settings(two)
    assert settings(replace(two, nice=10))["os_thread_priority"] == "10"
    with refused(164):
        settings(two, os_thread_priority="0")


def test_reading_takes_a_share_of_the_processor_unless_the_full_user_says_otherwise():
    def threads(reading_threads: int | None, **requested: str) -> str | None:
        return statement_settings(
            requested, access=Access.FULL, query_id="q", limits=LIMITS, reading_threads=reading_threads
        ).get("max_threads")

    assert threads(3) == "3"
    assert threads(3, max_threads="8") == "8"
    assert threads(None) is None


def test_a_reader_is_always_readonly():
    settings = statement_settings({"readonly": "0"}, access=Access.READER, query_id="q", limits=LIMITS)
    assert list(settings)[-1] == "readonly"
    assert settings["readonly"] == "1"


@pytest.mark.parametrize(
    "name",
    ["allow_ddl", "profile", "max_rows_to_read", "allow_experimental_eval_table_function", "implicit_select"],
)
def test_other_settings_are_not_a_reader_s(name):
    with refused(164):
        statement_settings({name: "1"}, access=Access.READER, query_id="q", limits=LIMITS)


@pytest.mark.parametrize("name", sorted(REFUSED_SETTINGS))
@pytest.mark.parametrize("access", [Access.FULL, Access.READER])
def test_settings_that_reach_out_are_nobody_s(name, access):
    for spelling in (name, name.upper()):
        with refused(497):
            statement_settings({spelling: "1"}, access=access, query_id="q", limits=LIMITS)


def test_values_are_quoted():
    assert set_statement({"a": "1", "b": "x', c = '\\"}) == "SET a = '1', b = 'x\\', c = \\'\\\\'"


# --- who


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_credentials_from_every_place():
    assert credentials(basic("reader:a:b"), {}) == ("reader", "a:b", True)
    assert credentials(basic(":x"), {}) == ("default", "x", True)
    assert credentials({"X-ClickHouse-User": "u", "X-ClickHouse-Key": "k"}, {}) == ("u", "k", True)
    assert credentials({"X-ClickHouse-Key": "k"}, {}) == ("default", "k", True)
    assert credentials({}, {"user": "u"}) == ("u", "", True)
    assert credentials({}, {}) == ("default", "", False)


def test_one_place_only():
    for headers, params in (
        ({**basic("a:b"), "X-ClickHouse-User": "a"}, {}),
        (basic("a:b"), {"user": "a"}),
        ({"X-ClickHouse-Key": "a"}, {"password": "a"}),
    ):
        with refused(516):
            credentials(headers, params)


def test_the_reader_exists_elsewhere_only_with_a_password():
    local, remote = options(), options(host="0.0.0.0", password="x")
    asked = credentials({"X-ClickHouse-User": "reader"}, {})
    assert authenticate(asked, local) is Access.READER
    with refused(516):
        authenticate(asked, remote)
    assert authenticate(credentials(basic("reader:r"), {}), options(reader_password="r")) is Access.READER


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ({"Host": "127.0.0.1:8123"}, False),
        ({"Host": "[::1]:8123"}, False),
        ({"Host": "localhost."}, False),
        ({"Host": "x.localhost:1"}, False),
        ({}, False),
        ({"Host": "127.0.0.1:8123", "Origin": "http://127.0.0.1:8123"}, False),
        ({"Host": "127.0.0.1:8123", "Origin": "http://127.0.0.1:9999"}, True),
        ({"Host": "127.0.0.1:8123", "Origin": "null"}, True),
        ({"Host": "127.0.0.1:8123", "Origin": "http://[evil"}, True),
        ({"Host": "127.0.0.1.evil.example"}, True),
        ({"Host": "[evil]"}, True),
        ({"Host": "evil@127.0.0.1"}, True),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, True),
        ({"Host": "127.0.0.1", "Sec-Fetch-Site": "cross-site"}, True),
        ({"Host": "127.0.0.1", "Sec-Fetch-Site": "same-origin"}, False),
    ],
)
def test_pages_of_other_sites(headers, is_refused):
    if is_refused:
        with refused(497):
            refuse_foreign_page(headers, credentials({}, {}))
        refuse_foreign_page(headers, credentials({"X-ClickHouse-Key": "k"}, {}))
    else:
        refuse_foreign_page(headers, credentials({}, {}))


# --- options


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_only_this_machine_can_reach(host, expected):
    assert is_loopback(host) is expected


def test_a_password_is_required_where_others_can_connect():
    with pytest.raises(UsageError, match="--password-file"):
        options(host="0.0.0.0").checked()
    assert options(host="0.0.0.0", password="x").checked()


def test_passwords_are_not_shown():
    assert "canary" not in repr(options(password="canary", reader_password="canary"))


def test_a_password_file_must_be_private_and_have_a_first_line(tmp_path):
    file = tmp_path / "p"
    file.write_text("secret\nmore\n", encoding="ascii")
    file.chmod(0o600)
    assert read_password(file, "--x") == "secret"
    file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        read_password(file, "--x")
    file.chmod(0o600)
    file.write_text("\nsecret\n", encoding="ascii")
    with pytest.raises(UsageError, match="empty first line"):
        read_password(file, "--x")
    with pytest.raises(UsageError, match="cannot be read"):
        read_password(tmp_path / "none", "--x")
