"""`tokentide init`: topics and tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tokentide.cli.arguments import add_settings_arguments, settings_from
from tokentide.cli.exits import CliError, ExitCode, NotReadyError
from tokentide.cli.extras import require_extra
from tokentide.cli.kafka_access import admin_client
from tokentide.cli.registry import Example
from tokentide.cli.sql_client import as_ours, sql_client
from tokentide.cli.terminal import Tone, counted, print_json, toned
from tokentide.cli.topics import KafkaTopics, Outcome, apply_plans
from tokentide.config.topics import topic_plans

if TYPE_CHECKING:
    from tokentide.config import Settings

DESCRIPTION = """Create the topics and the ClickHouse tables, or bring them up to date. Safe to run again, and from several places at once.

Topics that exist are compared with the settings and left alone, unless --update is given; nothing is ever
deleted or made smaller. Tables are migrated forward; each step is recorded.
Exit code 0: all is as planned; 1: a topic differs from the settings."""
EXAMPLES = (
    Example("tokentide init", "Before the first worker, and after each update of Tokentide."),
    Example("tokentide init --set topics.partitions=12 --update", "Raise the number of partitions."),
    Example("tokentide init --dry-run", "What would be done?"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--update", action="store_true", help="bring existing topics in line: configuration, more partitions"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--only", choices=("topics", "tables"), help="one half: where Kafka and ClickHouse are others' matter"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    add_settings_arguments(parser, ["kafka", "clickhouse"])


class InitResult(NamedTuple):
    """What `init` found and did."""

    topics: Sequence[Outcome]
    steps: Sequence[str]
    """Steps taken on the tables, or to be taken in a dry run."""

    @property
    def is_as_planned(self) -> bool:
        """No topic differs or is missing."""
        return all(topic.state not in ("differs", "missing") for topic in self.topics)


def run(args: argparse.Namespace) -> int:
    """Create and compare; 1 if a topic differs."""
    settings = settings_from(args)
    result = initialise(
        settings,
        update=args.update,
        dry_run=args.dry_run,
        topics=args.only != "tables",
        tables=args.only != "topics",
        tell=(lambda _: None) if args.json else print,
    )
    if args.json:
        print_json(
            {
                "as_planned": result.is_as_planned,
                "topics": [outcome._asdict() for outcome in result.topics],
                "table_steps": list(result.steps),
            }
        )
    elif not result.is_as_planned and not args.dry_run:
        print("Some topics differ from the settings: `tokentide init --update` brings them in line.")
    return ExitCode.OK if result.is_as_planned or args.dry_run else ExitCode.NEGATIVE


def initialise(
    settings: Settings,
    *,
    update: bool = False,
    dry_run: bool = False,
    topics: bool = True,
    tables: bool = True,
    tell: Callable[[str], None] = print,
) -> InitResult:
    """Create topics and tables; also what `up` and `demo` do first.

    Raises:
        CliError: Kafka or ClickHouse cannot be used, or the extra for the tables is missing: then nothing was done.
        SettingsError: the files of the settings cannot be used.
    """
    outcomes: Sequence[Outcome] = ()
    steps: Sequence[str] = ()
    if tables:
        _require_client()  # before the topics are made: a half is no result
    if topics:
        with admin_client(settings.kafka) as admin:
            outcomes = apply_plans(KafkaTopics(admin), topic_plans(settings), update=update, dry_run=dry_run)
        for outcome in outcomes:
            tell(_topic_line(outcome, dry_run=dry_run))
    if tables:
        steps = _pending(settings) if dry_run else _migrate(settings, tell)
        database = settings.clickhouse.url.database
        if dry_run:
            tell(f"database {database}: {counted(len(steps), 'migration')} to apply")
        else:
            tell(
                f"database {database}: {counted(len(steps), 'step')} applied"
                if steps
                else f"database {database}: up to date"
            )
    return InitResult(outcomes, steps)


def _require_client() -> None:
    try:
        require_extra("stream", purpose="`tokentide init`")
    except NotReadyError as error:
        error.hint += "\nThe topics alone need no extra: tokentide init --only topics"
        raise


def _topic_line(outcome: Outcome, *, dry_run: bool) -> str:
    if outcome.state == "missing" and dry_run:
        return f"topic {outcome.topic}: to be created"
    tones: dict[str, Tone] = {"created": "green", "updated": "green", "differs": "yellow", "missing": "red"}
    tone = tones.get(outcome.state)
    state = toned(outcome.state, tone) if tone else outcome.state
    notes = "".join(f"; {note}" for note in outcome.notes)
    return f"topic {outcome.topic}: {state}, {counted(outcome.partitions, 'partition')}{notes}"


def _migrate(settings: Settings, tell: Callable[[str], None]) -> list[str]:
    from tokentide.sql.errors import SqlError  # noqa: PLC0415 - needs the extra's client
    from tokentide.sql.migrate import Applied, migrate  # noqa: PLC0415 - needs the extra's client
    from tokentide.sql.retention import Retention  # noqa: PLC0415 - needs the extra's client

    retention = Retention(
        events_days=settings.retention.events_days, windows_days=settings.retention.windows_days
    )

    def on_step(step: Applied) -> None:
        if step.kind == "migration":
            tell(f"  {step.kind} {step.name}")

    database = settings.clickhouse.url.database
    try:
        with sql_client(settings.clickhouse, purpose="`tokentide init`", with_database=False) as client:
            applied = migrate(client, database, retention=retention, on_step=on_step)
    except SqlError as error:
        raise _sql_error(error) from error
    return [f"{step.kind} {step.name}" for step in applied]


def _pending(settings: Settings) -> list[str]:
    from tokentide.sql.errors import SqlError  # noqa: PLC0415 - needs the extra's client
    from tokentide.sql.migrate import pending  # noqa: PLC0415 - needs the extra's client

    try:
        with sql_client(settings.clickhouse, purpose="`tokentide init`", with_database=False) as client:
            return pending(client, settings.clickhouse.url.database)
    except SqlError as error:
        raise _sql_error(error) from error


def _sql_error(error: Exception) -> CliError:
    """The schema's own errors; behind a refused statement stands ClickHouse's answer."""
    if error.__cause__ is not None:
        ours = as_ours(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        ours.message = f"{error}\n  {ours.message}"
        return ours
    return NotReadyError(str(error))
