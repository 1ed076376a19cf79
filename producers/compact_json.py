"""Values as one line of compact JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

_ENCODE: Final[Callable[[object], str]] = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encode_json(value: object) -> bytes:
    """One line of JSON, ASCII only: other characters are escaped, also half surrogates.

    Raises:
        ValueError: a number is not finite, or the value contains itself.
        TypeError: a value has no form in JSON.
    """
    return _ENCODE(value).encode("ascii")
