"""`tokentide replay`: send a recorded trace."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Final

from tokentide.cli.arguments import add_settings_arguments, settings_from, whole_number
from tokentide.cli.exits import ExitCode, UsageError
from tokentide.cli.registry import Example
from tokentide.cli.sending import (
    add_output_arguments,
    assignments,
    opened_sink,
    progress_of,
    source_of,
    time_text,
    traffic_errors,
)
from tokentide.cli.terminal import counted, print_json, say, table

if TYPE_CHECKING:
    from tokentide.producers.replay.options import ReplayOptions
    from tokentide.producers.replay.run import ReplayReport

DESCRIPTION = """Send a recorded trace as events: CSV, JSON lines or OpenTelemetry spans, by a mapping of columns to fields.

Mappings of well-known public traces come with Tokentide (--list shows them); a mapping file of your own is
given by its path. Sent again with the same options, every event has the same id and is stored once.
Exit code 0: all rows sent; 1: sent, but some rows could not be read as events."""
EXAMPLES = (
    Example("tokentide replay --list", "Which traces are known?"),
    Example(
        "tokentide replay --format burstgpt BurstGPT_1.csv", "As fast as possible, with the original times."
    ),
    Example(
        "tokentide replay --format azure-llm-2023 trace.csv --model gpt-4o --times now --speed 10",
        "As if it happened now, ten times as fast, priced as gpt-4o.",
    ),
    Example("tokentide replay --format ./my-log.toml calls.csv.gz --service chat", "A log of your own."),
)

_SHORTCUTS: Final = ("model", "provider")
"""Options of mappings that have a flag of their own."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="the trace, plain or gzip; `-` is standard input"
    )
    parser.add_argument("--format", metavar="NAME|FILE", help="a known trace, or a mapping file (TOML)")
    parser.add_argument("--list", action="store_true", help="list the known traces and their options")
    parser.add_argument(
        "--speed",
        metavar="max|N",
        default="max",
        help="1: as it happened, 10: ten times as fast, max: as fast as possible (default: max)",
    )
    parser.add_argument(
        "--times",
        choices=("original", "now"),
        default="original",
        help="event times as recorded, or shifted so that the trace ends now (default: original)",
    )
    parser.add_argument(
        "--order",
        choices=("file", "time"),
        default="file",
        help="send in the order of the file or of the event times (default: file)",
    )
    parser.add_argument("--start", metavar="TIME", help="start of a trace that counts its times from a start")
    parser.add_argument("--service", metavar="NAME", help="set the service of all events")
    parser.add_argument("--environment", metavar="NAME", help="set the environment of all events")
    parser.add_argument("--region", metavar="NAME", help="set the region of all events")
    parser.add_argument("--model", metavar="ID", help="model to price by, where the trace names none")
    parser.add_argument("--provider", metavar="NAME", help="provider of that model")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another option of the mapping; may be repeated",
    )
    parser.add_argument("--limit", type=whole_number(), metavar="N", help="stop after N rows")
    parser.add_argument(
        "--skip-rows",
        type=whole_number(),
        default=0,
        metavar="N",
        help="do not send the first N rows: they were sent before",
    )
    add_output_arguments(parser)
    add_settings_arguments(parser, ["kafka"])


def run(args: argparse.Namespace) -> int:
    """Send; 1 if some rows could not be read."""
    if args.list:
        _list_mappings(as_json=args.json)
        return ExitCode.OK
    if args.format is None or args.file is None:
        raise UsageError(
            "give --format and the file", hint="`tokentide replay --list` shows the known traces."
        )
    from tokentide.producers.replay.load import load_mapping  # noqa: PLC0415 - not needed for the help
    from tokentide.producers.replay.run import replay  # noqa: PLC0415 - not needed for the help

    settings = settings_from(args)
    with traffic_errors():
        mapping = load_mapping(args.format)
        options = _options(args)
        source = source_of(args.file)
        with (
            opened_sink(settings, to_stdout=args.stdout) as sink,
            progress_of(mapping.name, args) as progress,
        ):
            report = replay(source, mapping, sink, options, progress=progress)
    _report(args, report)
    if report.is_interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.NEGATIVE if report.bad else ExitCode.OK


def _options(args: argparse.Namespace) -> ReplayOptions:
    from tokentide.producers.replay.options import ReplayOptions  # noqa: PLC0415 - not needed for the help

    values = assignments(args.option, "--option")
    values |= {name: value for name in _SHORTCUTS if (value := getattr(args, name)) is not None}
    return ReplayOptions(
        speed=speed_of(args.speed),
        times=args.times,
        order=args.order,
        service=args.service,
        environment=args.environment,
        region=args.region,
        start=args.start,
        values=values,
        skip_rows=args.skip_rows,
        limit_rows=args.limit,
    )


def speed_of(text: str) -> float | None:
    """`max` is no pace at all: None.

    Raises:
        UsageError: neither `max` nor a number above 0.
    """
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not (speed > 0 and math.isfinite(speed)):
        raise UsageError("--speed is max, or a number above 0 such as 1 or 10")
    return speed


def _list_mappings(*, as_json: bool) -> None:
    from tokentide.producers.replay.load import known_mappings, load_mapping  # noqa: PLC0415 - only here

    known = known_mappings()
    if as_json:
        print_json([{**one._asdict(), "options": sorted(load_mapping(one.name).options)} for one in known])
        return
    rows = [
        (one.name, ", ".join(map(_flag, sorted(load_mapping(one.name).options))), one.description)
        for one in known
    ]
    print(table(("format", "options", "trace"), rows))


def _flag(option: str) -> str:
    return f"--{option}" if option in _SHORTCUTS else f"--option {option}=…"


def _report(args: argparse.Namespace, report: ReplayReport) -> None:
    first, last = time_text(report.first_us), time_text(report.last_us)
    if args.json:
        print_json(
            {
                "rows": report.rows,
                "sent": report.sent,
                "acknowledged": report.acknowledged,
                "skipped": report.skipped,
                "not_sent": report.not_sent,
                "bad": report.bad,
                "bad_rows": [bad._asdict() for bad in report.bad_rows],
                "out_of_order": report.out_of_order,
                "first_event": first,
                "last_event": last,
                "interrupted": report.is_interrupted,
            }
        )
        return
    for bad in report.bad_rows:
        say(f"{bad}")
    if report.bad > len(report.bad_rows):
        say(f"… and {report.bad - len(report.bad_rows):,} more rows that make no event")
    if not args.stdout:
        parts = [
            f"{counted(report.acknowledged, 'event')} of {counted(report.rows, 'row')} acknowledged by Kafka"
        ]
        parts += [f"{report.skipped:,} rows are no calls"] if report.skipped else []
        parts += [f"{report.bad:,} rows make no event"] if report.bad else []
        print("; ".join(parts))
        if first and last:
            print(f"event times from {first} to {last}")
    if report.is_interrupted:
        say(f"Interrupted. To go on: the same command with --skip-rows {report.rows}")
