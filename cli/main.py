"""Entry of the program: find the command, run it, turn what went wrong into a message and an exit code."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import traceback
from collections.abc import Sequence

# Nothing here loads pydantic or a client library: `tokentide --help` answers at once.
from tokentide.cli.arguments import PROGRAM, Parser, command_parser, top_parser
from tokentide.cli.exits import CliError, ExitCode, TerminatedError
from tokentide.cli.kafka_trouble import keep_kafka_quiet
from tokentide.cli.registry import COMMANDS
from tokentide.cli.terminal import printable_lines, say, toned
from tokentide.errors import SettingsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code (see `tokentide.cli.exits`)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    keep_kafka_quiet()
    try:
        return _dispatch(arguments)
    except SystemExit as end:  # argparse's way to end
        return end.code if isinstance(end.code, int) else ExitCode.USAGE
    except SettingsError as error:
        _report_settings(error)
        return ExitCode.USAGE
    except CliError as error:
        _report(error.message, error.hint)
        return error.exit_code
    except TerminatedError:
        return ExitCode.TERMINATED
    except KeyboardInterrupt:
        say("")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except Exception:  # noqa: BLE001 - the outermost loop: whatever comes here is a mistake of ours
        traceback.print_exc()
        _report(
            "this is an error in Tokentide itself",
            "Please report it with the lines above and the output of `tokentide doctor --json`.",
        )
        return ExitCode.BUG


def _dispatch(arguments: list[str]) -> int:
    top = top_parser()
    if not arguments:
        top.print_help()
        return ExitCode.USAGE
    name = arguments[0]
    if name.startswith("-"):
        top.parse_args(arguments)
        return ExitCode.OK
    if name == "help":
        return _dispatch([*arguments[1:2], "--help"])
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        _no_such_command(top, name)
        return ExitCode.USAGE
    module = command.load()
    args = command_parser(command, module).parse_args(arguments[1:])
    code = module.run(args)
    sys.stdout.flush()  # here, where a broken pipe can still be answered
    return code


def _no_such_command(top: Parser, name: str) -> None:
    near = difflib.get_close_matches(name, [command.name for command in COMMANDS], n=1)
    hint = f"; did you mean `{PROGRAM} {near[0]}`?" if near else ""
    top.error(f"no such command: {name}{hint}")


def _report(message: str, hint: str) -> None:
    # A service's error may quote what an event says.
    say(f"{toned('error:', 'red', sys.stderr)} {printable_lines(message)}")
    for line in hint.splitlines():
        say(f"  {printable_lines(line)}")


def _report_settings(error: SettingsError) -> None:
    say(f"{toned('error:', 'red', sys.stderr)} the settings cannot be used")
    # Of a choice with several forms each form has a problem of its own, in the same words.
    for problem in dict.fromkeys(error.problems):
        say(f"  {problem.where}: {problem.text}")


def _broken_pipe() -> int:
    """The reader closed our output. Python would complain again while it flushes at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.BROKEN_PIPE


if __name__ == "__main__":
    sys.exit(main())
