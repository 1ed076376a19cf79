"""Rows of a trace file: CSV, JSON lines, OpenTelemetry spans; plain or gzip.

A row comes with the bytes that its id is made of and with its line, for messages. Columns are found once
per file, so that a misspelt one is an error before anything is sent.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from operator import itemgetter
from typing import Final, NamedTuple, Protocol, cast

from tokentide.producers.compact_json import encode_json
from tokentide.producers.json_input import read_json
from tokentide.producers.lines import Input
from tokentide.producers.replay.expressions import Column
from tokentide.producers.replay.functions import Getter, Row
from tokentide.producers.replay.mapping import TraceMapping
from tokentide.producers.replay.otel import is_model_call, spans_of
from tokentide.producers.replay.strict import suggestion
from tokentide.producers.replay.values import BadValueError
from tokentide.producers.traffic_errors import InputError, MappingError, MappingProblem

TRACE_LINE_BYTES: Final = 64 * 1024 * 1024
"""A trace's line may be far longer than an event: a file of spans is often one line."""


class RawRow(NamedTuple):
    """One row, or why it is none."""

    line: int
    content: bytes
    """What its id is made of."""
    row: Row | None
    problem: str | None = None


class RowReader(Protocol):
    """A format of trace files."""

    ignored: int
    """Records that are no rows: spans that are no model calls."""

    def find(self, column: Column) -> Getter:
        """What gets a column of a row.

        Raises:
            LookupError: the file has no such column; the message says which there are.
        """

    def __iter__(self) -> Iterator[RawRow]:
        """The rows in the order of the file; once.

        Raises:
            InputError: the file cannot be read to its end.
        """


def open_reader(source: Input, mapping: TraceMapping) -> RowReader:
    """The reader for the mapping's format.

    Raises:
        InputError: the file cannot be read, or is empty where it must have a header.
    """
    match mapping.format:
        case "csv":
            return CsvReader(source, mapping)
        case "jsonl":
            return JsonReader(source, mapping.absent)
        case "otel-spans":
            return SpanReader(source, mapping.absent)


class CsvReader:
    """CSV with a header line, or with column names from the mapping."""

    def __init__(self, source: Input, mapping: TraceMapping) -> None:
        self.ignored = 0
        self._name = source.name
        self._absent = mapping.absent
        text = io.TextIOWrapper(source.stream, encoding="utf-8-sig", newline="")
        self._rows = csv.reader(text, delimiter=mapping.delimiter, strict=True)
        header = mapping.header if mapping.header is not None else self._next()
        if header is None:
            raise InputError(f"{source.name} is empty; a CSV file begins with a line of column names")
        self._header = list(header)

    def find(self, column: Column) -> Getter:
        """By name; a path of several names is for nested formats."""
        name = str(column)
        if len(column.path) > 1:
            raise LookupError(f"a CSV file has no nested columns such as {name!r}")
        if name not in self._header:
            raise LookupError(f"the file has no column {name!r}{suggestion(name, self._header)}")
        if self._header.count(name) > 1:
            raise LookupError(f"the file has several columns {name!r}")
        cell_of = cast("Getter", itemgetter(self._header.index(name)))
        absent = self._absent

        def cell(row: Row) -> object:
            value = cell_of(row)
            return None if value in absent else value

        return cell

    def __iter__(self) -> Iterator[RawRow]:
        """Rows that have another number of cells than the header come with a problem."""
        width = len(self._header)
        while (row := self._next()) is not None:
            if not row:
                continue
            content = "\x1f".join(row).encode("utf-8", "surrogatepass")
            problem = None if len(row) == width else f"has {len(row)} cells; the header has {width}"
            yield RawRow(self._rows.line_num, content, row, problem)

    def _next(self) -> list[str] | None:
        try:
            return next(self._rows, None)
        except csv.Error as error:
            raise InputError(f"{self._name}, line {self._rows.line_num}: is no CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{self._name}, after line {self._rows.line_num}: is not UTF-8") from error
        except (EOFError, OSError) as error:
            raise InputError(f"{self._name} cannot be read to its end: {error}") from error


class JsonReader:
    """One JSON object a line, or an array of objects."""

    def __init__(self, source: Input, absent: frozenset[str]) -> None:
        self.ignored = 0
        self._source = source
        self._absent = absent

    def find(self, column: Column) -> Getter:
        """By name or path. Objects need not have the same keys, so that nothing is known beforehand."""
        return json_getter(column, self._absent)

    def __iter__(self) -> Iterator[RawRow]:
        """Items that are no objects come with a problem."""
        for item in read_json(self._source, TRACE_LINE_BYTES):
            if isinstance(item.value, dict):
                yield RawRow(item.number, item.raw, item.value)
            else:
                yield RawRow(item.number, item.raw, None, item.problem or "is no JSON object")


class SpanReader:
    """Spans of model calls from OTLP JSON, the SDK's span JSON, or one flat object a span."""

    def __init__(self, source: Input, absent: frozenset[str]) -> None:
        self.ignored = 0
        self._source = source
        self._absent = absent

    def find(self, column: Column) -> Getter:
        """By name: attributes have their own names, what a span itself has begins with `span.`."""
        return json_getter(column, self._absent)

    def __iter__(self) -> Iterator[RawRow]:
        """Spans of tools, agents and everything else are counted in `ignored`."""
        for item in read_json(self._source, TRACE_LINE_BYTES):
            if not isinstance(item.value, dict):
                yield RawRow(item.number, item.raw, None, item.problem or "is no JSON object")
                continue
            try:
                spans = list(spans_of(item.value))
            except BadValueError as error:
                yield RawRow(item.number, item.raw, None, str(error))
                continue
            for span in spans:
                if not is_model_call(span):
                    self.ignored += 1
                    continue
                yield RawRow(item.number, item.raw if len(spans) == 1 else encode_json(span), span)


def json_getter(column: Column, absent: frozenset[str]) -> Getter:
    """What gets a value by name, or by the path through nested objects; `null` is absent."""
    if len(column.path) == 1:
        name = column.path[0]

        def member(row: Row) -> object:
            value = cast("dict[str, object]", row).get(name)
            return None if value.__class__ is str and value in absent else value

        return member

    def nested(row: Row) -> object:
        value: object = row
        for name in column.path:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return None if value.__class__ is str and value in absent else value

    return nested


def missing_column(mapping: TraceMapping, field: str, error: LookupError) -> MappingError:
    """The error for a column that the file does not have, at the line of the mapping that names it."""
    path = mapping.paths.get(field, (field,))
    line = next((mapping.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in mapping.lines), None)
    return MappingError(mapping.file or mapping.name, [MappingProblem(line, field, str(error.args[0]))])
