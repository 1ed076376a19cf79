"""Values of a trace as values of the event contract: strict, and never guessed.

Text from CSV is read as what the field needs. Whatever does not fit raises `BadValueError` with the
reason; the reason names the kind of the value, not its text.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final

from tokentide.schemas.columns import Column
from tokentide.schemas.limits import MAX_COST_USD, MAX_LIST
from tokentide.schemas.problems import kind_of

Converter = Callable[[object], object]

_FLAGS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

__all__ = ["BadValueError", "Converter", "as_number", "converter", "kind_of", "tidy"]


class BadValueError(ValueError):
    """A value that the field cannot take."""


def as_number(value: object) -> int | float:
    """A finite number, also from text.

    Raises:
        BadValueError: it is none.
    """
    if type(value) is int:  # not bool
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    elif type(value) is not float:
        raise BadValueError(f"is {kind_of(value)}; must be a number")
    try:
        number = float(value)
    except ValueError:
        raise BadValueError(f"is {kind_of(value)}; must be a number") from None
    if not math.isfinite(number):
        raise BadValueError("is not a finite number")
    return number


def tidy(number: float) -> int | float:
    """Without the noise of binary fractions that scaling brings: nine decimals are kept."""
    return number if isinstance(number, int) else round(number, 9)


def converter(column: Column) -> Converter:
    """What turns a value into one of that column, by its kind and limits in the contract."""
    match column.kind:
        case "count":
            return _count(column)
        case "ms" | "fraction" | "number":
            return _real(column)
        case "text" | "id":
            return _text(column)
        case "flag":
            return _flag
        case "money":
            return _money
        case "texts":
            return _texts(int(column.limit or 0))
        case "content":
            return _content
        case "timestamp" | "labels":
            raise AssertionError(f"{column.name} is not mapped as a field")


def _count(column: Column) -> Converter:
    least, most = column.minimum, int(column.limit or 0)

    def count(value: object) -> object:
        try:
            number = int(value) if type(value) is str else as_number(value)
        except ValueError:
            number = as_number(value)
        if isinstance(number, float):
            if not number.is_integer():
                raise BadValueError(f"is the number {number!r}; must be a whole number")
            number = int(number)
        if not least <= number <= most:
            raise BadValueError(f"is {kind_of(number)}; must be {least} … {most}")
        return number

    return count


def _real(column: Column) -> Converter:
    least = 0.0 if column.kind != "number" else -1e300
    most = column.limit if column.limit is not None else 1e300

    def real(value: object) -> object:
        number = as_number(value)
        if not least <= number <= most:
            raise BadValueError(f"is the number {number!r}; must be {least:g} … {most:g}")
        return number

    return real


def _text(column: Column) -> Converter:
    longest = int(column.limit) if column.limit is not None else sys.maxsize
    shortest, choices = column.minimum, column.choices

    def text(value: object) -> object:
        if not isinstance(value, str):
            if isinstance(value, bool) or not isinstance(value, int):
                raise BadValueError(f"is {kind_of(value)}; must be text")
            value = str(value)
        if choices is not None:
            if value not in choices:
                raise BadValueError(f"is {kind_of(value)}; must be one of {', '.join(choices)}")
        elif not shortest <= len(value) <= longest:
            raise BadValueError(f"is {kind_of(value)}; must be {shortest} … {longest} characters")
        return _whole(value)

    return text


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    found = _FLAGS.get(str(value).lower()) if isinstance(value, str | int) else None
    if found is None:
        raise BadValueError(f"is {kind_of(value)}; must be true or false (also yes/no, 1/0)")
    return found


def _money(value: object) -> object:
    """Exact: text stays text, as the contract allows."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadValueError(f"is {kind_of(value)}; must be an amount of USD")
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        raise BadValueError(f"is {kind_of(value)}; must be an amount of USD") from None
    if not amount.is_finite() or not 0 <= amount <= MAX_COST_USD:
        raise BadValueError(f"must be 0 … {MAX_COST_USD} USD")
    return f"{abs(amount):f}"


def _texts(longest: int) -> Converter:
    def texts(value: object) -> object:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise BadValueError(f"is {kind_of(value)}; must be a list of texts")
        if len(items) > MAX_LIST or any(len(item) > longest for item in items):
            raise BadValueError(f"must be at most {MAX_LIST} texts of {longest} characters")
        return [_whole(item) for item in items] or None

    return texts


def _whole(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadValueError("holds half a character (a lone surrogate)") from None
    return text


def _content(value: object) -> object:
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise BadValueError(f"is {kind_of(value)}; must be text or a list of messages")
