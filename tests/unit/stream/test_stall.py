from __future__ import annotations

from tokentide.stream.stall import StallWatch


def test_a_partition_at_its_end_never_stalls() -> None:
    watch = StallWatch[int](limit_s=10)
    assert [watch.stalled(now, {0: 5}, {0: 5}) for now in (0, 100, 200)] == [None, None, None]


def test_a_partition_that_moves_does_not_stall_however_far_behind_it_is() -> None:
    watch = StallWatch[int](limit_s=10)
    assert [watch.stalled(now, {0: now}, {0: 10**6}) for now in range(0, 100, 9)] == [None] * 12


def test_a_partition_that_stands_still_behind_its_end_stalls_after_the_limit() -> None:
    watch = StallWatch[int](limit_s=10)
    assert watch.stalled(0, {0: 5, 1: 7}, {0: 8, 1: 7}) is None
    assert watch.stalled(10, {0: 5, 1: 7}, {0: 9, 1: 7}) is None
    assert watch.stalled(10.5, {0: 5, 1: 7}, {0: 9, 1: 7}) == (0, 4)


def test_time_spent_at_the_end_does_not_count() -> None:
    watch = StallWatch[int](limit_s=10)
    watch.stalled(0, {0: 5}, {0: 6})
    watch.stalled(9, {0: 6}, {0: 6})
    assert watch.stalled(15, {0: 6}, {0: 7}) is None


def test_a_partition_without_a_known_end_is_left_alone() -> None:
    assert StallWatch[int](limit_s=0).stalled(5, {0: 5}, {}) is None
