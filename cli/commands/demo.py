"""`tokentide demo`: everything at once, with made-up traffic and live numbers."""

from __future__ import annotations

import argparse
import math
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final, Self

from tokentide.cli.arguments import add_settings_arguments, whole_number
from tokentide.cli.clickhouse_http import ClickHouseHttp
from tokentide.cli.commands.audit import sum_of_items
from tokentide.cli.commands.query import TABLE_FORMAT
from tokentide.cli.commands.simulate import seconds_of
from tokentide.cli.demo.board import Board, read_board
from tokentide.cli.demo.view import incident_line, incident_lines, live_view, plain_line
from tokentide.cli.exits import ExitCode, TerminatedError, UsageError
from tokentide.cli.extras import require_extra
from tokentide.cli.kafka_access import admin_client
from tokentide.cli.lag import wait_until_stored
from tokentide.cli.next_steps import program, watch_an_incident
from tokentide.cli.offsets import KafkaOffsets
from tokentide.cli.registry import Example
from tokentide.cli.terminal import counted, has_colour, say, toned

if TYPE_CHECKING:
    from tokentide.cli.demo.story import Traffic
    from tokentide.config import Settings
    from tokentide.embedded.supervisor import Supervisor
    from tokentide.sql.audit import Totals

DESCRIPTION = """Start a broker, ClickHouse and a worker on free ports, send made-up history and then live traffic with two
incidents, which are noticed after some 45 seconds, show live numbers, check that everything adds up, and end. Nothing is
left behind unless --data-dir is given.

On a terminal the numbers are a live table, elsewhere plain lines.
Exit code 0: everything was stored, and the audit agrees."""
EXAMPLES = (
    Example("tokentide demo", "A minute of it."),
    Example("tokentide demo --seconds 300 --data-dir ./demo-data", "Longer, and keep the data."),
)
LINES_EVERY_S: Final = 5.0
REFRESH_S: Final = 1.0
STORED_WITHIN_S: Final = 120.0
NEXT_QUERIES: Final = (
    (
        "What does each service cost, and how many of its calls have a price? (NULL: none)",
        "SELECT service, sum(calls), sum(priced_calls), sum(cost_usd) FROM costs GROUP BY service ORDER BY 4 DESC LIMIT 5",
    ),
    (
        "Which errors, and whose fault?",
        "SELECT service, error_class, error_owner, count() FROM events WHERE status = 'error' GROUP BY ALL ORDER BY 4 DESC LIMIT 5",
    ),
    (
        "How long do the slowest calls of each model take, in ms?",
        "SELECT model, round(tokentide_quantile(sumMap(duration_ms_sketch), 0.95)) AS p95 FROM windows GROUP BY model ORDER BY 2 DESC LIMIT 5",
    ),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="N", help="length of the live part (default: 60)"
    )
    parser.add_argument(
        "--history",
        metavar="TIME",
        default="80m",  # the rule for cost compares with the hour before its span
        help="made-up past that is sent first (default: 80m)",
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="keep data and logs here (default: a temporary folder)"
    )
    parser.add_argument(
        "--workers", type=whole_number(1), metavar="N", default=1, help="number of workers (default: 1)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the made-up traffic (default: 1)"
    )
    add_settings_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Start, show, check, end."""
    require_extra("embedded", purpose="`tokentide demo`")
    if not 0 < args.seconds < math.inf:
        raise UsageError("--seconds must be above 0, and have an end")
    history_s = seconds_of(args.history, "--history")
    if not history_s > 0:
        raise UsageError("--history must be above 0")
    folder = (
        nullcontext(str(args.data_dir))
        if args.data_dir
        else tempfile.TemporaryDirectory(prefix="tokentide-demo-")
    )
    with folder as data_dir:
        return _run(args, Path(data_dir), history_s)


def _run(args: argparse.Namespace, data_dir: Path, history_s: float) -> int:
    from tokentide.cli import one_machine  # noqa: PLC0415 - needs the extra
    from tokentide.cli.demo.story import Traffic  # noqa: PLC0415 - not needed for the help
    from tokentide.embedded.supervisor import Supervisor  # noqa: PLC0415 - needs the extra

    settings, environment = one_machine.settings_for_engines_here(args, workers=args.workers)
    options = one_machine.supervisor_options(
        settings, environment, data_dir=data_dir, workers=args.workers, kafka_port=0, clickhouse_port=0
    )
    say(toned("starting Tokentide on this machine", "bold", sys.stderr))
    supervisor = Supervisor(options, on_progress=one_machine.say_progress)
    with _signals_as_errors(), one_machine.engine_errors():
        try:
            state = supervisor.start()
            here = one_machine.at_addresses(settings, state.addresses)
            traffic = Traffic(here, history_s=history_s, live_s=args.seconds, seed=args.seed)
            try:
                is_good = _show(traffic, supervisor)
            finally:
                traffic.stop()
        finally:
            supervisor.stop()
    _say_how_to_go_on(args)
    return ExitCode.OK if is_good else ExitCode.NEGATIVE


@contextmanager
def _signals_as_errors() -> Iterator[None]:
    """So that signals end the children in order; also where a shell has told us to ignore Ctrl-C."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else TerminatedError

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(traffic: Traffic, supervisor: Supervisor) -> bool:
    """Traffic, numbers, check, queries; whether everything was stored and adds up."""
    settings = traffic.settings
    clickhouse = ClickHouseHttp(settings.clickhouse)
    display = _Screen() if sys.stdout.isatty() else _Lines()
    traffic.start()
    with display:
        while not traffic.is_done:
            supervisor.wait(REFRESH_S)  # raises what ended the run
            display.show(read_board(clickhouse), traffic.phase)
    if traffic.error is not None:
        raise traffic.error
    print(f"sent {counted(traffic.sent, 'event')}; waiting until all of them are stored")
    is_stored = _wait(settings)
    board = read_board(clickhouse)
    print(plain_line(board, elapsed_s=display.elapsed_s))
    for line in incident_lines(board):
        print(line)
    agrees = _audit(settings)
    _ask(clickhouse)
    return is_stored and agrees


