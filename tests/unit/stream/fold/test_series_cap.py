"""Series over the cap: visible as one, nothing of them lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support.folded import fold
from tests.support.reference_fold import Key, Value, merged
from tokentide.schemas.aggregates import DIMENSIONS, OTHER_SERIES
from tokentide.stream.fold.slots import Slot, Slots

MINUTE = 1_769_860_800
"""2026-01-31T12:00Z"""


def series(service: str, **others: str) -> tuple[str, ...]:
    return tuple({"service": service, **others}.get(name, "") for name in DIMENSIONS)


def event(number: int, service: str, *, minute: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "timestamp": f"2026-01-31T12:{minute:02d}:00Z",
        "service": service,
        "duration_ms": 2.0**number,
        "cost_usd": f"0.{10**number:012d}",
        "queue_length": number,
        "error": {"http_status": 503} if number % 3 == 0 else None,
        **fields,
    }


def log_of(services: str) -> list[dict[str, Any]]:
    """An event of each in this order; digits say the minute of what follows."""
    events: list[dict[str, Any]] = []
    minute = 0
    for letter in services:
        if letter.isdigit():
            minute = int(letter)
        else:
            events.append(event(len(events), letter, minute=minute))
    return events


def calls_of(windows: dict[Key, dict[str, Value]]) -> dict[tuple[int, str], Value]:
    """Calls by minute and service."""
    return {
        ((start - MINUTE) // 60, values[DIMENSIONS.index("service")]): window["calls"]
        for (start, values), window in windows.items()
    }


def test_series_over_the_cap_share_one_and_known_ones_go_on_as_themselves() -> None:
    windows = fold(log_of("abcadcbda"), dimensions=("service",), series_cap=2).windows
    assert calls_of(windows) == {(0, "a"): 3, (0, "b"): 2, (0, OTHER_SERIES): 4}


def test_the_shared_series_has_no_other_dimension() -> None:
    events = [event(n, "s", environment=f"e{n}", variant="v") for n in range(3)]
    windows = fold(events, dimensions=("service", "environment", "variant"), series_cap=1).windows
    assert set(windows) == {
        (MINUTE, series("s", environment="e0", variant="v")),
        (MINUTE, series(OTHER_SERIES)),
    }


def test_a_series_is_counted_once_however_many_windows_it_has() -> None:
    windows = fold(log_of("ab1abc2cab"), dimensions=("service",), series_cap=2).windows
    assert calls_of(windows) == {
        (0, "a"): 1, (0, "b"): 1, (1, "a"): 1, (1, "b"): 1, (1, OTHER_SERIES): 1,
        (2, "a"): 1, (2, "b"): 1, (2, OTHER_SERIES): 1,
    }  # fmt: skip


@pytest.mark.parametrize("cap", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("sizes", [(100,), (1,), (2, 3)])
def test_no_cap_loses_anything(cap: int, sizes: Sequence[int]) -> None:
    """Every aggregate of all series together is the same; each series below the cap is what it is without one."""
    events = log_of("abcda1bddcba0aacd")
    whole = fold(events, dimensions=("service",)).windows
    capped = fold(events, dimensions=("service",), series_cap=cap, sizes=sizes)
    assert capped.windows == capped.stored
    assert merged(capped.windows.values()) == merged(whole.values())
    for start in {start for start, _ in whole}:
        others = [whole[start, series(name)] for name in "abcd"[cap:] if (start, series(name)) in whole]
        assert capped.windows.get((start, series(OTHER_SERIES)), merged([])) == merged(others)
    own = {key: window for key, window in capped.windows.items() if OTHER_SERIES not in key[1]}
    assert own == {key: window for key, window in whole.items() if key[1] in map(series, "abcd"[:cap])}


def test_without_dimensions_there_is_one_series_a_window() -> None:
    assert set(fold(log_of("abc"), dimensions=(), series_cap=1).windows) == {(MINUTE, series(""))}


# --- the slots themselves


def assigned(slots: Slots, services: str, minutes: Sequence[int]) -> list[int]:
    table = pa.table({"service": list(services), "model": ["m"] * len(services)})
    return slots.assign(table, np.array(minutes) * 60).tolist()


def test_slots_are_numbered_by_their_first_event_and_found_again() -> None:
    slots = Slots(("service",), 10)
    assert assigned(slots, "abacb", [0, 0, 0, 0, 1]) == [0, 1, 0, 2, 3]
    assert assigned(slots, "cbd", [0, 1, 0]) == [2, 3, 4]
    assert len(slots) == 5
    expected = [(0, "a"), (0, "b"), (0, "c"), (60, "b"), (0, "d")]
    assert slots.all() == [Slot(start, series(name)) for start, name in expected]
    assert slots.overflowed == 0


def test_dimensions_that_are_not_in_use_do_not_tell_series_apart() -> None:
    table = pa.table({"service": ["s"] * 3, "model": ["m", "n", None], "tenant": ["t", "u", "t"]})
    assert Slots(("service",), 10).assign(table, np.zeros(3, np.int64)).tolist() == [0, 0, 0]
    by_model = Slots(("model", "feature"), 10)
    assert by_model.assign(table, np.zeros(3, np.int64)).tolist() == [0, 1, 2]
    names = [slot.series[DIMENSIONS.index("model")] for slot in by_model.all()]
    assert names == ["m", "n", ""]


def test_overflow_is_counted_once_a_batch_for_each_window_of_each_series_over_the_cap() -> None:
    slots = Slots(("service",), 1)
    assert assigned(slots, "aab", [0, 1, 0]) == [0, 1, 2]
    assert slots.overflowed == 1
    assert assigned(slots, "cc", [0, 1]) == [2, 3]
    assert slots.overflowed == 3
    assert assigned(slots, "aa", [0, 1]) == [0, 1]
    assert slots.overflowed == 3
    assert assigned(slots, "ccdc", [1, 1, 1, 1]) == [3, 3, 3, 3]
    assert slots.overflowed == 5
    assert [slot.series for slot in slots.all()] == [series("a")] * 2 + [series(OTHER_SERIES)] * 2
