"""`tokentide wait`: return when everything in the events topic is stored."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tokentide.cli.arguments import add_settings_arguments, seconds_to_wait, settings_from
from tokentide.cli.exits import CliError, ExitCode
from tokentide.cli.kafka_access import admin_client
from tokentide.cli.kafka_patience import PatientOffsets
from tokentide.cli.lag import BEGIN_ANEW, OffsetSource, PartitionLag, WaitResult, wait_until_stored
from tokentide.cli.offsets import KafkaOffsets
from tokentide.cli.registry import Example
from tokentide.cli.terminal import print_json, printable_lines, say, table, toned

DESCRIPTION = """Wait until the workers have stored everything that is in the events topic now.

The ends of the topic are taken at the start; what arrives later is not waited for. A worker commits
only after ClickHouse has the rows, so a query that follows sees all of them. While Kafka does not answer or its leaders move,
it is asked again until the time-out.
Exit code 0: stored; 1: not within the time-out, with what is missing per partition; 3: Kafka did not answer up to the time-out."""
EXAMPLES = (
    Example(
        "tokentide ship calls.ndjson && tokentide wait --timeout 60 && tokentide audit",
        "Send, wait, check.",
    ),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--timeout",
        type=seconds_to_wait,
        default=60.0,
        metavar="S",
        help="longest wait in seconds (default: 60)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    add_settings_arguments(parser, ["kafka"], group_id=True)


def run(args: argparse.Namespace) -> int:
    """Wait; 0 if all is stored, 1 if time ran out."""
    settings = settings_from(args)
    topic = settings.topics.events

    @contextmanager
    def opened() -> Iterator[OffsetSource]:
        with admin_client(settings.kafka) as admin:
            yield KafkaOffsets(settings.kafka, admin, topic=topic, group_id=settings.worker.group_id)

    with PatientOffsets(opened, settings.kafka, within_s=args.timeout, told=_say_trouble) as offsets:
        progress = _Progress()
        result = wait_until_stored(
            offsets, timeout_s=args.timeout, clock=time.monotonic, sleep=time.sleep, report=progress
        )
        progress.end()
    if args.json:
        print_json(_as_json(topic, result))
    else:
        _print(topic, settings.worker.group_id, result)
    return ExitCode.OK if result.is_stored else ExitCode.NEGATIVE


def _say_trouble(error: CliError) -> None:
    say(
        f"{toned('warning:', 'yellow', sys.stderr)} {printable_lines(error.message)}; asked again until the time-out"
    )
    for line in error.hint.splitlines():
        say(f"  {line}")


class _Progress:
    """Says how much is left: on a terminal in one line that is refreshed, else every five seconds."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._next = 0.0 if self._is_terminal else time.monotonic() + 5
        self._has_line = False

    def __call__(self, lags: Sequence[PartitionLag]) -> None:
        left = sum(lag.lag for lag in lags)
        if not left or time.monotonic() < self._next:
            return
        text = f"{left:,} records to go in {sum(lag.lag > 0 for lag in lags)} of {len(lags)} partitions"
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._has_line = True
        else:
            say(text)
            self._next = time.monotonic() + 5

    def end(self) -> None:
        """Clear the line."""
        if self._has_line:
            sys.stderr.write("\r\x1b[K")


def _print(topic: str, group_id: str, result: WaitResult) -> None:
    records = sum(lag.end - lag.begin for lag in result.lags)
    if result.foreign:
        say(
            f"{toned('warning:', 'yellow', sys.stderr)} the group {group_id} has committed past the end of "
            f"partitions {list(result.foreign)}: the topic was created anew since, or the group was moved"
        )
        say(f"  {BEGIN_ANEW}")
    if result.is_stored:
        print(f"stored: all of {topic} ({records:,} records, waited {result.seconds:.1f} s)")
        return
    left = sum(lag.lag for lag in result.lags)
    print(f"{toned('not stored', 'red')} after {result.seconds:.1f} s: {left:,} records of {topic} are left")
    rows = [(lag.partition, lag.committed, lag.end, lag.lag) for lag in result.lags if lag.lag]
    print(table(("partition", "committed", "end", "left"), rows))
    if all(lag.committed is None for lag in result.lags):
        say(
            f"The group {group_id} has never committed: is a worker running? (`tokentide worker`, `tokentide up`)"
        )


def _as_json(topic: str, result: WaitResult) -> dict[str, object]:
    return {
        "stored": result.is_stored,
        "seconds": round(result.seconds, 3),
        "topic": topic,
        "left": sum(lag.lag for lag in result.lags),
        "partitions": [
            {"partition": lag.partition, "committed": lag.committed, "end": lag.end, "left": lag.lag}
            for lag in result.lags
        ],
    }
