"""Event time: what a `timestamp` may look like, and its one value in microseconds since 1970 UTC.

RFC 3339 text with a zone, or a number of seconds or milliseconds since 1970. Text without a zone is
refused: a guess of the zone would move events between windows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

MILLISECONDS_FROM: Final = 100_000_000_000
"""Numbers from here on are milliseconds: as seconds this is the year 5138, as milliseconds March 1973."""

TEXT_PATTERN: Final = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2})(\.[0-9]{1,9})?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
"""RFC 3339 as far as a pattern can tell, in the dialect that JSON Schema and Python share. Its remark that a space may
stand for the `T` is taken up; leap seconds and more than nine digits of a second are not read."""
_RFC3339 = re.compile(TEXT_PATTERN)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_timestamp(value: str | int | float) -> int:  # noqa: PYI041 - a JSON number is either
    """Return microseconds since 1970-01-01 UTC; digits below a microsecond are cut.

    Raises:
        ValueError: the text has no zone or is no RFC 3339 date-time, or the number is not finite or
            cannot be a date. The message says which, and what is accepted; it does not repeat the text.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if not 0 <= value < 1e14:  # nor is not-a-number; integers may have any length
        raise ValueError("not seconds or milliseconds since 1970 (0 … 10¹⁴)")
    if value < MILLISECONDS_FROM:
        return _scaled(value, 1_000_000)
    return _scaled(value, 1_000)


def _scaled(value: float, factor: int) -> int:
    # Nearest microsecond: a float of seconds carries about 0.2 µs of noise, which a cut would show.
    return value * factor if isinstance(value, int) else round(value * factor)


def _parse_text(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not RFC 3339 with a zone, such as 2026-01-31T12:00:00.250Z (no leap second)")
    date, time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        raise ValueError("no such date") from None
    fraction_us = int((fraction or ".0")[1:7].ljust(6, "0"))
    return (moment - _EPOCH) // _MICROSECOND + fraction_us
