"""`tokentide doctor`: what is wrong with this set-up, and how to mend it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

from tokentide.cli.arguments import add_settings_arguments, load_from
from tokentide.cli.doctor.clickhouse_checks import clickhouse_checks
from tokentide.cli.doctor.findings import Finding, Status, is_healthy, not_checked
from tokentide.cli.doctor.installation import installation, machine
from tokentide.cli.doctor.kafka_checks import kafka_checks
from tokentide.cli.doctor.settings_checks import settings_checks
from tokentide.cli.exits import ExitCode
from tokentide.cli.registry import Example
from tokentide.cli.terminal import Tone, counted, print_json, printable, say, table, toned
from tokentide.config.catalogue import settings_by_name

if TYPE_CHECKING:
    from tokentide.config import Loaded

DESCRIPTION = """Say what is wrong with this set-up, and how to mend it: installation, settings, Kafka, ClickHouse, machine.

Nothing is changed. Where old records wait, it looks for some seconds whether any of them are stored meanwhile.
Exit code 0: no check failed (there may be warnings, and checks that could not look, which the last line names); 1: one did."""
EXAMPLES = (
    Example("tokentide doctor", "Look at everything."),
    Example("tokentide doctor --settings", "Every setting, its value and where it came from; no secrets."),
    Example("tokentide doctor --json | jq '.findings[] | select(.status != \"ok\")'", "For a program."),
)
_MARKS: Final[dict[Status, tuple[str, Tone]]] = {
    "ok": ("ok  ", "green"),
    "warn": ("warn", "yellow"),
    "fail": ("FAIL", "red"),
    "skip": ("-   ", "dim"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--settings", action="store_true", help="list all settings instead of checking")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    add_settings_arguments(parser, ["kafka", "clickhouse"], group_id=True)


def run(args: argparse.Namespace) -> int:
    """Check, and report as it goes; 1 if a check failed."""
    loaded = load_from(args)
    if args.settings:
        _show_settings(loaded, as_json=args.json)
        return ExitCode.OK
    findings: list[Finding] = []
    for area, of_area in groupby(_checks(loaded), key=lambda finding: finding.area):
        if not args.json:
            print(toned(area, "bold"))
        for finding in of_area:
            findings.append(finding)
            if not args.json:
                _print(finding)
    if args.json:
        print_json(
            {
                "healthy": is_healthy(findings),
                "not_checked": not_checked(findings),
                "findings": [vars_of(finding) for finding in findings],
            }
        )
    else:
        _sum_up(findings)
    return ExitCode.OK if is_healthy(findings) else ExitCode.NEGATIVE


def _checks(loaded: Loaded) -> Iterator[Finding]:
    settings = loaded.settings
    yield from installation(loaded.settings.worker.decoder)
    yield from settings_checks(loaded)
    kafka = list(kafka_checks(settings))
    yield from kafka
    clickhouse = list(clickhouse_checks(settings))
    yield from clickhouse
    yield from machine(
        settings,
        has_kafka=_answers(kafka, "brokers"),
        has_clickhouse=_answers(clickhouse, "server"),
    )


def _answers(findings: list[Finding], check: str) -> bool:
    return any(finding.check == check and finding.status != "fail" for finding in findings)


def vars_of(finding: Finding) -> dict[str, str]:
    """A finding for a program."""
    return {
        "area": finding.area,
        "check": finding.check,
        "status": finding.status,
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _print(finding: Finding) -> None:
    mark, tone = _MARKS[finding.status]
    print(f"  {toned(mark, tone)}  {finding.check}: {printable(finding.text)}", flush=True)
    for line in finding.remedy.splitlines() if finding.status != "ok" else ():
        print(f"        {toned('→', tone)} {line}", flush=True)


def _sum_up(findings: list[Finding]) -> None:
    failed = sum(finding.status == "fail" for finding in findings)
    warned = sum(finding.status == "warn" for finding in findings)
    skipped = not_checked(findings)
    left_out = f" Not checked: {', '.join(skipped)}." if skipped else ""
    if failed:
        print(
            toned(f"{failed} of {len(findings)} checks failed; the arrows say what to do.", "red") + left_out
        )
    elif warned:
        print(toned(f"No check failed; {counted(warned, 'warning')}.", "yellow") + left_out)
    elif skipped:
        print(toned("What could be checked is well.", "green") + left_out)
    else:
        print(toned("All is well.", "green"))


def _show_settings(loaded: Loaded, *, as_json: bool) -> None:
    values = _values(loaded)
    if as_json:
        print_json(
            {
                name: {"value": values[name], "from": origin.where, "variable": settings_by_name()[name].env}
                for name, origin in loaded.origins.items()
            }
        )
        return
    rows = [(name, _shown(values[name]), origin.where) for name, origin in loaded.origins.items()]
    print(table(("setting", "value", "from"), rows))
    if sys.stdout.isatty():
        say("As a variable: TOKENTIDE_ and the name in capitals, such as TOKENTIDE_TOPICS_PARTITIONS.")


def _values(loaded: Loaded) -> dict[str, object]:
    """Every setting's value by name; secrets are masked by the settings themselves."""
    tree = loaded.settings.model_dump(mode="json")
    flat: dict[str, object] = {}
    for name in settings_by_name():
        group, _, field = name.rpartition(".")
        flat[name] = tree[group][field] if group else tree[field]
    return flat


def _shown(value: object) -> str:
    match value:
        case None | []:
            return "-"
        case bool():
            return str(value).lower()
        case list():
            return ",".join(map(str, value))
        case _:
            return str(value)
