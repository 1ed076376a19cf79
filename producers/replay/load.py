"""Mappings from TOML: those that come with the product by name, the user's own by path.

Every problem of a file is reported at once, each with its line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast, get_args

from tokentide.producers.replay.expressions import Condition, Expression, constants_of, options_of
from tokentide.producers.replay.mapping import (
    FieldSpec,
    Format,
    OptionSpec,
    Stagger,
    Times,
    TimeUnit,
    TraceMapping,
)
from tokentide.producers.replay.moments import parse_start, parse_zone
from tokentide.producers.replay.parsing import (
    FaultError,
    as_choice,
    as_list,
    as_number,
    as_table,
    as_text,
    check_keys,
    parse_column,
    parse_condition,
    parse_expression,
    suggestion,
)
from tokentide.producers.replay.toml_lines import KeyPath, key_lines, line_of
from tokentide.producers.replay.values import converter
from tokentide.producers.traffic_errors import MappingError, MappingProblem
from tokentide.schemas.columns import Column, call_columns
from tokentide.schemas.limits import MAX_LABEL_KEY, MAX_LABELS

T = TypeVar("T")

OVERRIDES: Final = ("service", "environment", "region")
"""Fields that the user may set for any trace, whatever its mapping says."""

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
_TIME: Final = ("column", "path", "first", "unit", "zone", "start", "stagger", "plus")


class KnownMapping(NamedTuple):
    """A mapping that comes with the product."""

    name: str
    description: str


@cache
def known_mappings() -> tuple[KnownMapping, ...]:
    """The traces that need no mapping file of the user's, by name."""
    folder = files("tokentide.producers") / "mappings"
    names = sorted(
        item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")
    )
    return tuple(KnownMapping(name, load_mapping(name).description) for name in names)


def load_mapping(name_or_path: str) -> TraceMapping:
    """The mapping of that name, else of the file at that path.

    Raises:
        MappingError: there is neither, or the file cannot be used.
    """
    known = files("tokentide.producers") / "mappings" / f"{name_or_path}.toml"
    if "/" not in name_or_path and "\\" not in name_or_path and known.is_file():
        return parse_mapping(known.read_text("utf-8"), name_or_path)
    try:
        text = Path(name_or_path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        names = [mapping.name for mapping in known_mappings()]
        hint = suggestion(name_or_path, names)
        raise _refused(name_or_path, f"is neither a known trace nor a mapping file{hint}") from None
    except OSError as error:
        raise _refused(name_or_path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refused(name_or_path, f"is not UTF-8 at byte {error.start + 1}") from error
    return parse_mapping(text, Path(name_or_path).name)


def parse_mapping(text: str, name: str) -> TraceMapping:
    """A mapping from the text of its file; `name` is for messages and stands where the file gives none.

    Raises:
        MappingError: the text is no TOML, or not a mapping; lists every problem found.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refused(name, f"is not TOML: {error}") from error
    lines = key_lines(text)
    reader = _Reader(document)
    mapping = reader.read(Path(name).name.removesuffix(".toml"), lines)
    if reader.faults or mapping is None:
        raise MappingError(name, [_located(fault, lines) for fault in reader.faults])
    return mapping


def _refused(name: str, text: str) -> MappingError:
    return MappingError(name, [MappingProblem(None, "", text)])


def _located(fault: FaultError, lines: Mapping[KeyPath, int]) -> MappingProblem:
    path = "".join(f"[{key + 1}]" if isinstance(key, int) else f".{key}" for key in fault.path).lstrip(".")
    return MappingProblem(line_of(fault.path, dict(lines)), path, fault.text)


class _Reader:
    """Reads a document part by part and keeps the faults, so that one run names them all."""

    def __init__(self, document: dict[str, object]) -> None:
        self._document = document
        self.faults: list[FaultError] = []
        self._paths: dict[str, KeyPath] = {}

    def read(self, default_name: str, lines: Mapping[KeyPath, int]) -> TraceMapping | None:
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
            option = self._try(lambda name=name, value=value: _option(name, value), None)  # type: ignore[misc] # a lambda's default
            if option is not None:
                options[name] = option
        return options

    def _times(self) -> Times:
        if "time" not in self._document:
            raise FaultError((), "has no [time]: say which column tells when a call finished")
        path: KeyPath = ("time",)
        table = as_table(self._document["time"], path, "a table")
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


def _option(name: str, value: object) -> OptionSpec:
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


def _check_constants(expression: Expression, column: Column, path: KeyPath) -> None:
    convert = converter(column)
    for constant in constants_of(expression):
        try:
            convert(constant)
        except ValueError as error:
            raise FaultError(path, f"a constant of it {error}") from None
