from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from decimal import Decimal

import pytest

from tests.support.waiting import HANGING_S
from tokentide.cli.terminal import clipped, has_colour, json_line, print_json, printable, say, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    stream: io.StringIO, environ: dict[str, str], *, coloured: bool
) -> None:
    assert has_colour(stream, environ) is coloured


def test_a_table_aligns_text_left_and_numbers_right() -> None:
    assert table(("topic", "left"), [("llm.events", 12345), ("x", None)]) == (
        "topic         left\n"
        "──────────  ──────\n"
        "llm.events  12,345\n"
        "x                -"
    )  # fmt: skip


def test_wide_characters_take_two_columns() -> None:
    assert table(("a", "b"), [("日本", "x"), ("abcd", "y")]).splitlines()[2:] == ["日本  x", "abcd  y"]


def test_a_table_without_rows_is_its_head() -> None:
    assert table(("a", "b"), []) == "a  b\n─  ─"


def test_foreign_text_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\nc\u202e") == "a\\x1b[31mb\\nc\\u202e"
    assert "\x1b" not in table(("a",), [("\x1b[2J",)])


def test_a_cut_is_marked() -> None:
    assert (clipped("abcdef", 4), clipped("abcd", 4)) == ("abc…", "abcd")


def test_json_is_one_line_with_exact_decimals(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"usd": Decimal("0.000000000001"), "text": "ä\n"})
    assert capsys.readouterr().out == '{"usd": "0.000000000001", "text": "ä\\n"}\n'


def test_json_with_half_a_surrogate_pair_is_written_in_ascii() -> None:
    line = json_line({"text": "ä\ud800"})
    assert line == '{"text": "\\u00e4\\ud800"}'
    assert json.loads(line.encode()) == {"text": "ä\ud800"}


def test_json_spells_out_what_some_terminals_obey_and_means_the_same() -> None:
    line = json_line({"text": "\x9b31m\x7f\u202eä\u2028"})
    assert line == '{"text": "\\u009b31m\\u007f\\u202eä\\u2028"}'
    assert json.loads(line) == {"text": "\x9b31m\x7f\u202eä\u2028"}


def test_lines_for_humans_come_after_the_results_before_them() -> None:
    """Also where both go to one file: what is printed to a file is held back by Python."""
    code = "from tokentide.cli.terminal import say; print('first'); say('second'); print('third')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        text=True,
        check=True,
        timeout=HANGING_S,
    )
    assert done.stdout.split() == ["first", "second", "third"]


def test_a_line_for_humans_is_written_though_nobody_reads_the_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    say("still said")
    assert capsys.readouterr().err == "still said\n"
