"""What the commands that send events share: the sink, the progress, and how the tools' errors end a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from tokentide.cli.exits import CliError, NotReadyError, RefusedError, UnreachableError, UsageError
from tokentide.cli.kafka_access import admin_client
from tokentide.cli.topics import KafkaTopics
from tokentide.config import Settings, client_arguments
from tokentide.producers.progress import Progress, style_of
from tokentide.producers.traffic_errors import ConnectError, DeliveryError, TrafficError

if TYPE_CHECKING:
    from tokentide.producers.bulk import EventSink

_OUR_OWN: Final = frozenset({"bootstrap_servers", "client_id"})


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every sending command has."""
    parser.add_argument(
        "--stdout",
        action="store_true",
        help="write the events as JSON lines to standard output; send nothing",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the report as one line of JSON")


@contextmanager
def opened_sink(settings: Settings, *, to_stdout: bool) -> Iterator[EventSink]:
    """Where events go: the events topic, or standard output.

    Raises:
        CliError: Kafka cannot be reached, the topic is missing, or a record was not acknowledged.
    """
    from tokentide.producers.bulk import NdjsonSink, open_kafka_sink  # noqa: PLC0415 - not needed for the help

    with traffic_errors():
        if to_stdout:
            yield NdjsonSink(sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        _require_topic(settings)
        arguments = {k: v for k, v in client_arguments(settings.kafka).items() if k not in _OUR_OWN}
        sink = open_kafka_sink(
            list(settings.kafka.bootstrap_servers), settings.topics.events, connection=arguments
        )
        try:
            yield sink
        except BaseException:
            _close_quietly(sink)
            raise
        sink.close()


def _require_topic(settings: Settings) -> None:
    """Say at once that the topic is missing: a producer would wait for it, or (embedded broker) create it.

    Raises:
        NotReadyError: it is.
    """
    topic = settings.topics.events
    with admin_client(settings.kafka) as admin:
        if topic not in KafkaTopics(admin).find([topic]):
            raise NotReadyError(
                f"the topic {topic} does not exist", hint="`tokentide init` creates the topics."
            )


def _close_quietly(sink: EventSink) -> None:
    """Something went wrong already; that is what is to be reported."""
    try:
        sink.close()
    except TrafficError:
        return


@contextmanager
def traffic_errors() -> Iterator[None]:
    """Turn the tools' errors into ours."""
    try:
        yield
    except ConnectError as error:
        raise UnreachableError(str(error)) from error
    except DeliveryError as error:
        raise RefusedError(
            str(error), hint="Run the same command again: what is stored already is not stored twice."
        ) from error
    except TrafficError as error:
        first, *more = str(error).splitlines()
        raise UsageError(first, hint="\n".join(more)) from error


def progress_of(label: str, args: argparse.Namespace, *, total_events: int | None = None) -> Progress:
    """Progress on standard error, unless `--quiet`."""
    return Progress(label, total_events=total_events, style=style_of(sys.stderr, quiet=args.quiet))


def source_of(path: str) -> Path | BinaryIO:
    """The file, or standard input for `-`.

    Raises:
        CliError: no such file, or standard input is a terminal.
    """
    if path == "-":
        if sys.stdin.isatty():
            raise UsageError("nothing is piped into standard input", hint="… | tokentide ship -")
        return sys.stdin.buffer
    source = Path(path)
    if not source.exists():
        raise CliError(f"{path} does not exist")
    return source


def time_text(time_us: int | None) -> str | None:
    """A time in microseconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    if time_us is None:
        return None
    moment = datetime.fromtimestamp(time_us / 1_000_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def assignments(pairs: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` pairs as a mapping.

    Raises:
        UsageError: one has no `=`.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{option} is written NAME=VALUE")
        values[name.strip()] = value
    return values
