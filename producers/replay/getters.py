"""Expressions as functions from a row to a value: the language of mappings, executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tokentide.producers.replay.expressions import (
    Adjusted,
    Call,
    Column,
    Condition,
    Constant,
    Expression,
    First,
    Option,
    Scalar,
    Test,
    When,
)
from tokentide.producers.replay.functions import FUNCTIONS, Getter, Row
from tokentide.producers.replay.values import BadValueError, as_number, tidy
from tokentide.schemas.problems import kind_of

Find = Callable[[Column], Getter]
"""What gets a column of the file at hand; raises where the file cannot have it."""


def compile_expression(expression: Expression, find: Find, options: Mapping[str, str | None]) -> Getter:
    """The function of an expression; its own memory, if it has one, begins empty."""
    match expression:
        case Column():
            return find(expression)
        case Constant(value):
            return lambda _row: value
        case Option(name):
            given = options[name]
            return lambda _row: given
        case First(choices):
            return _first_of([compile_expression(choice, find, options) for choice in choices])
        case When(cases, otherwise):
            pairs = [
                (compile_condition(case.condition, find), compile_expression(case.then, find, options))
                for case in cases
            ]
            return _when(pairs, None if otherwise is None else compile_expression(otherwise, find, options))
        case Call(function, columns, numbers):
            return FUNCTIONS[function].make({key: find(column) for key, column in columns.items()}, numbers)
        case Adjusted(of, lookup, unlisted, scale, add):
            get = compile_expression(of, find, options)
            if lookup is not None:
                get = _looked_up(get, lookup, unlisted)
            return get if (scale, add) == (1, 0) else _scaled(get, scale, add)


def compile_condition(condition: Condition, find: Find) -> Callable[[Row], bool]:
    """Whether all tests hold for a row."""
    get = find(condition.column)
    tests = [_test(test) for test in condition.tests]

    def holds(row: Row) -> bool:
        value = get(row)
        return all(test(value) for test in tests)

    return holds


def _first_of(getters: list[Getter]) -> Getter:
    def first(row: Row) -> object:
        for get in getters:
            value = get(row)
            if value is not None:
                return value
        return None

    return first


def _when(cases: list[tuple[Callable[[Row], bool], Getter]], otherwise: Getter | None) -> Getter:
    def when(row: Row) -> object:
        for holds, get in cases:
            if holds(row):
                return get(row)
        return None if otherwise is None else otherwise(row)

    return when


def _looked_up(get: Getter, lookup: Mapping[str, Scalar], unlisted: str) -> Getter:
    def look_up(row: Row) -> object:
        value = get(row)
        if value is None:
            return None
        key = (
            value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        )
        found = lookup.get(key)
        if found is not None or unlisted == "absent":
            return found
        if unlisted == "keep":
            return value
        raise BadValueError(
            f"is {kind_of(value)} that the lookup does not list ({', '.join(lookup)}); add it, or set `unlisted`"
        )

    return look_up


def _scaled(get: Getter, scale: float, add: float) -> Getter:
    def scaled(row: Row) -> object:
        value = get(row)
        return None if value is None else tidy(as_number(value) * scale + add)

    return scaled


def _test(test: Test) -> Callable[[object], bool]:
    operand = test.operand
    match test.kind:
        case "missing":
            return lambda value: (value is None) is operand
        case "is":
            return lambda value: _equals(value, operand)
        case "is_not":
            return lambda value: value is not None and not _equals(value, operand)
        case "in":
            choices = operand if isinstance(operand, tuple) else (operand,)
            return lambda value: any(_equals(value, choice) for choice in choices)
        case "above":
            return lambda value: value is not None and as_number(value) > as_number(operand)
        case "below":
            return lambda value: value is not None and as_number(value) < as_number(operand)


def _equals(value: object, operand: object) -> bool:
    """Numbers by their value, also as text of a CSV cell; true and false also as text."""
    if value is None:
        return False
    if isinstance(operand, bool):
        return value is operand or str(value).lower() == str(operand).lower()
    if isinstance(operand, int | float):
        try:
            return as_number(value) == operand
        except BadValueError:
            return False
    return value == operand or (
        isinstance(value, int) and not isinstance(value, bool) and str(value) == operand
    )
