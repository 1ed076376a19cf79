"""The value types of the contract: each is a pydantic annotation with a `Kind` that columns derive from.

JSON knows one kind of number and producers are written in many languages, so `10.0` is a whole number
here; text such as `"10"` and booleans are not numbers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictFloat, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from tokentide.schemas import limits
from tokentide.schemas.timestamps import TEXT_PATTERN, parse_timestamp

ColumnKind = Literal[
    "text",  # identifiers and names; "" is absence
    "id",  # text that is nearly unique per event
    "count",  # whole number, 0 or more
    "ms",  # milliseconds, 0 or more
    "fraction",  # 0 … 1
    "number",  # any finite number
    "money",  # USD, exact to 12 decimals
    "flag",
    "timestamp",  # microseconds since 1970 UTC
    "texts",  # list of text
    "labels",  # text → text
    "content",  # a prompt or an answer: text, or messages
]


@dataclass(frozen=True, slots=True)
class Kind:
    """What kind of column a field becomes; `limit` is the longest text or the largest number allowed."""

    column: ColumnKind
    limit: float | None = None


MONEY_STEP: Final = Decimal("1e-12")
"""A picodollar: the unit in which all money is exact."""

_MONEY_TEXT: Final = r"[0-9]{1,40}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?"
"""What decimal types of the common languages print. (Python's own parser would also take `1_0`, ` 1 ` and Arabic digits.)"""
_SIGNED_MONEY: Final = re.compile(f"-?{_MONEY_TEXT}")


def _whole(value: object) -> object:
    if isinstance(value, float):
        _finite(value)
        if value.is_integer():
            return int(value)
    return value


_NOT_FINITE: Final = "must be a finite number; leave it out if unknown"


def _finite(value: object) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise PydanticCustomError("not_finite", _NOT_FINITE)
        return value + 0.0  # zero has no sign: −0.0 becomes 0.0
    return value


def _timestamp(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise PydanticCustomError("timestamp_type", "must be RFC 3339 text or a number since 1970")
    try:
        return parse_timestamp(value)
    except ValueError as error:
        raise PydanticCustomError("timestamp_value", "{reason}", {"reason": str(error)}) from None


def exact_money(value: object) -> Decimal:
    """Return USD in whole picodollars, halves to the even one, from a number as it is written or from its text.

    Raises:
        ValueError: it is no amount that the contract allows; the error is one for pydantic.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise PydanticCustomError("money_type", "must be a number of USD or its decimal text")
    _finite(value)
    if isinstance(value, str) and _SIGNED_MONEY.fullmatch(value) is None:
        raise PydanticCustomError("money_value", "must be a decimal number of USD, such as 0.000125")
    amount = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not amount.is_finite():
        raise PydanticCustomError("not_finite", _NOT_FINITE)
    if amount < 0:
        raise PydanticKnownError("greater_than_equal", {"ge": 0})
    if amount > limits.MAX_COST_USD:
        raise PydanticKnownError("less_than_equal", {"le": limits.MAX_COST_USD})
    return amount.quantize(MONEY_STEP, rounding=ROUND_HALF_EVEN)


def _content(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
        return value
    raise PydanticCustomError("content_type", "must be text or a list of messages (objects)")


def _without_nulls(value: object) -> object:
    """Null is absence, in labels too."""
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if inner is not None}
    return value


def absent_if_empty(value: object) -> object:
    """Empty text is absence, also where a closed set of words is asked for."""
    return None if value == "" else value


def or_empty(schema: dict[str, Any]) -> None:
    """`absent_if_empty` in JSON Schema."""
    schema["anyOf"].append({"const": ""})


Text = Annotated[StrictStr, Field(max_length=limits.MAX_TEXT), Kind("text", limits.MAX_TEXT)]
RequiredText = Annotated[
    StrictStr, Field(min_length=1, max_length=limits.MAX_TEXT), Kind("text", limits.MAX_TEXT)
]
Id = Annotated[StrictStr, Field(max_length=limits.MAX_TEXT), Kind("id", limits.MAX_TEXT)]
RequiredId = Annotated[
    StrictStr, Field(min_length=1, max_length=limits.MAX_TEXT), Kind("id", limits.MAX_TEXT)
]
Flag = Annotated[StrictBool, Kind("flag")]
Count = Annotated[
    int,
    Field(strict=True, ge=0, le=limits.MAX_COUNT),
    BeforeValidator(_whole),
    Kind("count", limits.MAX_COUNT),
]
HttpStatus = Annotated[int, Field(strict=True, ge=100, le=599), BeforeValidator(_whole), Kind("count", 599)]
Bytes = Annotated[
    int,
    Field(strict=True, ge=0, le=limits.MAX_BYTES),
    BeforeValidator(_whole),
    Kind("count", limits.MAX_BYTES),
]
Ordinal = Annotated[
    int,
    Field(strict=True, ge=1, le=limits.MAX_COUNT),
    BeforeValidator(_whole),
    Kind("count", limits.MAX_COUNT),
]
Milliseconds = Annotated[
    StrictFloat,
    Field(ge=0, le=limits.MAX_DURATION_MS),
    BeforeValidator(_finite),
    Kind("ms", limits.MAX_DURATION_MS),
]
Fraction = Annotated[StrictFloat, Field(ge=0, le=1), BeforeValidator(_finite), Kind("fraction", 1)]
Number = Annotated[StrictFloat, BeforeValidator(_finite), Kind("number")]
Money = Annotated[
    Decimal,
    BeforeValidator(exact_money),
    Kind("money", limits.MAX_COST_USD),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": limits.MAX_COST_USD},
                {"type": "string", "pattern": f"^{_MONEY_TEXT}$"},
            ]
        }
    ),
]
Timestamp = Annotated[
    int,
    BeforeValidator(_timestamp),
    Kind("timestamp"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time", "pattern": f"^{TEXT_PATTERN}$"},
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1e14},
            ]
        }
    ),
]
Texts = Annotated[list[Text], Field(max_length=limits.MAX_LIST), Kind("texts", limits.MAX_TEXT)]
LabelKey = Annotated[StrictStr, Field(min_length=1, max_length=limits.MAX_LABEL_KEY)]
Labels = Annotated[
    dict[LabelKey, Text],
    Field(max_length=limits.MAX_LABELS),
    BeforeValidator(_without_nulls),
    Kind("labels", limits.MAX_TEXT),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": ["string", "null"], "maxLength": limits.MAX_TEXT},
            "propertyNames": {"minLength": 1, "maxLength": limits.MAX_LABEL_KEY},
            "maxProperties": limits.MAX_LABELS,
        }
    ),
]
Content = Annotated[str | list[dict[str, Any]], BeforeValidator(_content), Kind("content")]
"""A prompt or an answer: plain text, or messages `{role, content, name?, tool_calls?}`."""
