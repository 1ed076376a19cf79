"""A mapping for one file, as a function from row to event. Pure but for what the built-in functions remember.

What it makes is valid: each value is checked against the contract's kind and limits, and numbers that
contain each other against each other. A row that does not fit is a `BadRow`, not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from tokentide.producers.replay.expressions import Column, Constant, Expression
from tokentide.producers.replay.functions import Getter, Row
from tokentide.producers.replay.getters import compile_condition, compile_expression
from tokentide.producers.replay.mapping import FieldSpec, TraceMapping
from tokentide.producers.replay.moments import moment_reader, parse_start
from tokentide.producers.replay.readers import RawRow, RowReader, missing_column
from tokentide.producers.replay.values import BadValueError, as_number, converter
from tokentide.producers.rfc3339 import rfc3339
from tokentide.producers.row_ids import RowIds, derived_id
from tokentide.schemas.call import CONTAINMENT
from tokentide.schemas.columns import column as contract_column
from tokentide.schemas.limits import EARLIEST_TIMESTAMP_US

LATEST_TIMESTAMP_US: Final = 253_402_300_800_000_000
"""The year 10000, which RFC 3339 cannot write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSettings:
    """What the user has said about this replay of a mapping."""

    values: Mapping[str, str] = field(default_factory=dict)
    """Options of the mapping, by name."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Fields set for every row: `service`, `environment`, `region`."""
    start: str | None = None
    """Instead of the mapping's own."""
    shift_us: int = 0
    """Added to every event time."""

    def seed(self, mapping: TraceMapping) -> str:
        """What the ids of rows depend on beside the rows: the same trace as other traffic is other events."""
        parts = [mapping.name, self.start or "", str(self.shift_us)]
        parts += [f"{key}={value}" for key, value in sorted({**self.values, **self.overrides}.items())]
        return "\x1f".join(parts)


class MappedRow(NamedTuple):
    """A row as an event."""

    line: int
    timestamp_us: int
    event: dict[str, object]


class BadRow(NamedTuple):
    """A row that makes no event, and why; the text does not repeat what is in it."""

    line: int
    field: str
    """The field whose value cannot be had; "" where it is not about one."""
    reason: str

    def __str__(self) -> str:
        """For a list: `line 17: input_tokens: is …`."""
        return (
            f"line {self.line}: {self.field}: {self.reason}"
            if self.field
            else f"line {self.line}: {self.reason}"
        )


