"""Wall-clock time as RFC 3339 text with microseconds and `Z`: the form that the worker reads fastest.

Arrow parses it straight into a timestamp column; numbers since 1970 take the slower path. Formatting
the date once a second keeps this at a fraction of a microsecond.
"""

from __future__ import annotations

from datetime import UTC, datetime

_last_second: tuple[int, str] = (-1, "")


def rfc3339(time_us: int) -> str:
    """Return microseconds since 1970 UTC as `2026-01-31T12:00:00.250000Z`."""
    global _last_second  # noqa: PLW0603 - one tuple, replaced whole, so no lock is needed
    second, rest_us = divmod(time_us, 1_000_000)
    known, text = _last_second
    if second != known:
        text = datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()
        _last_second = (second, text)
    return f"{text}.{rest_us:06d}Z"
