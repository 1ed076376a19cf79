from __future__ import annotations

import pytest

from tokentide.embedded.clickhouse.errors import Code, ServerError, engine_error

WRAPPED = (
    "Code: 27. DB::Exception: Code: 27. DB::Exception: Cannot parse: (at row 1)\n: (in file/uri /dev/fd/65): "
    "While executing X: While executing File: data for INSERT was parsed from file. (BAD) (version 26.9.2.1). (BAD)"
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "Code: 60. DB::Exception: Unknown table 't'. In scope SELECT 1. (UNKNOWN_TABLE)",
            (60, "UNKNOWN_TABLE", "Unknown table 't'. In scope SELECT 1."),
        ),
        (
            "Code: 452. DB::Exception: Code: 452. DB::Exception: Too much. (LIMIT) (version 26.9.2.1). (LIMIT)",
            (452, "LIMIT", "Too much."),
        ),
        (WRAPPED, (27, "BAD", "Cannot parse: (at row 1)\n: While executing X.")),
        (
            "Code: 210. DB::NetException: Refused (host:1). (NETWORK_ERROR)",
            (210, "NETWORK_ERROR", "Refused (host:1)."),
        ),
        (
            "Code: 47. DB::Exception: Missing 'x' in SELECT (A). (UNKNOWN_IDENTIFIER)",
            (47, "UNKNOWN_IDENTIFIER", "Missing 'x' in SELECT (A)."),
        ),
        ("Code: 1. DB::Exception: A. (ONE) (version 26.9.2.1 (official build))", (1, "ONE", "A.")),
        ("something else", (1002, "UNKNOWN_EXCEPTION", "something else")),
        ("", (1002, "UNKNOWN_EXCEPTION", "the engine gave no reason")),
    ],
)
def test_messages_of_the_engine(said, expected):
    error = engine_error(said)
    assert (error.code, error.name, error.message) == expected


def test_the_text_is_that_of_a_server():
    error = engine_error("Code: 60. DB::Exception: No 't'. (UNKNOWN_TABLE)")
    assert error.text("26.9.2.1") == "Code: 60. DB::Exception: No 't'. (UNKNOWN_TABLE) (version 26.9.2.1)\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.SYNTAX_ERROR, 400),
        (Code.UNKNOWN_TABLE, 404),
        (Code.UNKNOWN_SETTING, 404),
        (Code.REQUIRED_PASSWORD, 401),
        (Code.AUTHENTICATION_FAILED, 403),
        (Code.ACCESS_DENIED, 403),
        (Code.TIMEOUT_EXCEEDED, 408),
        (Code.QUERY_IS_TOO_LARGE, 413),
        (Code.NOT_IMPLEMENTED, 501),
        (Code.SOCKET_TIMEOUT, 503),
        (Code.READONLY, 500),
        (Code.TOO_MANY_SIMULTANEOUS_QUERIES, 500),
        (241, 500),
    ],
)
def test_the_status_of_a_code(code, status):
    assert ServerError(code, "x").status == status


def test_a_code_without_a_name_of_its_own_gets_one():
    assert "(ERROR_4711)" in ServerError(4711, "x").text("1")
