"""`tokentide up`: everything on one machine, until it is told to stop."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokentide.cli.arguments import add_settings_arguments, whole_number
from tokentide.cli.exits import ExitCode
from tokentide.cli.extras import require_extra
from tokentide.cli.next_steps import watch_an_incident
from tokentide.cli.one_machine import DEFAULT_DATA_DIR
from tokentide.cli.registry import Example
from tokentide.cli.terminal import print_json, say, toned

if TYPE_CHECKING:
    from tokentide.embedded.run_state import RunState

DESCRIPTION = """Start a Kafka broker, ClickHouse and workers on this machine, create topics and tables, and keep all of it running.

Data of ClickHouse stays in the data directory. The broker keeps records in memory until it ends: what the workers have
stored is safe. A worker that dies is started again. Everything listens on 127.0.0.1 only. Ctrl-C or SIGTERM ends all
of it in order; a second one at once. Prompts and answers that are sent are kept as hashes, by a key of the data directory's own
unless content.hash_key is set."""
EXAMPLES = (
    Example("tokentide up", "On the usual ports, so that all other commands find it."),
    Example(
        "tokentide up --data-dir ./data --workers 2 --kafka-port 0 --clickhouse-port 0", "On free ports."
    ),
    Example("tokentide up --json > run.json &", "For a program: one line of JSON when everything is ready."),
)
KAFKA_PORT: Final = 9092
CLICKHOUSE_PORT: Final = 8123


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        default=DEFAULT_DATA_DIR,
        help="data and logs (default: ./tokentide-data)",
    )
    parser.add_argument(
        "--kafka-port",
        type=whole_number(0, 65_535),
        metavar="N",
        default=KAFKA_PORT,
        help="0: any free one (default: 9092)",
    )
    parser.add_argument(
        "--clickhouse-port",
        type=whole_number(0, 65_535),
        metavar="N",
        default=CLICKHOUSE_PORT,
        help="0: any free one (default: 8123)",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(0),
        metavar="N",
        default=1,
        help="one for each processor core (default: 1)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one line of JSON when everything is ready: addresses and process ids",
    )
    add_settings_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Start, wait for the end, end in order."""
    require_extra("embedded", purpose="`tokentide up`")
    from tokentide.cli import one_machine  # noqa: PLC0415 - needs the extra
    from tokentide.embedded.supervisor import Supervisor  # noqa: PLC0415 - needs the extra

    settings, environment = one_machine.settings_for_engines_here(args, workers=args.workers)
    options = one_machine.supervisor_options(
        settings,
        environment,
        data_dir=args.data_dir,
        workers=args.workers,
        kafka_port=args.kafka_port,
        clickhouse_port=args.clickhouse_port,
    )
    say(toned("starting Tokentide on this machine", "bold"))
    supervisor = Supervisor(options, on_progress=one_machine.say_progress)
    with one_machine.engine_errors():
        code = supervisor.run(on_ready=print_state if args.json else _summary)
    return ExitCode(code)


def print_state(state: RunState) -> None:
    """The one line for a program."""
    print_json(state.to_dict())


def _summary(state: RunState) -> None:
    from tokentide.cli.one_machine import exports  # noqa: PLC0415 - needs the extra

    workers = ", ".join(f"{worker.name} (process {worker.pid})" for worker in state.workers)
    lines = [
        "",
        toned("Tokentide is running; Ctrl-C ends it", "bold"),
        f"  Kafka       {state.kafka_bootstrap_servers}",
        f"  ClickHouse  {state.clickhouse_url}",
        f"  workers     {workers or 'none'}",
        f"  data, logs  {state.data_dir}",
        "",
        "In another terminal:",
        *(f"  {line}" for line in exports(state)),
        *(f"  {line}" for line in watch_an_incident()),
    ]
    print("\n".join(lines), flush=True)
