"""`tokentide simulate`: send made-up traffic."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tokentide.cli.arguments import add_settings_arguments, moment, settings_from, whole_number
from tokentide.cli.exits import ExitCode, UsageError
from tokentide.cli.registry import Example
from tokentide.cli.sending import add_output_arguments, opened_sink, progress_of, time_text, traffic_errors
from tokentide.cli.terminal import counted, print_json, say

if TYPE_CHECKING:
    from tokentide.producers.simulate.incidents import Incident
    from tokentide.producers.simulate.run import RunOptions, SimulationReport

DESCRIPTION = """Send made-up traffic of a made-up company: services, models, templates, conversations, errors, streaming, cache
hits, a daily rhythm, and incidents on request. The same seed at the same start makes the same events.

Without a duration it goes on, live, until Ctrl-C. --history sends the past hours first, as fast as possible, so that
baselines exist. Times are seconds, or have a unit: 90, 5m, 2h, 1d.
An incident is KIND:KEY=VALUE,…; kinds: error_burst, cost_spike, context_hit_drop, latency, silence, reject_burst;
keys: start, duration, service, provider, model, tenant, prompt, and rate, factor, class, by, to, stage by kind. Times of
incidents count from the begin of the live part, with --no-live from that of the past; one outside the run is a mistake."""
EXAMPLES = (
    Example("tokentide simulate --rate 50 --duration 5m", "Five minutes, live."),
    Example(
        "tokentide simulate --history 6h --incident error_burst:service=support-chat,start=60,duration=2m,rate=0.5",
        "Six hours of past first, then live, with an incident after a minute.",
    ),
    Example(
        "tokentide simulate --history 1d --no-live --seed 7 --truth truth.json",
        "A day as fast as possible, with the true counts beside it.",
    ),
    Example(
        "tokentide simulate --rate 50 --duration 5m --parts 0.3",
        "Three calls in ten as request and answer apart, and evaluations.",
    ),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--rate", type=float, default=20.0, metavar="N", help="calls per second (default: 20)"
    )
    parser.add_argument("--duration", metavar="TIME", help="length of the live part (default: until Ctrl-C)")
    parser.add_argument("--history", metavar="TIME", default="0", help="send so much past first")
    parser.add_argument("--no-live", action="store_true", help="only the past")
    parser.add_argument(
        "--start", metavar="DATE", help="a past that begins then, instead of one that ends now"
    )
    parser.add_argument("--count", type=whole_number(1), metavar="N", help="stop after N events")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the random numbers (default: 1)")
    parser.add_argument(
        "--rhythm",
        type=float,
        default=0.5,
        metavar="X",
        help="0: day and night alike; 0.5: the default; 0.95: the most",
    )
    parser.add_argument(
        "--incident", action="append", default=[], metavar="SPEC", help="an incident; may be repeated"
    )
    parser.add_argument(
        "--incidents", type=Path, metavar="FILE", help="incidents from a file (TOML, [[incident]] tables)"
    )
    parser.add_argument(
        "--service", action="append", metavar="NAME", help="only this service; may be repeated (default: all)"
    )
    parser.add_argument(
        "--environment", default="production", metavar="NAME", help="of all events (default: production)"
    )
    parser.add_argument(
        "--parts",
        type=float,
        default=0.0,
        metavar="X",
        help="send this share of the calls as a request and its answer, some without one, and what is said of their quality "
        "later (default: 0)",
    )
    parser.add_argument(
        "--truth", type=Path, metavar="FILE", help="write what was really sent, by minute and series"
    )
    add_output_arguments(parser)
    add_settings_arguments(parser, ["kafka"])


def run(args: argparse.Namespace) -> int:
    """Send until the end or Ctrl-C."""
    from tokentide.producers.simulate.run import run_simulation  # noqa: PLC0415 - not needed for the help
    from tokentide.producers.simulate.truth import Truth  # noqa: PLC0415 - not needed for the help

    settings = settings_from(args)
    truth = Truth() if args.truth else None
    with traffic_errors():
        options = _options(args)
        with (
            opened_sink(settings, to_stdout=args.stdout) as sink,
            progress_of("simulate", args) as progress,
        ):
            report = run_simulation(options, sink, progress=progress, truth=truth)
    if truth is not None:
        _write_truth(args.truth, truth.as_json())
    _report(args, report)
    # An endless run is ended by Ctrl-C: that is not an interruption.
    endless = not args.no_live and args.duration is None and args.count is None
    return ExitCode.INTERRUPTED if report.is_interrupted and not endless else ExitCode.OK


def _options(args: argparse.Namespace) -> RunOptions:
    from tokentide.producers.simulate.run import RunOptions  # noqa: PLC0415 - not needed for the help

    return RunOptions(
        seed=args.seed,
        rate_per_second=args.rate,
        history_s=seconds_of(args.history, "--history"),
        is_live=not args.no_live,
        live_s=None if args.duration is None else seconds_of(args.duration, "--duration"),
        start_us=None if args.start is None else round(moment(args.start, "--start").timestamp() * 1_000_000),
        count=args.count,
        rhythm=args.rhythm,
        incidents=_incidents(args),
        services=tuple(args.service) if args.service else None,
        environment=args.environment,
        parts=args.parts,
    )


def _incidents(args: argparse.Namespace) -> tuple[Incident, ...]:
    from tokentide.producers.simulate.incidents import load_incidents, parse_incident  # noqa: PLC0415 - same

    given = tuple(parse_incident(text) for text in args.incident)
    return given + (load_incidents(args.incidents) if args.incidents else ())


def seconds_of(text: str, option: str) -> float:
    """`90`, `5m`, `2h`, `1d` in seconds.

    Raises:
        UsageError: none of these.
    """
    from tokentide.producers.simulate.incidents import parse_seconds  # noqa: PLC0415 - same

    try:
        return parse_seconds(text)
    except ValueError:
        raise UsageError(f"{option} is a time such as 90, 5m, 2h or 1d") from None


def _write_truth(path: Path, truth: dict[str, object]) -> None:
    try:
        path.write_text(json.dumps(truth) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _report(args: argparse.Namespace, report: SimulationReport) -> None:
    first, last = time_text(report.first_us), time_text(report.last_us)
    if args.json:
        print_json(
            {
                "sent": report.sent,
                "acknowledged": report.acknowledged,
                "malformed": report.malformed,
                "first_event": first,
                "last_event": last,
                "most_behind_s": round(report.most_behind_s, 3),
                "interrupted": report.is_interrupted,
            }
        )
        return
    if not args.stdout:
        malformed = f", {report.malformed:,} of them malformed on purpose" if report.malformed else ""
        print(f"{counted(report.acknowledged, 'event')} acknowledged by Kafka{malformed}")
        if first and last:
            print(f"event times from {first} to {last}")
    if report.most_behind_s > 1 and args.history == "0":  # after a history the live part has to catch up
        say(
            f"The live part was up to {report.most_behind_s:.1f} s late: the rate is too high for this machine, "
            "or Kafka is too slow."
        )
