from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.stream.record_batch import RecordBatch
from tokentide.stream.slices import LEAST_BYTES, MOST_BYTES, SLICE_S, Cut, Slices

KB = 1_000
RECORD = 100
"""What a record counts beside its value."""


def batch(sizes: Sequence[int | None], offsets: Sequence[int] | None = None, end: int = 0) -> RecordBatch:
    count = len(sizes)
    places = np.asarray(range(count) if offsets is None else offsets, np.int64)
    values = [None if size is None else b"x" * size for size in sizes]
    keys = [b"%d" % n for n in range(count)]
    return RecordBatch(0, max(end, count), places, places * 10, keys, values)


def parts(whole: RecordBatch, most_bytes: int) -> list[RecordBatch]:
    cut, found = Cut(whole), []
    while not cut.is_done:
        found.append(cut.next(most_bytes)[0])
    return found


class Machine:
    """Takes so many seconds for a byte, and some for each slice."""

    def __init__(self, per_byte_s: float, per_slice_s: float = 0.0) -> None:
        self.per_byte_s = per_byte_s
        self.per_slice_s = per_slice_s
        self.now_s = 0.0
        self.slices_s: list[float] = []

    def work(self, part: RecordBatch) -> None:
        spent_s = self.per_slice_s + sum(
            self.per_byte_s * (len(value or b"") + RECORD) for value in part.values
        )
        self.slices_s.append(spent_s)
        self.now_s += spent_s


def worked_off(machine: Machine, whole: RecordBatch, slices: Slices | None = None) -> Slices:
    found = slices or Slices(lambda: machine.now_s)
    cut = Cut(whole)
    while not cut.is_done:
        found.work_off(cut, machine.work)
    return found


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 400)), st.integers(1, 5)), max_size=30),
    st.integers(1, 2_000),
    st.integers(0, 5),
)
def test_slices_one_after_the_other_are_the_batch(
    records: list[tuple[int | None, int]], most_bytes: int, gap: int
) -> None:
    offsets = np.cumsum([step for _, step in records]).tolist()
    whole = batch([size for size, _ in records], offsets, end=(offsets[-1] if offsets else 0) + 1 + gap)
    found = parts(whole, most_bytes)
    assert found[0].begin == whole.begin
    assert found[-1].end == whole.end
    assert [part.end for part in found[:-1]] == [part.begin for part in found[1:]]
    for place in ("offsets", "timestamps_ms", "keys", "values"):
        assert [x for part in found for x in getattr(part, place)] == list(getattr(whole, place))
    for part in found:
        assert all(part.begin <= offset < part.end for offset in part.offsets)
        size = sum(len(value or b"") + RECORD for value in part.values)
        assert len(part.values) <= 1 or size <= most_bytes


def test_a_batch_without_records_is_one_slice() -> None:
    (part,) = parts(batch([], end=9), 1)
    assert (part.begin, part.end) == (0, 9)


def test_slices_are_even() -> None:
    sizes = [len(part.values) for part in parts(batch([900] * 11), 10 * KB)]
    assert sizes == [6, 5]


def test_one_record_is_never_cut() -> None:
    assert [len(part.values) for part in parts(batch([10, 10 * KB, 10]), 500)] == [1, 1, 1]


def test_what_fits_is_handed_on_as_it_came() -> None:
    whole = batch([10, 10])
    assert parts(whole, 1 << 20) == [whole]


@pytest.mark.parametrize("per_byte_s", [1e-8, 2e-7, 2e-6])
def test_slices_come_to_take_as_long_as_is_meant_however_slow_the_events_are(per_byte_s: float) -> None:
    machine = Machine(per_byte_s)
    slices = Slices(lambda: machine.now_s)
    for _ in range(6):
        worked_off(machine, batch([KB] * 20_000), slices)
    assert all(spent_s < 1.5 * SLICE_S for spent_s in machine.slices_s[-20:])
    if per_byte_s > 1e-8:  # else no fetch is so large
        assert sorted(machine.slices_s[-20:])[10] > SLICE_S / 2


def test_they_grow_again_when_events_are_light() -> None:
    machine = Machine(1e-5)
    slices = worked_off(machine, batch([KB] * 500))
    assert slices.most_bytes < 4 * LEAST_BYTES
    machine.per_byte_s = 1e-8
    for _ in range(3):
        worked_off(machine, batch([KB] * 10_000), slices)
    assert slices.most_bytes > 100 * LEAST_BYTES


def test_what_each_slice_costs_does_not_make_them_ever_smaller() -> None:
    machine = Machine(0.0, per_slice_s=10 * SLICE_S)
    assert worked_off(machine, batch([KB] * 2_000)).most_bytes == LEAST_BYTES


def test_small_fetches_say_nothing_of_large_ones() -> None:
    machine = Machine(1e-9)
    slices = Slices(lambda: machine.now_s)
    before = slices.most_bytes
    for _ in range(100):
        worked_off(machine, batch([10]), slices)
    assert slices.most_bytes == before


def test_they_have_an_upper_bound() -> None:
    machine = Machine(0.0)
    slices = Slices(lambda: machine.now_s)
    for _ in range(8):
        worked_off(machine, batch([KB] * 40_000), slices)
    assert slices.most_bytes == MOST_BYTES


def test_an_error_is_the_caller_s() -> None:
    def failing(_: RecordBatch) -> None:
        raise ValueError("no")

    work: Callable[[RecordBatch], None] = failing
    with pytest.raises(ValueError, match="no"):
        Slices().work_off(Cut(batch([1])), work)
