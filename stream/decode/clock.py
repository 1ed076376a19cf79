"""Event times that cannot be: before 2000, after the record was sent, or older than the age limit.

They are held against Kafka's time of the record, never against this machine's clock: the same log must be judged the
same way when it is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.schemas.limits import EARLIEST_TIMESTAMP_US, FUTURE_TOLERANCE_US
from tokentide.schemas.problems import Problem
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode.arrays import numbers
from tokentide.stream.decode.batch import Decoded, Int64s, Refusal
from tokentide.stream.decode.reference import ItemBytes


class ClockLimits(NamedTuple):
    """How far an event's time may be from its record's."""

    age_us: int | None = None
    """None: events may be as old as they like."""
    future_us: int = FUTURE_TOLERANCE_US


def refuse_wrong_clocks(
    decoded: Decoded, values: Sequence[bytes | None], record_timestamps_ms: Int64s, limits: ClockLimits
) -> Decoded:
    """Return `decoded` without the events whose time cannot be; they become refusals (`clock`)."""
    decoded = _refuse_others(decoded, values, record_timestamps_ms, limits)
    if not decoded.table.num_rows:
        return decoded
    time_us = numbers(decoded.table["timestamp"].combine_chunks()).values
    sent_us = record_timestamps_ms[decoded.record] * 1_000
    wrong = (time_us < EARLIEST_TIMESTAMP_US) | (time_us > sent_us + limits.future_us)
    if limits.age_us is not None:
        wrong |= time_us < sent_us - limits.age_us
    if not wrong.any():
        return decoded
    items = ItemBytes(values)
    refused = [
        Refusal(
            int(decoded.record[row]),
            int(decoded.item[row]),
            _problem(int(time_us[row]), int(sent_us[row]), limits),
            items.of(int(decoded.record[row]), int(decoded.item[row])),
        )
        for row in np.flatnonzero(wrong).tolist()
    ]
    kept = ~wrong
    return replace(
        decoded,
        table=decoded.table.filter(pa.array(kept)).combine_chunks(),
        record=decoded.record[kept],
        item=decoded.item[kept],
        unknown_fields=decoded.unknown_fields[kept],
        refusals=_with(decoded.refusals, refused),
    )


def _refuse_others(
    decoded: Decoded, values: Sequence[bytes | None], record_timestamps_ms: Int64s, limits: ClockLimits
) -> Decoded:
    wrong = {
        (other.record, other.item): _problem(other.timestamp_us, sent_us, limits)
        for other in decoded.others
        if _is_wrong(other.timestamp_us, sent_us := int(record_timestamps_ms[other.record]) * 1_000, limits)
    }
    if not wrong:
        return decoded
    items = ItemBytes(values)
    refused = [
        Refusal(record, item, problem, items.of(record, item)) for (record, item), problem in wrong.items()
    ]
    kept = [other for other in decoded.others if (other.record, other.item) not in wrong]
    return replace(decoded, others=kept, refusals=_with(decoded.refusals, refused))


def _with(refusals: Sequence[Refusal], more: Sequence[Refusal]) -> Sequence[Refusal]:
    return sorted([*refusals, *more], key=lambda refusal: refusal[:2])


def _is_wrong(time_us: int, sent_us: int, limits: ClockLimits) -> bool:
    if time_us < EARLIEST_TIMESTAMP_US or time_us > sent_us + limits.future_us:
        return True
    return limits.age_us is not None and time_us < sent_us - limits.age_us


def _problem(time_us: int, sent_us: int, limits: ClockLimits) -> Problem:
    if time_us < EARLIEST_TIMESTAMP_US:
        text = "is before 2000; send seconds or milliseconds since 1970, or RFC 3339"
    elif time_us > sent_us:
        ahead_s = (time_us - sent_us) // 1_000_000
        text = f"is {ahead_s} s after its record was sent (at most {limits.future_us // 1_000_000} s); set the clock"
    else:
        age_s = (sent_us - time_us) // 1_000_000
        text = f"is {age_s} s old, over the age limit that this worker has; raise or unset event_age_days"
    return Problem(RejectReason.CLOCK, f"timestamp: {text}", "timestamp")
