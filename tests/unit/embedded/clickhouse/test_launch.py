from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tokentide.embedded.clickhouse import Ready, StartFailure, command, parse_start_line
from tokentide.embedded.clickhouse.__main__ import _options, _parser

READY = Ready(url="http://127.0.0.1:1", host="127.0.0.1", port=1, pid=2, version="26.9", data_dir="/d")


def test_what_the_process_says_is_read_again():
    failure = StartFailure(reason="port_unavailable", message="port 1 is taken: use --port")
    for said in (READY, failure):
        assert said.line().endswith("\n")
        assert parse_start_line(said.line()) == said


@pytest.mark.parametrize(
    "line", ["", "nonsense", "{}", "[]", "1", '{"service": "other"}', '{"service": "clickhouse"}']
)
def test_other_lines_are_not_of_it(line):
    assert parse_start_line(line) is None


def test_the_command_is_what_the_process_understands():
    argv = command(
        data_dir=Path("/d"),
        port=5,
        host="::1",
        parent_pid=7,
        max_memory_mb=9,
        extra=["--timezone", "Asia/Tokyo"],
        python="py",
    )
    assert argv[:3] == ["py", "-m", "tokentide.embedded.clickhouse"]
    options = _options(_parser().parse_args(argv[3:]))
    assert (options.data_dir, options.port, options.host, options.parent_pid) == (Path("/d"), 5, "::1", 7)
    assert (options.max_memory_bytes, options.timezone) == (9 << 20, "Asia/Tokyo")


def test_the_command_s_defaults_are_the_options_defaults():
    argv = command(data_dir=Path("/d"), port=5)
    options = _options(_parser().parse_args(argv[3:]))
    assert options == type(options)(data_dir=Path("/d"), port=5)


def test_the_package_loads_neither_engine_nor_http_server():
    program = (
        "import sys, tokentide.embedded.clickhouse\n"
        "heavy = {'chdb', 'aiohttp', 'lz4', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
