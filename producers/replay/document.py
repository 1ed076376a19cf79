"""A mapping from a TOML document, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, TypeVar, cast, get_args

from tokentide.producers.replay.expressions import Condition, Expression, constants_of, options_of
from tokentide.producers.replay.mapping import FieldSpec, Format, OptionSpec, Times, TraceMapping
from tokentide.producers.replay.parsing import parse_condition, parse_expression
from tokentide.producers.replay.sections import read_option, read_times
from tokentide.producers.replay.strict import (
    FaultError,
    as_choice,
    as_list,
    as_table,
    as_text,
    check_keys,
    suggestion,
)
from tokentide.producers.replay.toml_lines import KeyPath
from tokentide.producers.replay.values import converter
from tokentide.schemas.columns import Column, call_columns
from tokentide.schemas.limits import MAX_LABEL_KEY, MAX_LABELS

T = TypeVar("T")

_TOP: Final = (
    "name",
    "description",
    "origin",
    "format",
    "delimiter",
    "header",
    "absent",
    "skip",
    "options",
    "time",
    "fields",
)


class DocumentReader:
    """Reads part by part and keeps the faults, so that one run names them all."""

    def __init__(self, document: dict[str, object]) -> None:
        self._document = document
        self.faults: list[FaultError] = []
        self._paths: dict[str, KeyPath] = {}

    def read(self, default_name: str, lines: Mapping[KeyPath, int]) -> TraceMapping | None:
        """The mapping; of no use where `faults` holds something."""
        document = self._document
        self._try(lambda: check_keys(document, _TOP, ()), None)
        format_ = self._try(
            lambda: as_choice(document.get("format", "csv"), ("format",), get_args(Format)), "csv"
        )
        options = self._options()
        times = self._try(self._times, None)
        fields, labels = self._fields()
        self._check_options(options, times, [field.expression for field in fields] + [e for _, e in labels])
        if times is None:
            return None
        return TraceMapping(
            name=self._text("name") or default_name,
            description=self._text("description") or "",
            origin=self._text("origin"),
            format=cast("Format", format_),
            delimiter=self._try(self._delimiter, ","),
            header=self._try(self._header, None),
            absent=frozenset(self._texts("absent")) | {""},
            skip=self._try(self._skip, ()),
            options=options,
            times=times,
            fields=tuple(fields),
            labels=tuple(labels),
            paths=self._paths,
            lines=lines,
        )

    def _try(self, read: Callable[[], T], default: T) -> T:
        try:
            return read()
        except FaultError as fault:
            self.faults.append(fault)
            return default

    def _table(self, path: KeyPath, value: object) -> dict[str, object]:
        try:
            return as_table(value, path, "a table")
        except FaultError as fault:
            self.faults.append(fault)
            return {}

    def _text(self, key: str) -> str | None:
        if key not in self._document:
            return None
        return self._try(lambda: as_text(self._document[key], (key,)), None)

    def _texts(self, key: str) -> list[str]:
        if key not in self._document:
            return []

        def read() -> list[str]:
            items = as_list(self._document[key], (key,), "a list of texts")
            if not all(isinstance(item, str) for item in items):
                raise FaultError((key,), "must be a list of texts")
            return cast("list[str]", items)

        return self._try(read, [])

    def _delimiter(self) -> str:
        delimiter = self._document.get("delimiter", ",")
        if not isinstance(delimiter, str) or len(delimiter) != 1:
            raise FaultError(("delimiter",), "must be one character")
        return delimiter

    def _header(self) -> tuple[str, ...] | None:
        if "header" not in self._document:
            return None
        if self._document.get("format", "csv") != "csv":
            raise FaultError(("header",), "is only for CSV files that have no header line")
        return tuple(self._texts("header"))

    def _skip(self) -> tuple[Condition, ...]:
        if "skip" not in self._document:
            return ()
        items = as_list(self._document["skip"], ("skip",), "a list of conditions")
        return tuple(parse_condition(item, ("skip", i)) for i, item in enumerate(items))

    def _options(self) -> dict[str, OptionSpec]:
        options: dict[str, OptionSpec] = {}
        tables = self._table(("options",), self._document.get("options", {}))
        for name, value in tables.items():
            option = self._try(lambda name=name, value=value: read_option(name, value), None)  # type: ignore[misc] # a lambda's default
            if option is not None:
                options[name] = option
        return options

    def _times(self) -> Times:
        if "time" not in self._document:
            raise FaultError((), "has no [time]: say which column tells when a call finished")
        return read_times(self._document["time"])

    def _fields(self) -> tuple[list[FieldSpec], list[tuple[str, Expression]]]:
        if "fields" not in self._document:
            self.faults.append(FaultError((), "has no [fields]"))
            return [], []
        table = self._table(("fields",), self._document["fields"])
        labels = self._labels(table)
        specs: list[FieldSpec] = []
        for path, value in self._leaves(table):
            spec = self._try(lambda path=path, value=value: self._field(path, value), None)  # type: ignore[misc] # as above
            if spec is not None:
                specs.append(spec)
        return specs, labels

    def _labels(self, table: dict[str, object]) -> list[tuple[str, Expression]]:
        values = self._table(("fields", "labels"), table.get("labels", {}))
        if len(values) > MAX_LABELS:
            self.faults.append(FaultError(("fields", "labels"), f"must be at most {MAX_LABELS}"))
        found: list[tuple[str, Expression]] = []
        for key, value in values.items():
            path = ("fields", "labels", key)
            if not 1 <= len(key) <= MAX_LABEL_KEY:
                self.faults.append(FaultError(path, f"the key must be 1 … {MAX_LABEL_KEY} characters"))
            expression = self._try(lambda value=value, path=path: parse_expression(value, path), None)  # type: ignore[misc] # as above
            if expression is not None:
                found.append((key, expression))
                self._paths[f"labels.{key}"] = path
        return found

    def _leaves(self, table: dict[str, object]) -> list[tuple[tuple[str, ...], object]]:
        """The mapped fields with their paths in the event: groups such as `error` are tables of fields."""
        groups = {column.path[0] for column in _mappable().values() if len(column.path) > 1}
        leaves: list[tuple[tuple[str, ...], object]] = []
        for key, value in table.items():
            if key == "labels":
                continue
            if key in groups and isinstance(value, dict):
                leaves += [((key, inner), item) for inner, item in value.items()]
            else:
                leaves.append(((key,), value))
        return leaves

    def _field(self, path: tuple[str, ...], value: object) -> FieldSpec:
        column = _mappable().get(path)
        here: KeyPath = ("fields", *path)
        if column is None:
            name = ".".join(path)
            if name == "timestamp":
                raise FaultError(here, "is told by [time], not here")
            known = [".".join(known) for known in _mappable()]
            raise FaultError(here, f"the event has no field {name!r}{_near(name, known)}")
        expression = parse_expression(value, here, takes_unit=column.kind == "ms")
        _check_constants(expression, column, here)
        self._paths[column.name] = here
        return FieldSpec(column, expression)

    def _check_options(
        self, options: Mapping[str, OptionSpec], times: Times | None, expressions: list[Expression]
    ) -> None:
        used = {name for expression in expressions for name in options_of(expression)}
        for name in sorted(used - set(options)):
            self.faults.append(
                FaultError(("fields",), f"option {name!r} is used but not declared in [options.{name}]")
            )
        if times is not None and times.start is not None and "start" in options:
            self.faults.append(
                FaultError(("options", "start"), "is there for every mapping with a [time] start")
            )


@cache
def _mappable() -> dict[tuple[str, ...], Column]:
    return {column.path: column for column in call_columns() if column.kind not in {"timestamp", "labels"}}


def _near(name: str, known: list[str]) -> str:
    hint = suggestion(name, known)
    return hint if "mean" in hint else "; see docs/traffic.md for the fields"


def _check_constants(expression: Expression, column: Column, path: KeyPath) -> None:
    convert = converter(column)
    for constant in constants_of(expression):
        try:
            convert(constant)
        except ValueError as error:
            raise FaultError(path, f"a constant of it {error}") from None
