"""The small language in which a mapping says where the value of a field comes from.

Values only; how they are written in TOML is `parsing`, what they do with a row is `compiling`.

    Column      a column of the row, by name or by its path into nested objects
    First       the first of several that is there
    Constant    the same for every row
    Option      given on the command line
    When        cases: the first whose condition holds
    Call        one of the built-in functions, some of which remember earlier rows
    Adjusted    one of the above, scaled, shifted or looked up in a table
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Scalar = str | int | float | bool
TestKind = Literal["is", "is_not", "in", "above", "below", "missing"]
Unlisted = Literal["refuse", "keep", "absent"]
"""What becomes of a value that a lookup table does not list."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name; a path of several names leads into nested objects."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every row."""

    value: Scalar | list[str]


@dataclass(frozen=True, slots=True)
class Option:
    """Given by the user with the replay, or its default; absent without either."""

    name: str


@dataclass(frozen=True, slots=True)
class First:
    """The first of these that is there."""

    choices: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """One condition on a value."""

    kind: TestKind
    operand: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """All tests hold for the column."""

    column: Column
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A value under a condition."""

    condition: Condition
    then: Expression


@dataclass(frozen=True, slots=True)
class When:
    """The value of the first case that holds; `otherwise` or nothing without one."""

    cases: tuple[Case, ...]
    otherwise: Expression | None


@dataclass(frozen=True, slots=True)
class Call:
    """A built-in function."""

    function: str
    columns: Mapping[str, Column]
    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A value, looked up in a table, then times `scale`, plus `add`."""

    of: Expression
    lookup: Mapping[str, Scalar] | None = None
    unlisted: Unlisted = "refuse"
    scale: int | float = 1
    add: int | float = 0


Expression = Column | Constant | Option | First | When | Call | Adjusted


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and everything in it."""
    yield expression
    for part in _parts(expression):
        yield from walk(part)


def columns_of(expression: Expression) -> Iterator[Column]:
    """Every column read."""
    for part in walk(expression):
        match part:
            case Column():
                yield part
            case Call(_, columns, _):
                yield from columns.values()
            case When(cases, _):
                yield from (case.condition.column for case in cases)
            case _:
                pass


def options_of(expression: Expression) -> set[str]:
    """Every option asked for."""
    return {part.name for part in walk(expression) if isinstance(part, Option)}


def constants_of(expression: Expression) -> Iterator[Scalar | list[str]]:
    """Every constant that may become the value as it stands: what can be checked before any row is read."""
    match expression:
        case Constant(value):
            yield value
        case Adjusted(_, lookup, _, 1, 0) if lookup is not None:
            yield from lookup.values()
        case Adjusted():
            pass
        case _:
            for part in _parts(expression):
                yield from constants_of(part)


def _parts(expression: Expression) -> tuple[Expression, ...]:
    match expression:
        case First(choices):
            return choices
        case When(cases, otherwise):
            values = tuple(case.then for case in cases)
            return values if otherwise is None else (*values, otherwise)
        case Adjusted(of):
            return (of,)
        case _:
            return ()
