"""The frame around the commands: help, errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support import children
from tests.support.waiting import HANGING_S
from tokentide import __version__
from tokentide.cli import main as entry
from tokentide.cli.arguments import command_parser
from tokentide.cli.exits import MEANINGS, CliError, ExitCode, NotReadyError, TerminatedError, UnreachableError
from tokentide.cli.main import main
from tokentide.cli.registry import COMMANDS, Command

Capture = pytest.CaptureFixture[str]


def failing(error: BaseException) -> object:
    """A command whose work ends in an error."""

    def run(_: object) -> int:
        raise error

    return SimpleNamespace(DESCRIPTION="d", EXAMPLES=(), configure=lambda _: None, run=run)


def outcome(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    monkeypatch.setattr(Command, "load", lambda _: failing(error))
    return main(["query"])


def test_help_names_every_command(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert f"  {command.name} " in shown
        assert command.summary in shown


def test_version_is_the_packages(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tokentide {__version__}\n"


def test_no_command_shows_the_help_and_is_an_error(capsys: Capture) -> None:
    assert main([]) == ExitCode.USAGE
    assert "usage: tokentide" in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(capsys: Capture) -> None:
    assert main(["qeury"]) == ExitCode.USAGE
    assert "no such command: qeury; did you mean `tokentide query`?" in capsys.readouterr().err


def test_an_unknown_option_is_an_error_that_points_to_the_help(capsys: Capture) -> None:
    assert main(["wait", "--timeot", "3"]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "--timeot" in shown
    assert "See: tokentide wait --help" in shown


def test_options_may_not_be_shortened_so_that_new_ones_break_no_script(capsys: Capture) -> None:
    assert main(["wait", "--time", "3"]) == ExitCode.USAGE
    assert "--time" in capsys.readouterr().err


def test_settings_that_cannot_be_used_are_listed_and_end_with_2(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENTIDE_KAFKA_BOOTSTRAP_SERVER", "h:1")
    assert main(["wait", "--set", "topics.partitions", "--config", "/nowhere"]) == ExitCode.USAGE
    assert "--set: is written NAME=VALUE" in capsys.readouterr().err
    assert main(["wait", "--set", "topics.partitions=x"]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "did you mean TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS?" in shown
    assert "--set topics.partitions: must be a whole number" in shown


def test_a_flag_is_named_as_it_was_written(capsys: Capture) -> None:
    assert main(["wait", "--kafka-bootstrap-servers", "broker"]) == ExitCode.USAGE
    assert "  --kafka-bootstrap-servers: entry 1 is not host:port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("up --workers -1", "argument --workers: must be a whole number of at least 0"),
        ("up --workers two", "argument --workers: must be a whole number of at least 0"),
        ("up --kafka-port -1", "argument --kafka-port: must be a whole number from 0 to 65535"),
        ("up --clickhouse-port 65536", "argument --clickhouse-port: must be a whole number from 0 to 65535"),
        ("demo --workers 0", "argument --workers: must be a whole number of at least 1"),
        ("demo --seconds inf", "--seconds must be above 0, and have an end"),
        ("ship --skip-items -1 f", "argument --skip-items: must be a whole number of at least 0"),
        ("replay --limit -1 f", "argument --limit: must be a whole number of at least 0"),
        ("replay --skip-rows -1 f", "argument --skip-rows: must be a whole number of at least 0"),
        ("simulate --count 0", "argument --count: must be a whole number of at least 1"),
        ("audit --max-rows 0", "argument --max-rows: must be a whole number of at least 1"),
        ("audit --max-rows -1", "argument --max-rows: must be a whole number of at least 1"),
        ("tail events --limit -1", "argument --limit: must be a whole number of at least 0"),
        ("wait --timeout -1", "argument --timeout: must be a number of seconds, 0 or more"),
        ("wait --timeout nan", "argument --timeout: must be a number of seconds, 0 or more"),
    ],
)
def test_a_number_outside_its_bounds_is_an_error_before_anything_is_done(
    capsys: Capture, line: str, message: str
) -> None:
    assert main(line.split()) == ExitCode.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CliError("m", hint="h"), 2),
        (UnreachableError("m", hint="h"), 3),
        (NotReadyError("m", hint="h"), 4),
        (KeyboardInterrupt(), 130),
        (TerminatedError(), 143),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: BaseException, code: int
) -> None:
    assert outcome(monkeypatch, error) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    if isinstance(error, CliError):
        assert shown == "error: m\n  h\n"


def test_a_mistake_of_ours_shows_its_traceback_and_ends_with_70(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert outcome(monkeypatch, ZeroDivisionError("x")) == ExitCode.BUG
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "error in Tokentide itself" in shown


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_closes_the_pipe_ends_the_command_quietly(lines: int) -> None:
    """Few lines meet the closed pipe only when they are flushed, many while they are written."""
    code = (
        "from types import SimpleNamespace as N; import sys\n"
        "from tokentide.cli import main, registry\n"
        "registry.Command.load = lambda _: N(DESCRIPTION='', EXAMPLES=(), configure=lambda p: None,\n"
        f"    run=lambda a: sys.stdin.readline() and [print('x' * 80) for _ in range({lines})] and 0)\n"
        "sys.exit(main.main(['query']))\n"
    )
    pipe = subprocess.PIPE
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with children.start(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, env=environ
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        child.stdin.write(b"go\n")
        child.stdin.close()
        assert child.wait(HANGING_S) == ExitCode.BROKEN_PIPE
        assert child.stderr.read() == b""


def test_the_help_loads_neither_pydantic_nor_a_client() -> None:
    code = (
        "import sys; from tokentide.cli.main import main; main(['--help'])\n"
        "heavy = {'pydantic', 'kafka', 'numpy', 'rich', 'clickhouse_connect'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_a_help_with_examples_of_itself(command: Command) -> None:
    module = command.load()
    shown = command_parser(command, module).format_help()
    assert module.EXAMPLES
    for example in module.EXAMPLES:
        assert f"tokentide {command.name}" in example.command
        assert example.does.endswith((".", "?"))
        assert example.command in shown


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_help_fits_the_terminal_except_for_examples(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    shown = command_parser(command, command.load()).format_help().partition("examples:")[0]
    assert max(map(len, shown.splitlines())) <= 70


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_option_has_a_help_text(command: Command) -> None:
    parser = command_parser(command, command.load())
    silent = [action.dest for action in parser._actions if not action.help]
    assert silent == []


def test_the_entry_of_the_package_is_this_one() -> None:
    assert entry.main is main
