"""Values as one line of compact JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from pydantic_core import PydanticSerializationError, to_json

_ENCODE: Final[Callable[[object], str]] = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encode_json(value: object) -> bytes:
    """One line of JSON, ASCII only: other characters are escaped, also half surrogates.

    Raises:
        ValueError: a number is not finite, or the value contains itself.
        TypeError: a value has no form in JSON.
    """
    return _ENCODE(value).encode("ascii")


def encode_event(event: Mapping[str, object]) -> bytes:
    """One line of JSON in UTF-8, five times as fast, for events whose numbers are known to be finite."""
    try:
        return to_json(event)
    except (PydanticSerializationError, UnicodeEncodeError):  # half surrogates, which UTF-8 cannot carry
        return encode_json(event)
