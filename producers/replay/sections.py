"""The sections `[options]` and `[time]` of a mapping file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast, get_args

from tokentide.producers.replay.mapping import OptionSpec, Stagger, Times, TimeUnit
from tokentide.producers.replay.moments import parse_start, parse_zone
from tokentide.producers.replay.parsing import parse_column, parse_expression
from tokentide.producers.replay.strict import (
    FaultError,
    as_choice,
    as_number,
    as_table,
    as_text,
    check_keys,
)
from tokentide.producers.replay.toml_lines import KeyPath

OVERRIDES: Final = ("service", "environment", "region")
"""Fields that the user may set for any trace, whatever its mapping says."""

_TIME: Final = ("column", "path", "first", "unit", "zone", "start", "stagger", "plus")


def read_option(name: str, value: object) -> OptionSpec:
    """One option.

    Raises:
        FaultError: it is none.
    """
    path: KeyPath = ("options", name)
    table = as_table(value, path, 'a table such as { help = "…" }')
    check_keys(table, ("help", "default"), path)
    if name in OVERRIDES:
        raise FaultError(path, "can be given for every trace; leave it out")
    default = table.get("default")
    return OptionSpec(
        name,
        as_text(table.get("help"), (*path, "help")),
        None if default is None else as_text(default, (*path, "default")),
    )


def read_times(value: object) -> Times:
    """How the event time is found.

    Raises:
        FaultError: it is not told.
    """
    path: KeyPath = ("time",)
    table = as_table(value, path, "a table")
    check_keys(table, _TIME, path)
    source = {key: table[key] for key in ("column", "path", "first") if key in table}
    unit = as_choice(table.get("unit", "text"), ("time", "unit"), get_args(TimeUnit))
    zone = _zone(table)
    return Times(
        value=parse_expression(source, path),
        unit=cast("TimeUnit", unit),
        zone=zone,
        start=_start(table, unit, zone),
        stagger=_stagger(table),
        plus_ms=parse_expression(table["plus"], ("time", "plus"), takes_unit=True)
        if "plus" in table
        else None,
    )


def _zone(table: Mapping[str, object]) -> str | None:
    if "zone" not in table:
        return None
    zone = as_text(table["zone"], ("time", "zone"))
    try:
        parse_zone(zone)
    except ValueError as error:
        raise FaultError(("time", "zone"), str(error)) from None
    return zone


def _start(table: Mapping[str, object], unit: str, zone: str | None) -> str | None:
    if "start" not in table:
        return None
    if unit == "text":
        raise FaultError(
            ("time", "start"), 'is for numbers that count from it; set a unit, such as unit = "s"'
        )
    start = as_text(table["start"], ("time", "start"))
    try:
        parse_start(start, zone)
    except ValueError as error:
        raise FaultError(("time", "start"), str(error)) from None
    return start


def _stagger(table: Mapping[str, object]) -> Stagger | None:
    if "stagger" not in table:
        return None
    path: KeyPath = ("time", "stagger")
    value = as_table(table["stagger"], path, "a table such as { column = …, step_s = 60 }")
    check_keys(value, ("column", "path", "step_s"), path)
    key = "path" if "path" in value else "column"
    step_s = as_number(value.get("step_s"), (*path, "step_s"))
    if step_s < 0:
        raise FaultError((*path, "step_s"), "must be 0 or more")
    return Stagger(parse_column(value.get(key), (*path, key)), step_s)
