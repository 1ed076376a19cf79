"""What there is to say of a disk: how much is free, and what to do where that is little."""

from __future__ import annotations

from typing import Final

from tokentide.cli.doctor.findings import Finding, Reporter
from tokentide.producers.progress import describe_bytes

FULL_BYTES: Final = 500_000_000
"""Below this ClickHouse finds no room for an insert beside a merge: to all intents the disk is full."""
MAKE_ROOM: Final = (
    "Free some space, or use a larger disk: on a full one ClickHouse takes no rows, and workers wait until it does. To keep rows for a "
    "shorter time, lower retention.events_days and run `tokentide init`."
)


def room(free_bytes: int, total_bytes: int) -> str:
    """How much is free, with units."""
    return f"{describe_bytes(free_bytes)} free of {describe_bytes(total_bytes)}"


def disk_of_clickhouse(
    report: Reporter, check: str, text: str, *, free_bytes: int, low_bytes: float
) -> Finding:
    """The finding for a disk that ClickHouse writes to.

    Args:
        report: makes the finding.
        check: its name.
        text: what is said of it.
        free_bytes: for ClickHouse.
        low_bytes: below this it is a warning.
    """
    if free_bytes < FULL_BYTES:
        return report.fail(check, text, MAKE_ROOM)
    if free_bytes < low_bytes:
        return report.warn(check, text, MAKE_ROOM)
    return report.ok(check, text)
