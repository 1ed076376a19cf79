"""Expressions from TOML values, strictly: every key is known, every combination makes sense.

A text is a column. A list of texts in `path` leads into nested objects. A table has exactly one source
(`column`, `path`, `first`, `constant`, `option`, `when`, `function`) and may adjust what it finds
(`unit`, `scale`, `add`, `lookup` with `unlisted`). In `then` and `otherwise`, a plain value is a constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast, get_args

from tokentide.producers.replay.expressions import (
    Adjusted,
    Call,
    Case,
    Column,
    Condition,
    Constant,
    Expression,
    First,
    Option,
    Scalar,
    Test,
    TestKind,
    Unlisted,
    When,
)
from tokentide.producers.replay.functions import FUNCTIONS, Function
from tokentide.producers.replay.strict import (
    FaultError,
    as_choice,
    as_list,
    as_number,
    as_table,
    as_text,
    check_keys,
    suggestion,
)
from tokentide.producers.replay.toml_lines import KeyPath

DURATION_UNIT_MS: Final[Mapping[str, int | float]] = {
    "us": 0.001,
    "ms": 1,
    "s": 1000,
    "min": 60_000,
    "h": 3_600_000,
}
_SOURCES: Final = ("column", "path", "first", "constant", "option", "when", "function")
_ADJUSTMENTS: Final = ("unit", "scale", "add", "lookup", "unlisted")
_TESTS: Final = get_args(TestKind)


def parse_expression(value: object, path: KeyPath, *, takes_unit: bool = False) -> Expression:
    """The expression that a TOML value stands for.

    `takes_unit`: the value is a duration that becomes milliseconds.

    Raises:
        FaultError: it stands for none.
    """
    if isinstance(value, str):
        return Column((value,))
    table = as_table(value, path, "the name of a column, or a table such as { column = … }")
    sources = [key for key in _SOURCES if key in table]
    if not sources:
        check_keys(table, (*_SOURCES, *_ADJUSTMENTS), path)
        raise FaultError(path, f"needs a source: one of {', '.join(_SOURCES)}")
    if len(sources) > 1:
        raise FaultError((*path, sources[1]), f"has two sources, {sources[0]!r} and {sources[1]!r}; keep one")
    source = _source(sources[0], table, path, takes_unit=takes_unit)
    return _adjusted(source, table, path, takes_unit=takes_unit)


def _source(kind: str, table: Mapping[str, object], path: KeyPath, *, takes_unit: bool) -> Expression:
    here = (*path, kind)
    if kind == "function":
        return _call(table, path)
    allowed: tuple[str, ...] = (kind, *_ADJUSTMENTS)
    if kind == "when":
        allowed = ("when", "otherwise", *_ADJUSTMENTS)
    check_keys(table, allowed, path)
    value = table[kind]
    match kind:
        case "column" | "path":
            return parse_column(value, here)
        case "first":
            items = as_list(value, here, "a list of columns or expressions")
            return First(
                tuple(
                    parse_expression(item, (*here, i), takes_unit=takes_unit) for i, item in enumerate(items)
                )
            )
        case "constant":
            return Constant(_constant(value, here))
        case "option":
            return Option(as_text(value, here))
        case _:
            return _when(table, path, takes_unit=takes_unit)


def parse_column(value: object, path: KeyPath) -> Column:
    """A column by name, or by the list of names that leads to it.

    Raises:
        FaultError: it is neither.
    """
    if isinstance(value, str) and value:
        return Column((value,))
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return Column(tuple(value))
    raise FaultError(path, "must be the name of a column, or the list of names that leads to it")


def _constant(value: object, path: KeyPath) -> Scalar | list[str]:
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise FaultError(path, "must be a text, a number, true or false, or a list of texts")


def _when(table: Mapping[str, object], path: KeyPath, *, takes_unit: bool) -> When:
    here = (*path, "when")
    cases = as_list(table["when"], here, "a list of cases such as { column = …, is = …, then = … }")
    otherwise = table.get("otherwise")
    return When(
        tuple(_case(case, (*here, i), takes_unit=takes_unit) for i, case in enumerate(cases)),
        None
        if otherwise is None
        else _value_or_expression(otherwise, (*path, "otherwise"), takes_unit=takes_unit),
    )


def _case(value: object, path: KeyPath, *, takes_unit: bool) -> Case:
    table = as_table(value, path, "a case such as { column = …, is = …, then = … }")
    if "then" not in table:
        check_keys(table, ("column", "path", "then", *_TESTS), path)
        raise FaultError(path, "has no `then`")
    then = _value_or_expression(table["then"], (*path, "then"), takes_unit=takes_unit)
    rest = {key: item for key, item in table.items() if key != "then"}
    return Case(parse_condition(rest, path), then)


def parse_condition(value: object, path: KeyPath) -> Condition:
    """A column and the tests it must pass.

    Raises:
        FaultError: it is none.
    """
    table = as_table(value, path, "a condition such as { column = …, is = … }")
    check_keys(table, ("column", "path", *_TESTS), path)
    key = "path" if "path" in table else "column"
    if key not in table:
        raise FaultError(path, "names no column")
    column = parse_column(table[key], (*path, key))
    tests = tuple(
        _test(cast("TestKind", kind), table[kind], (*path, kind)) for kind in _TESTS if kind in table
    )
    if not tests:
        raise FaultError(path, f"tests nothing: add one of {', '.join(_TESTS)}")
    return Condition(column, tests)


def _test(kind: TestKind, value: object, path: KeyPath) -> Test:
    if kind == "in":
        items = as_list(value, path, "a list of values")
        if not all(isinstance(item, str | int | float) for item in items):
            raise FaultError(path, "must be a list of texts or numbers")
        return Test(kind, tuple(cast("list[Scalar]", items)))
    if kind == "missing" and not isinstance(value, bool):
        raise FaultError(path, "must be true or false")
    if kind in {"above", "below"}:
        return Test(kind, as_number(value, path))
    if not isinstance(value, str | int | float):
        raise FaultError(path, "must be a text, a number, true or false")
    return Test(kind, value)


def _value_or_expression(value: object, path: KeyPath, *, takes_unit: bool) -> Expression:
    if isinstance(value, dict):
        return parse_expression(value, path, takes_unit=takes_unit)
    return Constant(_constant(value, path))


def _call(table: Mapping[str, object], path: KeyPath) -> Call:
    name = as_text(table["function"], (*path, "function"))
    function = FUNCTIONS.get(name)
    if function is None:
        raise FaultError((*path, "function"), f"no function {name!r}{suggestion(name, FUNCTIONS)}")
    check_keys(table, ("function", *function.columns, *function.numbers), path)
    return Call(name, _column_arguments(function, table, path), _number_arguments(function, table, path))


def _column_arguments(function: Function, table: Mapping[str, object], path: KeyPath) -> dict[str, Column]:
    for key in function.columns:
        if key not in table:
            raise FaultError(path, f"function {function.name!r} needs {key!r}, a column")
    return {key: parse_column(table[key], (*path, key)) for key in function.columns}


def _number_arguments(function: Function, table: Mapping[str, object], path: KeyPath) -> dict[str, int]:
    numbers = {}
    for key, default in function.numbers.items():
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise FaultError((*path, key), "must be a whole number, 1 or more")
        numbers[key] = value
    return numbers


def _adjusted(
    source: Expression, table: Mapping[str, object], path: KeyPath, *, takes_unit: bool
) -> Expression:
    scale: int | float = 1
    if "scale" in table:
        scale = as_number(table["scale"], (*path, "scale"))
    if "unit" in table:
        scale *= _unit_ms(table["unit"], (*path, "unit"), takes_unit=takes_unit)
    add = as_number(table["add"], (*path, "add")) if "add" in table else 0
    lookup = _lookup(table, path)
    if (scale, add, lookup) == (1, 0, None):
        return source
    unlisted = as_choice(table.get("unlisted", "refuse"), (*path, "unlisted"), get_args(Unlisted))
    return Adjusted(source, lookup, cast("Unlisted", unlisted), scale, add)


def _unit_ms(value: object, path: KeyPath, *, takes_unit: bool) -> int | float:
    if not takes_unit:
        raise FaultError(
            path, "is only for durations, fields that end in `_ms`; use `scale` for other numbers"
        )
    return DURATION_UNIT_MS[as_choice(value, path, tuple(DURATION_UNIT_MS))]


def _lookup(table: Mapping[str, object], path: KeyPath) -> Mapping[str, Scalar] | None:
    if "lookup" not in table:
        if "unlisted" in table:
            raise FaultError((*path, "unlisted"), "is only for a `lookup`")
        return None
    here = (*path, "lookup")
    entries = as_table(table["lookup"], here, "a table from values of the trace to values of the field")
    for key, value in entries.items():
        if not isinstance(value, str | int | float):
            raise FaultError((*here, key), "must be a text, a number, true or false")
    return cast("Mapping[str, Scalar]", entries)
