"""`tokentide audit`: prove that ledger, events, windows and the log agree."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from tokentide.cli.arguments import add_settings_arguments, moment, settings_from, whole_number
from tokentide.cli.exits import ExitCode
from tokentide.cli.kafka_access import admin_client
from tokentide.cli.log_check import LogState, log_states, problems
from tokentide.cli.offsets import KafkaOffsets
from tokentide.cli.registry import Example
from tokentide.cli.sql_client import sql_client
from tokentide.cli.terminal import clipped, counted, print_json, say, table, toned

if TYPE_CHECKING:
    from tokentide.config import Settings
    from tokentide.sql.audit import AuditReport, CheckResult, Totals
    from tokentide.sql.client import SqlClient

DESCRIPTION = """Prove that nothing is lost and nothing counted twice: every offset that was read is an event, a refused record, a
repetition or a gap (the ledger); every event is stored once; windows and events have the same sums, minute by
minute and series by series; and nothing was committed in Kafka that the ledger does not account for.

Run it when the workers have caught up (`tokentide wait`): an insert between two questions is a difference that goes away.
Exit code 0: all agree; 1: they do not, with the differences as tables."""
EXAMPLES = (
    Example("tokentide wait && tokentide audit", "Once all is stored, check it."),
    Example(
        "tokentide audit --since 2024-05-01 --until 2024-05-02", "Compare the windows and events of a day."
    ),
    Example("tokentide audit --no-kafka --json", "ClickHouse alone, for a program."),
)
CELL_WIDTH = 60
WHAT_TO_DO: Final = """Windows, and all that is computed from them (rates, costs, incidents), are too high by `in_duplicates` in these minutes;
for exact figures of them ask the view `events`. There is no command that repairs windows yet. The cause is a sender that
repeats events later, or to another partition; the SDK's producer does so only with what waited on disk through a long outage
although Kafka had taken it. See docs/delivery.md, "Limits"."""
CHANGED: Final = """They explain every call that differs, and not every sum: so it is where an event was sent again with other values. The
event that is kept has its values in `events`, the windows have those of both. To be sure, read the records at the two
places named below from Kafka: if an event is the same in both, it is a defect, and worth a report."""
INCOMPLETE: Final = """incomplete: {calls} with a part that never came (`incomplete` in the view `events`): the part that came is among the
parts, and the call was made when its time was over, so it is no item of its own."""
HINTS: Final = {
    "audit_event_ids": "An id that came with two timestamps or services is two events, in `events` and in windows: its sender has to be "
    "mended.",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--since", metavar="TIME", help="first event time to compare windows and events at")
    parser.add_argument("--until", metavar="TIME", help="event time to stop before")
    parser.add_argument(
        "--max-rows",
        type=whole_number(1),
        default=20,
        metavar="N",
        help="differences shown of each check (default: 20)",
    )
    parser.add_argument("--no-kafka", action="store_true", help="leave out the comparison with the log")
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    add_settings_arguments(parser, ["kafka", "clickhouse"], group_id=True)


def run(args: argparse.Namespace) -> int:
    """Check; 1 if anything differs."""
    settings = settings_from(args)
    database = settings.clickhouse.url.database
    with sql_client(settings.clickhouse, purpose="`tokentide audit`") as client:
        from tokentide.sql.audit import run_audit  # noqa: PLC0415 - after the check for the extra

        spans = {
            name: moment(text, f"--{name}") for name in ("since", "until") if (text := getattr(args, name))
        }
        report = run_audit(client, database, max_rows=args.max_rows, **spans)
        states = [] if args.no_kafka else _log(settings, client)
    agrees = report.agrees and not problems(states)
    if args.json:
        print_json(_as_json(report, states, agrees=agrees))
    else:
        _print(report, states, agrees=agrees)
    return ExitCode.OK if agrees else ExitCode.NEGATIVE


def _log(settings: Settings, client: SqlClient) -> list[LogState]:
    topic = settings.topics.events
    with admin_client(settings.kafka) as admin:
        offsets = KafkaOffsets(settings.kafka, admin, topic=topic, group_id=settings.worker.group_id)
        # The commits first: they only grow, and must not be ahead of what is read afterwards.
        committed = offsets.committed()
        read_to = _read_to(client, settings.clickhouse.url.database, f"{topic}:{offsets.topic_id}")
        return log_states(offsets.bounds(), committed, read_to)


def _read_to(client: SqlClient, database: str, source: str) -> dict[int, int]:
    from tokentide.sql.identifiers import database_name  # noqa: PLC0415 - after the check for the extra

    rows = client.query(
        f"SELECT source_partition, max(version) FROM {database_name(database)}.llm_ledger "  # noqa: S608 - a checked name
        "WHERE source = {source:String} GROUP BY source_partition",
        {"source": source},
    ).result_rows
    return {int(partition): int(version) for partition, version in rows}


def _print(report: AuditReport, states: Sequence[LogState], *, agrees: bool) -> None:
    totals = report.totals
    print(
        f"{counted(totals.records, 'record')} read in {counted(totals.segments, 'segment')}: "
        f"{counted(totals.items, 'item')} = {sum_of_items(totals)}"
    )
    evaluations = f", {counted(totals.evaluation_rows, 'evaluation')}" if totals.evaluations else ""
    print(
        f"stored: {counted(totals.event_rows, 'event')}{evaluations}; "
        f"in windows: {counted(totals.window_calls, 'call')}"
    )
    if totals.incomplete_events:
        print(INCOMPLETE.format(calls=counted(totals.incomplete_events, "accepted call")))
    if totals.lost:
        print(
            toned(
                f"{counted(totals.lost, 'offset')} were deleted by the broker before they were read", "yellow"
            )
        )
    for result in report.results:
        mark = toned("differs", "red") if result.rows else toned("yes", "green")
        print(f"  {mark:<7}  {result.check.question}")
    _print_log(states)
    for result in report.differences:
        _print_rows(result)
    if report.duplicates.rows:
        _print_duplicates(report)
    print(toned("all agree", "green") if agrees else toned("they do not agree", "red"))


def sum_of_items(totals: Totals) -> str:
    """What the items of the ledger are, as a sum; parts and evaluations only where there are any."""
    terms = [
        f"{totals.events:,} accepted",
        f"+ {totals.duplicates:,} repeated",
        f"+ {totals.rejects:,} refused",
    ]
    if totals.parts:
        terms.append(f"+ {counted(totals.parts, 'part')} of calls")
    if totals.evaluations:
        terms.append(f"+ {counted(totals.evaluations, 'evaluation')}")
    if totals.incomplete_events:
        terms.append(f"− {totals.incomplete_events:,} incomplete")
    return " ".join(terms)


def _print_log(states: Sequence[LogState]) -> None:
    if not states:
        return
    wrong = problems(states)
    mark = toned("differs", "red") if wrong else toned("yes", "green")
    print(f"  {mark:<7}  Is everything that was committed in the ledger?")
    if wrong:
        rows = [(s.partition, s.begin, s.end, s.committed, s.read_to, s.problem) for s in wrong]
        print(table(("partition", "begin", "end", "committed", "in ledger", "problem"), rows, indent="  "))
    left = sum(state.left for state in states)
    if left:
        say(f"{counted(left, 'record')} of the topic are not stored yet: they are in none of these numbers")


def _print_rows(result: CheckResult) -> None:
    print(f"\n{toned(result.check.name, 'bold')}: {result.check.question}")
    cells = [[_cell(value) for value in row] for row in result.rows]
    print(table(result.columns, cells, indent="  "))
    if result.is_cut:
        print("  … and more; --max-rows shows them")
    if hint := HINTS.get(result.check.name):
        print(hint)


def _print_duplicates(report: AuditReport) -> None:
    print(
        toned("\nEvents were sent again", "yellow")
        + ", under another offset, further apart than workers recognise; `events` holds them once, windows count each."
    )
    if report.is_explained_by_duplicates:
        print("They explain every difference to the last digit: nothing else is wrong.")
    elif report.may_be_changed_duplicates:
        print(CHANGED)
    elif report.differences:
        print(
            "They do not explain all differences: see the rows whose `explanation` is `none`, or that have none."
        )
    print(WHAT_TO_DO)
    _print_rows(report.duplicates)


def _cell(value: object) -> object:
    if isinstance(value, str):
        return clipped(value, CELL_WIDTH)
    if isinstance(value, list | tuple):
        return clipped(", ".join(map(str, value)), CELL_WIDTH)
    return value


def _as_json(report: AuditReport, states: Sequence[LogState], *, agrees: bool) -> dict[str, object]:
    return {
        "agrees": agrees,
        "database": report.database,
        "totals": asdict(report.totals),
        "checks": {result.check.name: not result.rows for result in report.results},
        "differences": [_rows_as_json(result) for result in report.differences],
        "duplicates": _rows_as_json(report.duplicates) if report.duplicates.rows else None,
        "explained_by_duplicates": report.is_explained_by_duplicates,
        "may_be_changed_duplicates": report.may_be_changed_duplicates,
        "log": [{**state._asdict(), "left": state.left, "problem": state.problem} for state in states],
    }


def _rows_as_json(result: CheckResult) -> dict[str, object]:
    return {
        "check": result.check.name,
        "columns": result.columns,
        "rows": result.rows,
        "is_cut": result.is_cut,
    }