class _Display:
    """Shows boards; knows how long it has done so."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the begin."""
        return time.monotonic() - self._began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def show(self, board: Board, phase: str) -> None:
        """Show the numbers of this moment."""
        raise NotImplementedError


class _Lines(_Display):
    """A line every few seconds, and one for each change of an incident."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0
        self._phase = ""
        self._known: dict[str, tuple[str, str]] = {}

    def show(self, board: Board, phase: str) -> None:
        """Print what is new."""
        if phase != self._phase:
            print(phase, flush=True)
            self._phase = phase
        for incident in board.incidents:
            now = (incident.state, incident.severity)
            if self._known.get(incident.anomaly_id) != now:
                self._known[incident.anomaly_id] = now
                print(incident_line(incident), flush=True)
        if self.elapsed_s >= self._next_s:
            self._next_s = self.elapsed_s + LINES_EVERY_S
            print(plain_line(board, elapsed_s=self.elapsed_s), flush=True)


class _Screen(_Display):
    """A table that is refreshed in place."""

    def __init__(self) -> None:
        super().__init__()
        from rich.live import Live  # noqa: PLC0415 - needs the extra

        self._live = Live(auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, board: Board, phase: str) -> None:
        """Draw the numbers of this moment."""
        self._live.update(live_view(board, elapsed_s=self.elapsed_s, note=phase), refresh=True)


def _wait(settings: Settings) -> bool:
    topic = settings.topics.events
    with admin_client(settings.kafka) as admin:
        offsets = KafkaOffsets(settings.kafka, admin, topic=topic, group_id=settings.worker.group_id)
        result = wait_until_stored(
            offsets,
            timeout_s=STORED_WITHIN_S,
            clock=time.monotonic,
            sleep=time.sleep,
            report=lambda _: None,
        )
    if not result.is_stored:
        left = sum(lag.lag for lag in result.lags)
        print(toned(f"{counted(left, 'record')} were not stored within {STORED_WITHIN_S:.0f} s", "red"))
    return result.is_stored


def _audit(settings: Settings) -> bool:
    from tokentide.cli.sql_client import sql_client  # noqa: PLC0415 - needs the extra
    from tokentide.sql.audit import run_audit  # noqa: PLC0415 - needs the extra

    with sql_client(settings.clickhouse, purpose="`tokentide demo`") as client:
        report = run_audit(client, settings.clickhouse.url.database)
    verdict = toned("all agree", "green") if report.agrees else toned("they do not agree", "red")
    print(f"{audit_line(report.totals)}: {verdict}")
    return report.agrees


def audit_line(totals: Totals) -> str:
    """What was read and what became of it."""
    evaluations = f", {counted(totals.evaluation_rows, 'evaluation')}" if totals.evaluations else ""
    return (
        f"audit: {counted(totals.items, 'item')} read = {sum_of_items(totals)}; "
        f"{counted(totals.event_rows, 'event')}{evaluations} stored, {counted(totals.window_calls, 'call')} in windows"
    )


def _ask(clickhouse: ClickHouseHttp) -> None:
    """A few queries with their answers."""
    colour = str(int(has_colour(sys.stdout)))
    for question, sql in NEXT_QUERIES:
        print(f'\n{toned(question, "bold")}\n$ {program()} query "{sql}"')
        options = {"output_format_pretty_color": colour, "output_format_pretty_row_numbers": "0"}
        answer = b"".join(clickhouse.stream(sql, output_format=TABLE_FORMAT, options=options))
        print(answer.decode(), end="")


def _say_how_to_go_on(args: argparse.Namespace) -> None:
    folder = f" --data-dir {shlex.quote(str(args.data_dir))}" if args.data_dir else ""
    kept = f"The data is kept in {args.data_dir}." if args.data_dir else "Everything has been removed again."
    print(f"\n{kept} To keep it running, and to send and ask yourself:")
    print(f"  {program()} up{folder}")
    print("and in another terminal:")
    for line in watch_an_incident():
        print(f"  {line}")
    print(f"All commands: {program()} --help")
