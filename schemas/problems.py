"""From pydantic's errors to the reason and the text of a dead letter.

The text names the field, the kind of the value and the remedy; it never repeats a value that is text,
because that may be a prompt or a secret. Numbers are named: they are what has to be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tokentide.schemas.rejects import RejectReason

MOST_NAMED: Final = 3
"""Problems named in one text; the rest is counted."""


class Problem(NamedTuple):
    """Why one event is refused."""

    reason: RejectReason
    error: str
    field: str | None = None


def problem_of(error: ValidationError) -> Problem:
    """Return the reason of the first problem, with a text that names up to three of them."""
    details = error.errors(include_url=False, include_context=True, include_input=True)
    texts = [_text(detail) for detail in details[:MOST_NAMED]]
    if len(details) > MOST_NAMED:
        texts.append(f"and {len(details) - MOST_NAMED} more")
    return Problem(_reason(details[0]), "; ".join(texts), _path(details[0]) or None)


_REASONS: Final[Mapping[str, RejectReason]] = {
    "missing": RejectReason.MISSING_FIELD,
    "inconsistent": RejectReason.INCONSISTENT,
    "not_finite": RejectReason.INCONSISTENT,
    "greater_than_equal": RejectReason.INCONSISTENT,
}


def _reason(detail: ErrorDetails) -> RejectReason:
    kind = detail["type"]
    if kind in _REASONS:
        return _REASONS[kind]
    if detail["loc"] == ("schema_version",):
        return RejectReason.UNSUPPORTED_VERSION
    if kind.endswith("_type"):
        return RejectReason.WRONG_TYPE
    return RejectReason.INVALID_VALUE


def _path(detail: ErrorDetails) -> str:
    """The contract's own names and positions in lists; not the keys of labels, which are the sender's text."""
    names = [str(part) for part in detail["loc"]]
    return ".".join(names[:1] if names[:1] == ["labels"] else names)


def _text(detail: ErrorDetails) -> str:
    path = _path(detail)
    if detail["type"] == "inconsistent":
        return detail["msg"]
    if detail["type"] == "missing":
        return f"{path}: is required and missing; add it"
    return f"{path}: {_inside(detail)}is {kind_of(detail['input'])}; {_remedy(detail)}"


def _inside(detail: ErrorDetails) -> str:
    if detail["loc"][0] != "labels" or len(detail["loc"]) == 1:
        return ""
    return "one key " if detail["loc"][-1] == "[key]" else "one value "


def _remedy(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "greater_than_equal":
            return f"must be at least {context['ge']}; leave it out if unknown"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "string_too_long" | "too_long":
            return f"must not be longer than {context['max_length']}"
        case "string_too_short":
            return "must not be empty"
        case "literal_error":
            return f"must be one of {context['expected']}"
        case "string_type":
            return "must be text"
        case "int_type":
            return "must be a whole number; leave it out if unknown"
        case "float_type":
            return "must be a number; leave it out if unknown"
        case "bool_type":
            return "must be true or false; leave it out if unknown"
        case "list_type":
            return "must be a list"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "must be an object"
        case _:
            return detail["msg"]


def kind_of(value: object) -> str:
    """Name the JSON kind of a value: numbers and constants as they are, text only by its length."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            number = repr(value)
            return f"the number {number}" if len(number) <= 40 else "a number of many digits"
        case str():
            return f"text of {len(value)} character{'s' * (len(value) != 1)}"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"an object of {len(value)} field{'s' * (len(value) != 1)}"
        case _:
            return f"a {type(value).__name__}"
