from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode.batch import Decoded
from tokentide.stream.decode.clock import ClockLimits, refuse_wrong_clocks
from tokentide.stream.decode.decoder import Decoder

SENT_MS = 1_769_860_800_000
SENT_US = SENT_MS * 1_000
DAY_US = 86_400_000_000


def event(name: str, time_us: int, **fields: Any) -> dict[str, Any]:
    whole, fraction = divmod(time_us, 1_000_000)
    moment = str(np.datetime64(whole, "s"))
    return {"event_id": name, "timestamp": f"{moment}.{fraction:06d}Z", "service": "s", **fields}


def judged(values: list[bytes | None], limits: ClockLimits, sent_ms: int = SENT_MS) -> Decoded:
    return refuse_wrong_clocks(Decoder().decode(values), values, np.full(len(values), sent_ms), limits)


def is_kept(time_us: int, limits: ClockLimits | None = None, *, sent_ms: int = SENT_MS) -> bool:
    decoded = judged([json.dumps(event("e", time_us)).encode()], limits or ClockLimits(), sent_ms)
    assert decoded.table.num_rows + len(decoded.refusals) == 1
    return bool(decoded.table.num_rows)


def test_an_event_may_be_five_minutes_ahead_of_its_record_and_not_a_microsecond_more() -> None:
    assert is_kept(SENT_US + 300_000_000)
    assert not is_kept(SENT_US + 300_000_001)


def test_an_event_may_be_from_2000_and_not_from_before() -> None:
    assert is_kept(946_684_800_000_000)
    assert not is_kept(946_684_799_999_999)


def test_without_an_age_limit_an_event_may_be_as_old_as_it_likes() -> None:
    assert is_kept(SENT_US - 9_000 * DAY_US)


def test_with_an_age_limit_it_may_be_so_old_and_not_a_microsecond_more() -> None:
    limits = ClockLimits(age_us=DAY_US)
    assert is_kept(SENT_US - DAY_US, limits)
    assert not is_kept(SENT_US - DAY_US - 1, limits)


def test_the_record_s_time_decides_not_this_machine_s_clock() -> None:
    in_2050_us = 2_540_000_000_000_000
    assert is_kept(in_2050_us, sent_ms=in_2050_us // 1_000)
    assert not is_kept(in_2050_us)


@pytest.mark.parametrize(
    ("time_us", "limits", "text"),
    [
        (
            1_000_000,
            ClockLimits(),
            "timestamp: is before 2000; send seconds or milliseconds since 1970, or RFC 3339",
        ),
        (
            SENT_US + 3_600_999_999,
            ClockLimits(),
            "timestamp: is 3600 s after its record was sent (at most 300 s); set the clock",
        ),
        (
            SENT_US - 2 * DAY_US,
            ClockLimits(age_us=DAY_US),
            "timestamp: is 172800 s old, over the age limit that this worker has; raise or unset event_age_days",
        ),
    ],
)
def test_the_text_says_how_far_off_it_is_and_what_to_do(time_us: int, limits: ClockLimits, text: str) -> None:
    (refusal,) = judged([json.dumps(event("e", time_us)).encode()], limits).refusals
    assert refusal.problem == (RejectReason.CLOCK, text, "timestamp")


def test_a_wrong_clock_is_refused_in_its_place_and_its_neighbours_stay() -> None:
    good, future = event("g", SENT_US), event("f", SENT_US + DAY_US, input="x", new=1)
    values: list[bytes | None] = [
        json.dumps(good).encode(),
        b"broken",
        json.dumps([good, future, {**good, "new": 1}], separators=(", ", ": ")).encode(),
        json.dumps(future).encode(),
        b"\n".join([json.dumps(future).encode(), json.dumps(good).encode()]),
        None,
    ]
    decoded = judged(values, ClockLimits())
    assert [*zip(decoded.record.tolist(), decoded.item.tolist(), strict=True)] == [
        (0, 0),
        (2, 0),
        (2, 2),
        (4, 1),
    ]
    assert decoded.table["event_id"].to_pylist() == ["g"] * 4
    assert decoded.unknown_fields.tolist() == [0, 0, 1, 0]
    places = [(refusal.record, refusal.item, refusal.problem.reason) for refusal in decoded.refusals]
    assert places == [
        (1, -1, "not_json"),
        (2, 1, "clock"),
        (3, 0, "clock"),
        (4, 0, "clock"),
        (5, -1, "empty"),
    ]
    held = {refusal[:2]: refusal.value for refusal in decoded.refusals}
    for place in ((2, 1), (3, 0), (4, 0)):
        assert json.loads(held[place] or b"") == future


def test_where_nothing_is_wrong_nothing_is_copied() -> None:
    values: list[bytes | None] = [json.dumps(event("e", SENT_US)).encode()]
    decoded = Decoder().decode(values)
    assert refuse_wrong_clocks(decoded, values, np.array([SENT_MS]), ClockLimits()) is decoded


def test_a_batch_without_events_passes() -> None:
    assert judged([None, b"x"], ClockLimits()).items == 2