class RowMapper:
    """The compiled mapping; give it every row of one file, in order.

    Raises:
        MappingError: the file has no such column.
        OptionError: (from `moments`) the start cannot be used.
    """

    def __init__(self, mapping: TraceMapping, reader: RowReader, settings: RowSettings) -> None:
        self._mapping = mapping
        self._settings = settings
        self._reader = reader
        self._ids = RowIds(settings.seed(mapping))
        self._options = {
            name: settings.values.get(name, spec.default) for name, spec in mapping.options.items()
        }
        self._skips = [
            compile_condition(condition, partial(self._find, name="skip")) for condition in mapping.skip
        ]
        self._moment = self._moment_getter()
        self._base: dict[str, object] = {}
        self._own_id: Getter | None = None
        self._flat: list[tuple[str, Getter]] = []
        self._groups: dict[str, list[tuple[str, Getter]]] = {}
        for spec in self._specs():
            self._add_field(spec)
        for key, expression in mapping.labels:
            getter = self._converted(expression, f"labels.{key}", converter(contract_column("feature")))
            self._groups.setdefault("labels", []).append((key, getter))
        self._containment = self._containment_rules()

    def map(self, raw: RawRow) -> MappedRow | BadRow | None:
        """The event of the next row; None for rows that the mapping skips."""
        position_id = self._ids.of(raw.content)
        if raw.problem is not None or raw.row is None:
            return BadRow(raw.line, "", raw.problem or "is no row")
        name = "skip"
        try:
            if any(holds(raw.row) for holds in self._skips):
                return None
            name = "time"
            timestamp_us = self._moment(raw.row)
            event: dict[str, object] = {"event_id": position_id, "timestamp": rfc3339(timestamp_us)}
            event.update(self._base)
            if self._own_id is not None:
                name = "event_id"
                event["event_id"] = self._shifted_id(self._own_id(raw.row)) or position_id
            for name, read in self._flat:
                value = read(raw.row)
                if value is not None:
                    event[name] = value
            for group, members in self._groups.items():
                parts = {}
                for name, read in members:
                    value = read(raw.row)
                    if value is not None:
                        parts[name] = value
                if parts:
                    event[group] = parts
            name = ""
            self._check(event)
        except BadValueError as error:
            return BadRow(raw.line, name, str(error))
        return MappedRow(raw.line, timestamp_us, event)

    def _specs(self) -> list[FieldSpec]:
        overrides = {
            name: FieldSpec(contract_column(name), Constant(value))
            for name, value in self._settings.overrides.items()
        }
        kept = [spec for spec in self._mapping.fields if spec.column.name not in overrides]
        return [*overrides.values(), *kept]

    def _add_field(self, spec: FieldSpec) -> None:
        column = spec.column
        if isinstance(spec.expression, Constant) and len(column.path) == 1 and column.name != "event_id":
            self._base[column.name] = converter(column)(spec.expression.value)
            return
        getter = self._converted(spec.expression, column.name, converter(column))
        if column.name == "event_id":
            self._own_id = getter
        elif len(column.path) == 1:
            required = _required(getter) if column.required else getter
            self._flat.append((column.name, required))
        else:
            self._groups.setdefault(column.path[0], []).append((column.path[1], getter))

    def _converted(self, expression: Expression, name: str, convert: Callable[[object], object]) -> Getter:
        get = self._getter(expression, name)

        def read(row: Row) -> object:
            value = get(row)
            return None if value is None else convert(value)

        return read

    def _getter(self, expression: Expression, name: str) -> Getter:
        return compile_expression(expression, partial(self._find, name=name), self._options)

    def _find(self, column: Column, name: str) -> Getter:
        try:
            return self._reader.find(column)
        except LookupError as error:
            raise missing_column(self._mapping, name, error) from None

    def _moment_getter(self) -> Callable[[Row], int]:
        times = self._mapping.times
        start = self._settings.start if self._settings.start is not None else times.start
        base_us = self._settings.shift_us + (parse_start(start, times.zone) if start is not None else 0)
        get, to_us = self._getter(times.value, "time"), moment_reader(times.unit, times.zone, base_us)
        shift_us = self._settings.shift_us if times.unit == "text" else 0
        plus = None if times.plus_ms is None else self._getter(times.plus_ms, "time")
        late = self._staggering()

        def moment(row: Row) -> int:
            value = get(row)
            if value is None:
                raise BadValueError("is absent; every event needs a time")
            timestamp_us = to_us(value) + shift_us
            if plus is not None and (plus_ms := plus(row)) is not None:
                timestamp_us += round(as_number(plus_ms) * 1000)
            if late is not None:
                timestamp_us += late(row)
            if not EARLIEST_TIMESTAMP_US <= timestamp_us < LATEST_TIMESTAMP_US:
                raise BadValueError("is before 2000 or after 9999; check unit and start in [time]")
            return timestamp_us

        return moment

    def _staggering(self) -> Callable[[Row], int] | None:
        stagger = self._mapping.times.stagger
        if stagger is None:
            return None
        get = self._find(stagger.column, "time")
        step_us = round(stagger.step_s * 1_000_000)
        groups: dict[object, int] = {}

        def late(row: Row) -> int:
            group = get(row)
            return groups.setdefault(group if isinstance(group, str | int) else None, len(groups)) * step_us

        return late

    def _shifted_id(self, own_id: object) -> str | None:
        if own_id is None or not self._settings.shift_us:
            return None if own_id is None else str(own_id)
        return derived_id(self._settings.seed(self._mapping), str(own_id))

    def _containment_rules(self) -> list[tuple[tuple[str, ...], str, bool]]:
        known = {name for name, _ in self._flat} | set(self._base)
        return [
            (tuple(part for part in rule.parts if part in known), rule.whole, rule.inclusive_only)
            for rule in CONTAINMENT
            if rule.whole in known and known & set(rule.parts)
        ]

    def _check(self, event: Mapping[str, object]) -> None:
        for parts, whole, inclusive_only in self._containment:
            limit = event.get(whole)
            if limit is None or (inclusive_only and event.get("cache_reporting") == "exclusive"):
                continue
            total = sum(value for part in parts if isinstance(value := event.get(part), int))
            if isinstance(limit, int) and total > limit:
                raise BadValueError(
                    f"{' + '.join(parts)} ({total}) is more than {whole} ({limit}), which contains it"
                )


def _required(get: Getter) -> Getter:
    def read(row: Row) -> object:
        value = get(row)
        if value is None:
            raise BadValueError("is absent, and every event needs it")
        return value

    return read
