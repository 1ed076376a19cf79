"""`tokentide query`: SQL against ClickHouse."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tokentide.cli.arguments import add_settings_arguments, settings_from
from tokentide.cli.clickhouse_http import ClickHouseHttp
from tokentide.cli.exits import ExitCode, RefusedError, UsageError
from tokentide.cli.registry import Example
from tokentide.cli.terminal import has_colour, printable_pieces
from tokentide.cli.views import missing_parameters, view_with_parameter

DESCRIPTION = """Ask ClickHouse in SQL. The database is the one of clickhouse.url, so `events` and `windows` are at hand;
docs/views.md lists all views.

On a terminal the result is a table, otherwise tab-separated; any of ClickHouse's formats may be named.
A terminal gets control characters spelt out, since text of events could steer it; --raw leaves them as they are, and so
does output to a file or another program. Results are streamed. Queries cannot change anything."""
EXAMPLES = (
    Example('tokentide query "SELECT count() FROM events"', "How many calls are stored?"),
    Example(
        'tokentide query "SELECT model, sum(calls), sum(cost_usd) FROM windows GROUP BY model ORDER BY 3 DESC"',
        "What costs most?",
    ),
    Example(
        'tokentide query "SELECT * FROM events WHERE service = {s:String} LIMIT 3" --param s=chat --format Vertical',
        "A value as a parameter, each column on a line.",
    ),
    Example(
        'tokentide query "SELECT * FROM events" --format Parquet > events.parquet', "Take everything home."
    ),
)
TABLE_FORMAT = "PrettyCompactMonoBlock"
_NO_PARAMETERS: Final = ("EMPTY_LIST_OF_COLUMNS_QUERIED", "the parameterized view", "UNKNOWN_IDENTIFIER")
"""What ClickHouse says of a view that was given none: of `SELECT *`, of DESCRIBE, of columns by name."""
_UNSET: Final = re.compile(r"Substitution `(\w+)` is not set")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("sql", nargs="?", metavar="SQL", help="one statement; `-` or nothing: standard input")
    parser.add_argument("--file", "-f", type=Path, metavar="FILE", help="read the statement from a file")
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument(
        "--format",
        metavar="NAME",
        help="ClickHouse format: JSONEachRow, CSVWithNames, Vertical, Parquet, … "
        "(default: a table on a terminal, otherwise TabSeparated)",
    )
    formats.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="JSONEachRow",
        help="one line of JSON a row: --format JSONEachRow",
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="control characters as they are, also on a terminal, and its colours",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of {NAME:Type} in the statement; may be repeated",
    )
    add_settings_arguments(parser, ["clickhouse"])


def run(args: argparse.Namespace) -> int:
    """Send the statement and copy the answer to standard output."""
    settings = settings_from(args)
    sql = _statement(args)
    parameters = _parameters(args.param)
    on_terminal = sys.stdout.isatty()
    is_guarded = on_terminal and not args.raw
    output_format = args.format or (TABLE_FORMAT if on_terminal else "TabSeparated")
    pieces = ClickHouseHttp(settings.clickhouse).read_only(
        sql,
        output_format=output_format,
        parameters=parameters,
        options={
            # ClickHouse's own colours cannot be told from those in an event's text.
            "output_format_pretty_color": str(int(has_colour(sys.stdout) and not is_guarded)),
            "output_format_pretty_row_numbers": "0",
        },
    )
    try:
        _copy(printable_pieces(pieces) if is_guarded else pieces)
    except RefusedError as error:
        error.hint = hint_of_views(sql, error.message) or error.hint
        raise
    return ExitCode.OK


def hint_of_views(sql: str, message: str) -> str:
    """How to call the view whose parameters are missing, where ClickHouse's message may come from that; else empty.

    Args:
        sql: the statement that was refused.
        message: with ClickHouse's code.
    """
    view = None
    if any(symptom in message for symptom in _NO_PARAMETERS):
        view = missing_parameters(sql)
    elif unset := _UNSET.search(message):
        view = view_with_parameter(sql, unset[1])
    return f"This view takes parameters: {view.call}" if view else ""


def _copy(pieces: Iterable[bytes]) -> None:
    out = sys.stdout.buffer
    for piece in pieces:
        out.write(piece)
        out.flush()  # a slow query shows what it has


def _statement(args: argparse.Namespace) -> str:
    if args.sql is not None and args.file is not None:
        raise UsageError("give the statement or --file, not both")
    try:
        if args.file is not None:
            text = args.file.read_text(encoding="utf-8")
        elif args.sql is None or args.sql == "-":
            if sys.stdin.isatty():
                raise UsageError("no statement", hint='tokentide query "SELECT count() FROM events"')
            text = sys.stdin.read()
        else:
            text = args.sql
    except OSError as error:
        raise UsageError(f"{args.file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError("the statement is not UTF-8 text") from error
    statement = text.strip().rstrip(";").rstrip()
    if not statement:
        raise UsageError("the statement is empty")
    return str(statement)


def _parameters(assignments: Iterable[str]) -> dict[str, str]:
    return dict(_pairs(assignments))


def _pairs(assignments: Iterable[str]) -> Iterator[tuple[str, str]]:
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UsageError("--param is written NAME=VALUE, such as --param service=chat")
        yield name.strip(), value
