"""Sums, maxima and maps by slot, where a few events do not reach: many slots, wide sums, partial takings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tokentide.stream.fold.measures import Keyed, Measures
from tokentide.stream.fold.totals import Totals


def numbers(*values: Any) -> Any:
    return np.array(values, np.int64)


def calls(count: int) -> Measures:
    return Measures({"calls": np.ones(count, np.bool_)}, {}, {}, {})


def test_room_grows_and_keeps_what_was_there() -> None:
    totals = Totals()
    totals.add(
        numbers(0, 63), Measures({"calls": numbers(1, 2)}, {}, {"queue_length_max": numbers(5, 6)}, {}), 64
    )
    totals.mark_clean("store", numbers(0))
    totals.add(numbers(64, 200, 63), Measures({"calls": numbers(3, 4, 5)}, {}, {"queue_length_max": numbers(7, 8, 2)}, {}), 201)  # fmt: skip
    slots = numbers(0, 63, 64, 200)
    assert totals.sums("calls", slots).tolist() == [1, 7, 3, 4]
    assert totals.peaks("queue_length_max", slots).tolist() == [5, 6, 7, 8]
    assert totals.dirty_slots("store").tolist() == [63, 64, 200]
    assert totals.dirty_slots("publish").tolist() == [0, 63, 64, 200]


def test_slots_beyond_sixteen_bits_are_not_mixed_up() -> None:
    totals = Totals()
    totals.add(numbers(65_536, 0, 65_536, 65_535, 1), calls(5), 65_537)
    assert totals.sums("calls", numbers(0, 1, 65_535, 65_536)).tolist() == [1, 1, 1, 2]


def test_every_reader_is_told_of_changes_until_it_has_taken_them() -> None:
    totals = Totals()
    totals.add(numbers(2, 0), calls(2), 3)
    totals.mark_clean("store", totals.dirty_slots("store"))
    assert (totals.dirty_slots("store").tolist(), totals.dirty_slots("publish").tolist()) == ([], [0, 2])
    totals.add_ones("test_calls", numbers(1, 1), 3)
    assert (totals.dirty_slots("store").tolist(), totals.dirty_slots("publish").tolist()) == ([1], [0, 1, 2])
    assert totals.sums("test_calls", numbers(0, 1, 2)).tolist() == [0, 2, 0]


def test_wide_sums_carry_from_word_to_word() -> None:
    totals = Totals()
    largest, rounds, rows = 2**63 - 1, 3, 5
    for _ in range(rounds):
        amounts = np.full(rows + 1, largest)
        amounts[rows] = 7
        totals.add(numbers(*[1] * rows, 0), Measures({}, {"cost_usd": amounts}, {}, {}), 2)
    high, low = totals.wide("cost_usd", numbers(0, 1))
    assert [int(h) * 2**64 + int(part) for h, part in zip(high, low, strict=True)] == [
        21,
        rounds * rows * largest,
    ]


def test_a_sum_that_left_its_bits_is_refused_by_name() -> None:
    totals = Totals()
    for _ in range(2):
        totals.add(numbers(0), Measures({"duration_us": numbers(2**62)}, {}, {}, {}), 1)
    with pytest.raises(OverflowError, match="`duration_us` left 64 bits"):
        totals.sums("duration_us", numbers(0))


def test_what_nothing_was_added_to_is_zero() -> None:
    totals = Totals()
    totals.add(numbers(0), calls(1), 1)
    assert totals.sums("errors", numbers(0)).tolist() == [0]
    assert totals.peaks("queue_length_max", numbers(0)).tolist() == [0]
    assert [word.tolist() for word in totals.wide("cost_usd", numbers(0))] == [[0], [0]]
    assert len(totals.map_counts("duration_ms_sketch", numbers(0)).key) == 0


def test_maps_count_by_slot_and_key_also_when_they_are_read_in_between() -> None:
    """Keys at the ends of what is allowed, in old and young slots, together and one by one."""
    totals = Totals()
    added = [(3, -32_768), (0, 3_000), (3, 3_000), (0, 3_000), (1, -1), (1, 0), (3, -32_768), (0, -1_280)]

    def add(*entries: tuple[int, int]) -> None:
        slot, key = numbers(*(s for s, _ in entries)), numbers(*(k for _, k in entries))
        keyed = Keyed(np.arange(len(entries)), key)
        totals.add(slot, Measures({}, {}, {}, {"duration_ms_sketch": keyed}), 4)

    def found(*slots: int) -> list[tuple[int, int, int]]:
        counts = totals.map_counts("duration_ms_sketch", numbers(*slots))
        return list(zip(counts.owner.tolist(), counts.key.tolist(), counts.calls.tolist(), strict=True))

    add(*added[:3])
    assert found(0, 3) == [(0, 3_000, 1), (1, -32_768, 1), (1, 3_000, 1)]
    add(*added[3:6])
    add(*added[6:])
    assert found(0, 1, 2, 3) == [
        (0, -1_280, 1), (0, 3_000, 2), (1, -1, 1), (1, 0, 1), (3, -32_768, 2), (3, 3_000, 1),
    ]  # fmt: skip
    assert found(2) == []
    assert found(1, 3) == [(0, -1, 1), (0, 0, 1), (1, -32_768, 2), (1, 3_000, 1)]
