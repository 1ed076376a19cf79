"""The list of error codes is ClickHouse's own."""

from __future__ import annotations

import pytest

from tokentide.sinks.codes import CODES


def test_the_codes_named_in_the_design_are_decided():
    retriable = {202, 209, 210, 241, 242, 252, 425, 999}
    terminal = {16, 53, 60, 497, 516}
    assert all(CODES[code].is_retriable for code in retriable)
    assert not any(CODES[code].is_retriable for code in terminal)


def test_every_terminal_code_says_what_to_do():
    assert all(len(info.meaning.split()) >= 3 for info in CODES.values())


def test_names_are_those_of_the_engine():
    chdb = pytest.importorskip("chdb", reason="needs the extra [embedded]")
    del chdb
    from tests.support.clickhouse_engine import open_engine  # noqa: PLC0415 - only where the engine is installed

    engine = open_engine()
    try:
        names = dict(engine.query("SELECT number, errorCodeToName(number) FROM numbers(1200)").result_rows)
    finally:
        engine.close()
    assert {code: info.name for code, info in CODES.items()} == {code: names[code] for code in CODES}
