"""The built-in functions of mappings: what columns and tables cannot say, above all what earlier rows tell.

A function is made once per file and then called with each row in the order of the file; those that
remember do so without limit, because forgetting would change the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tokentide.producers.replay.values import BadValueError, as_number, kind_of

Row = list[str] | dict[str, object]
Getter = Callable[[Row], object]
"""A value of a row; None where it is absent. Raises `BadValueError` with the reason where it makes no sense."""


@dataclass(frozen=True, slots=True)
class Function:
    """A built-in function: its arguments and how to make it."""

    name: str
    columns: tuple[str, ...]
    """Arguments that name a column."""
    make: Callable[[Mapping[str, Getter], Mapping[str, int]], Getter]
    help: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Arguments that are whole numbers, with their defaults."""


def _leading_known_tokens(columns: Mapping[str, Getter], numbers: Mapping[str, int]) -> Getter:
    ids_of, at_most_of = columns["ids"], columns["at_most"]
    block_tokens = numbers["block_tokens"]
    known: set[object] = set()

    def leading_known_tokens(row: Row) -> object:
        ids = as_list(ids_of(row))
        if ids is None:
            return None
        leading = 0
        for identity in ids:
            if identity not in known:
                break
            leading += 1
        known.update(ids)
        most = at_most_of(row)
        tokens = block_tokens * leading
        return tokens if most is None else min(tokens, as_number(most))

    return leading_known_tokens


def _any_seen_before(columns: Mapping[str, Getter], _numbers: Mapping[str, int]) -> Getter:
    values_of = columns["values"]
    seen: set[object] = set()

    def any_seen_before(row: Row) -> object:
        values = as_list(values_of(row))
        if not values:
            return None
        hit = not seen.isdisjoint(values)
        seen.update(values)
        return hit

    return any_seen_before


def _count_of(columns: Mapping[str, Getter], _numbers: Mapping[str, int]) -> Getter:
    values_of = columns["values"]

    def count_of(row: Row) -> object:
        values = as_list(values_of(row))
        return None if values is None else len(values)

    return count_of


def _ordinal_in(columns: Mapping[str, Getter], _numbers: Mapping[str, int]) -> Getter:
    group_of = columns["group"]
    counts: dict[object, int] = {}

    def ordinal_in(row: Row) -> object:
        group = group_of(row)
        if group is None:
            return None
        if not isinstance(group, str | int | float):
            raise BadValueError(f"is {kind_of(group)}; must be a text or a number")
        counts[group] = ordinal = counts.get(group, 0) + 1
        return ordinal

    return ordinal_in


def as_list(value: object) -> list[object] | None:
    """A list of plain values.

    Raises:
        BadValueError: it is something else.
    """
    if value is None:
        return None
    if not isinstance(value, list):
        raise BadValueError(f"is {kind_of(value)}; must be a list")
    if not all(isinstance(item, str | int | float) for item in value):
        raise BadValueError("must be a list of texts or numbers")
    return value


FUNCTIONS: Final = {
    function.name: function
    for function in (
        Function(
            "leading_known_tokens",
            ("ids", "at_most"),
            _leading_known_tokens,
            "`block_tokens` × the leading entries of `ids` that an earlier row had, at most `at_most`: the "
            "hits of a prefix cache that never forgets.",
            {"block_tokens": 512},
        ),
        Function(
            "any_seen_before",
            ("values",),
            _any_seen_before,
            "True if an earlier row had one of these values; absent if there are none.",
        ),
        Function("count_of", ("values",), _count_of, "How many values there are."),
        Function(
            "ordinal_in",
            ("group",),
            _ordinal_in,
            "1 for the first row of a group, 2 for the second: the turn of a conversation.",
        ),
    )
}
