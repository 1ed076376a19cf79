"""What a mapping says: how the rows of a trace become call events. Values only; `load` reads them from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tokentide.producers.replay.expressions import Column, Condition, Expression
from tokentide.schemas import columns as contract

Format = Literal["csv", "jsonl", "otel-spans"]
TimeUnit = Literal["text", "s", "ms", "us", "ns"]
TIME_UNIT_US: Mapping[TimeUnit, float] = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}


@dataclass(frozen=True, slots=True)
class Stagger:
    """Each new value of a column begins later than the one before: sessions without a time of their own."""

    column: Column
    step_s: float


@dataclass(frozen=True, slots=True)
class Times:
    """How a row's event time is found: the moment the call finished."""

    value: Expression
    unit: TimeUnit
    zone: str | None
    """Of text without a zone: `UTC`, an offset such as `+08:00`, or a name such as `Asia/Shanghai`."""
    start: str | None
    """Numbers count from here; without it they count from 1970."""
    stagger: Stagger | None
    plus_ms: Expression | None
    """Added, in milliseconds: the duration, where the trace tells when a call began."""


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """An option that the user may give with the replay."""

    name: str
    help: str
    default: str | None


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of the event."""

    column: contract.Column
    expression: Expression


@dataclass(frozen=True, slots=True)
class TraceMapping:
    """A whole mapping."""

    name: str
    description: str
    origin: str | None
    """Where the trace comes from, and its licence."""
    format: Format
    delimiter: str
    header: tuple[str, ...] | None
    """Column names of a CSV file that has no header line."""
    absent: frozenset[str]
    """Texts that mean that there is no value; the empty text always does."""
    skip: tuple[Condition, ...]
    """Rows for which one of these holds are no calls."""
    options: Mapping[str, OptionSpec]
    times: Times
    fields: tuple[FieldSpec, ...]
    labels: tuple[tuple[str, Expression], ...]
    paths: Mapping[str, tuple[str | int, ...]]
    """Field name → where it stands in the file, for messages."""
    lines: Mapping[tuple[str | int, ...], int]
    file: str = ""
    """What it was read from, as messages name it: a file, or a known trace."""
