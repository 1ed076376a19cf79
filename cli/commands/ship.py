"""`tokentide ship`: send events from a file or from standard input."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tokentide.cli.arguments import add_settings_arguments, settings_from, whole_number
from tokentide.cli.exits import ExitCode
from tokentide.cli.registry import Example
from tokentide.cli.sending import add_output_arguments, opened_sink, progress_of, source_of
from tokentide.cli.terminal import counted, print_json, say

if TYPE_CHECKING:
    from tokentide.producers.ship import LineProblem, ShipReport

DESCRIPTION = """Send events from a file or from standard input: JSON lines, arrays, or one JSON document; .gz too.

Each event is checked against the contract. What the contract refuses is named, and sent all the same: the
worker keeps it whole among the dead letters. Fields that the contract does not have are accepted and ignored; they are named
once, with the field that may be meant. An event without an `event_id` gets one that follows from its place in the file, so
that sending a file again stores nothing twice. Calls, parts of calls (`request`, `response`, `error`) and evaluations may be mixed; parts and
evaluations are sent with their `request_id` as key, in the order of the file, so that they meet.
Exit code 0: all sent and valid; 1: sent, but some lines are no valid events."""
EXAMPLES = (
    Example("tokentide ship calls.ndjson", "Send a file."),
    Example("my-app | tokentide ship -", "Send what a program writes, as it writes it."),
    Example(
        "tokentide ship calls.ndjson --invalid skip --json",
        "Leave out what is refused; report for a program.",
    ),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "file", metavar="FILE", help="JSON lines or one document, plain or gzip; `-` is standard input"
    )
    parser.add_argument(
        "--invalid",
        choices=("send", "skip"),
        default="send",
        help="what to do with lines that the contract refuses (default: send, to be kept as dead letters)",
    )
    parser.add_argument(
        "--skip-items",
        type=whole_number(),
        default=0,
        metavar="N",
        help="leave out the first N: they were sent before",
    )
    add_output_arguments(parser)
    add_settings_arguments(parser, ["kafka"])


def run(args: argparse.Namespace) -> int:
    """Send; 1 if some lines are no valid events."""
    from tokentide.producers.ship import ShipOptions, ship  # noqa: PLC0415 - not needed for the help

    settings = settings_from(args)
    source = source_of(args.file)
    options = ShipOptions(invalid=args.invalid, skip_items=args.skip_items)
    label = "standard input" if args.file == "-" else source.name
    shown = 0

    with opened_sink(settings, to_stdout=args.stdout) as sink, progress_of(str(label), args) as progress:

        def tell(problem: LineProblem) -> None:
            nonlocal shown
            shown += 1
            if shown <= 20 and not args.json:
                progress.note(f"line {problem.line}: {problem.reason}")

        report = ship(source, sink, options, progress=progress, on_problem=tell)
    _report(args, report)
    if report.is_interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.NEGATIVE if report.invalid else ExitCode.OK


def _report(args: argparse.Namespace, report: ShipReport) -> None:
    if args.json:
        print_json(
            {
                "items": report.items,
                "sent": report.sent,
                "acknowledged": report.acknowledged,
                "invalid": report.invalid,
                "withheld": report.withheld,
                "not_sent": report.not_sent,
                "ids_given": report.ids_given,
                "interrupted": report.is_interrupted,
                "problems": [problem._asdict() for problem in report.problems],
                "unknown_fields": [unknown._asdict() for unknown in report.unknown_fields],
                "more_unknown": report.more_unknown,
            }
        )
        return
    if report.invalid > len(report.problems):
        say(f"… and {report.invalid - len(report.problems):,} more lines that the contract refuses")
    kept = "left out" if args.invalid == "skip" else "sent, to be kept as dead letters"
    if report.invalid:
        say(
            f"{counted(report.invalid, 'line')} refused by the contract ({kept}); see `tokentide tail rejects`"
        )
    for unknown in report.unknown_fields:
        say(f"{unknown.field} {unknown.problem} (in {counted(unknown.events, 'event')}; workers ignore it)")
    if report.more_unknown:
        say(f"… and further names that are no fields, {report.more_unknown:,} times")
    if not args.stdout:
        print(f"{counted(report.acknowledged, 'event')} acknowledged by Kafka")
    if report.is_interrupted:
        say(f"Interrupted. To go on: the same command with --skip-items {report.items}")
