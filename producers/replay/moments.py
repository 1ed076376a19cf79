"""Moments as a trace writes them → microseconds since 1970 UTC.

Text without a zone needs one from the mapping: a guess would move every event between windows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tokentide.producers.replay.mapping import TIME_UNIT_US, TimeUnit
from tokentide.producers.replay.values import BadValueError, as_number
from tokentide.schemas.problems import kind_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")

ToMicroseconds = Callable[[object], int]


def parse_zone(zone: str) -> tzinfo:
    """`UTC`, an offset such as `+08:00`, or an IANA name.

    Raises:
        BadValueError: it is none of them, or this system has no data of time zones.
    """
    if zone.upper() in {"UTC", "Z"}:
        return UTC
    match = _OFFSET.fullmatch(zone)
    if match:
        sign = -1 if match[1] == "-" else 1
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset < timedelta(hours=24):
            return timezone(sign * offset)
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadValueError(
            "is no time zone that this system knows; give UTC or an offset such as +08:00"
        ) from None


def parse_start(text: str, zone: str | None) -> int:
    """A date, or a date and time; without a zone it is in the mapping's, else in UTC.

    Raises:
        BadValueError: it is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadValueError("is no date or time such as 2026-01-31 or 2026-01-31T12:00:00+01:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=parse_zone(zone) if zone else UTC)
    return (moment - _EPOCH) // _MICROSECOND


def moment_reader(unit: TimeUnit, zone: str | None, base_us: int) -> ToMicroseconds:
    """What turns a value of the time column into microseconds; numbers are added to `base_us`.

    The function raises `BadValueError` with the reason where the value is no moment.
    """
    if unit == "text":
        return _text_reader(parse_zone(zone) if zone else None)
    factor = TIME_UNIT_US[unit]

    def from_number(value: object) -> int:
        number = as_number(value)
        if isinstance(number, int):
            # Whole numbers stay whole: 19 digits of nanoseconds do not fit a float.
            return base_us + (number * int(factor) if factor >= 1 else number // 1000)
        try:
            return base_us + round(number * factor)
        except OverflowError:
            raise BadValueError("is no moment: it is beyond all numbers of that unit") from None

    return from_number


def _text_reader(zone: tzinfo | None) -> ToMicroseconds:
    def from_text(value: object) -> int:
        if not isinstance(value, str):
            raise BadValueError(f"is {kind_of(value)}; must be a date and time, or set a unit in [time]")
        try:
            # Digits below a microsecond are cut.
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise BadValueError("is no date and time such as 2026-01-31 12:00:00.25") from None
        if moment.tzinfo is None:
            if zone is None:
                raise BadValueError(
                    'has no time zone; say in [time] which one is meant, such as zone = "UTC"'
                )
            moment = moment.replace(tzinfo=zone)
        return (moment - _EPOCH) // _MICROSECOND

    return from_text
