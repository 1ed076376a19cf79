"""The parser, and the arguments that many commands share: those that stand for settings.

Any setting can be given as `--set NAME=VALUE`; the two that everybody needs have flags of their own.
"""

from __future__ import annotations

import argparse
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from tokentide import __version__
from tokentide.cli.exits import ExitCode, UsageError
from tokentide.cli.registry import COMMANDS, Command, CommandModule, Example
from tokentide.cli.terminal import toned
from tokentide.errors import SettingProblem, SettingsError

if TYPE_CHECKING:
    from tokentide.config import Loaded, Settings

Service = Literal["kafka", "clickhouse"]

_FLAGS: Final = {
    "kafka.bootstrap_servers": "--kafka-bootstrap-servers",
    "clickhouse.url": "--clickhouse-url",
    "topics.prefix": "--topic-prefix",
    "worker.group_id": "--group-id",
}
PROGRAM: Final = "tokentide"
MOST_COLUMNS: Final = 110
_EXAMPLES_HEAD: Final = "examples:"


class Parser(argparse.ArgumentParser):
    """Errors go to standard error in our form, with the way to the help, and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        mark = toned("error:", "red", sys.stderr)
        self.exit(ExitCode.USAGE, f"{mark} {message}\n  See: {self.prog} --help\n")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Fills a description's paragraphs to the terminal's width; examples stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(
            prog, max_help_position=32, width=min(shutil.get_terminal_size().columns, MOST_COLUMNS) - 2
        )

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(_EXAMPLES_HEAD):
            return super()._fill_text(text, width, indent)
        paragraphs = re.split(r"\n\s*\n|\n(?=Exit code)", text)
        return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)


def top_parser() -> Parser:
    """The parser of `tokentide` without a command: help and version."""
    parser = Parser(
        prog=PROGRAM,
        description="Telemetry for LLM applications: events in, exact windows, costs and incidents out, SQL over all.",
        epilog=f"`{PROGRAM} COMMAND --help` shows a command's options and examples.\n"
        f"Settings: environment TOKENTIDE_*, ./tokentide.toml or --config; `{PROGRAM} doctor --settings` lists them.\n"
        f"First steps: `{PROGRAM} demo`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=f"{PROGRAM} [--version] [--help] COMMAND …",
        add_help=True,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    width = max(len(command.name) for command in COMMANDS)
    for group in dict.fromkeys(command.group for command in COMMANDS):
        lines = [f"{c.name:<{width}}  {c.summary}" for c in COMMANDS if c.group == group]
        parser.add_argument_group(group, "\n".join(lines))
    return parser


def command_parser(command: Command, module: CommandModule) -> Parser:
    """The parser of one command."""
    parser = Parser(
        prog=f"{PROGRAM} {command.name}",
        description=module.DESCRIPTION,
        epilog=_examples(module.EXAMPLES),
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    return parser


def _examples(examples: Sequence[Example]) -> str:
    lines = [_EXAMPLES_HEAD]
    for example in examples:
        lines += [f"  {example.does}", f"    $ {example.command}"]
    return "\n".join(lines)


def add_settings_arguments(
    parser: argparse.ArgumentParser, services: Iterable[Service] = (), *, group_id: bool = False
) -> None:
    """Add `--config` and `--set`, and the addresses of the services that the command talks to."""
    group = parser.add_argument_group("settings (see docs/settings.md)")
    services = tuple(services)
    if "kafka" in services:
        _setting(group, "kafka.bootstrap_servers", "HOST:PORT,…", "brokers to ask first")
        _setting(group, "topics.prefix", "TEXT", "beginning of all topic names")
    if group_id:
        _setting(group, "worker.group_id", "NAME", "consumer group of the workers")
    if "clickhouse" in services:
        _setting(group, "clickhouse.url", "URL", "http[s]://user:password@host:port/database")
    group.add_argument("--config", metavar="FILE", type=Path, help="settings file (TOML)")
    group.add_argument(
        "--set",
        dest="assignments",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="any setting by name, such as worker.checkpoint_seconds=2; may be repeated",
    )


def _setting(group: argparse._ArgumentGroup, name: str, metavar: str, text: str) -> None:
    group.add_argument(_FLAGS[name], dest=f"setting:{name}", metavar=metavar, help=text)


def whole_number(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a whole number within bounds, both included."""
    bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"must be a whole number {bounds}")
        return number

    return parse


def seconds_to_wait(text: str) -> float:
    """The type of an argument that is a time in seconds, 0 or more; without an end there is none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds, 0 or more")
    return seconds


def load_from(args: argparse.Namespace, *, without: Collection[str] = ()) -> Loaded:
    """The settings of a command line, with their origins; `without` as in `tokentide.config.load`.

    Raises:
        SettingsError: with every problem found.
    """
    from tokentide.config import load  # noqa: PLC0415 - the help needs no settings

    given = {
        key.removeprefix("setting:"): value for key, value in vars(args).items() if key.startswith("setting:")
    }
    written = {name: _FLAGS[name] for name, value in given.items() if value is not None}
    problems = []
    for assignment in getattr(args, "assignments", []):
        name, equals, value = assignment.partition("=")
        if not equals:
            problems.append(SettingProblem("--set", "is written NAME=VALUE, such as topics.partitions=8"))
            continue
        given[name.strip()] = value
        written.pop(name.strip(), None)
    if problems:
        raise SettingsError(problems)
    return load(flags=given, written=written, config_file=getattr(args, "config", None), without=without)


def settings_from(args: argparse.Namespace) -> Settings:
    """The settings of a command line.

    Raises:
        SettingsError: with every problem found.
    """
    return load_from(args).settings


def moment(text: str, option: str) -> datetime:
    """A date or a time; midnight UTC and UTC where nothing else is said.

    Raises:
        UsageError: neither.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} is a date or a time such as 2025-01-31 or 2025-01-31T12:00:00Z") from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
