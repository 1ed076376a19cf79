"""Waiting until everything is stored, on a broker in memory and a clock by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from tokentide.cli.lag import PartitionLag, WaitResult, partition_lags, wait_until_stored


@dataclass
class FakeBroker:
    """One events topic; `ends` may grow while we wait."""

    ends: dict[int, int]
    commits: dict[int, int] = field(default_factory=dict)
    begins: dict[int, int] = field(default_factory=dict)
    markers: frozenset[tuple[int, int]] = frozenset()
    """Offsets that hold no record: (partition, offset)."""
    looks: int = 0

    def bounds(self) -> Mapping[int, tuple[int, int]]:
        return {partition: (self.begins.get(partition, 0), end) for partition, end in self.ends.items()}

    def committed(self) -> Mapping[int, int]:
        return dict(self.commits)

    def has_records(self, partition: int, begin: int, end: int) -> bool:
        self.looks += 1
        return any((partition, offset) not in self.markers for offset in range(begin, end))


@dataclass
class ManualClock:
    seconds: float = 0.0
    on_sleep: Callable[[float], None] = lambda _: None

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.on_sleep(self.seconds)


def wait(broker: FakeBroker, clock: ManualClock | None = None, timeout_s: float = 10.0) -> WaitResult:
    clock = clock or ManualClock()
    return wait_until_stored(
        broker, timeout_s=timeout_s, clock=clock, sleep=clock.sleep, report=lambda _: None
    )


def test_a_topic_that_is_committed_to_its_end_is_stored_at_once() -> None:
    result = wait(FakeBroker({0: 5, 1: 7}, {0: 5, 1: 7}))
    assert result.is_stored
    assert result.seconds == 0


def test_an_empty_topic_is_stored_without_any_commit() -> None:
    assert wait(FakeBroker({0: 0, 1: 0})).is_stored


def test_records_that_the_broker_has_deleted_are_not_waited_for() -> None:
    assert wait(FakeBroker({0: 9}, begins={0: 9})).is_stored
    assert PartitionLag(0, begin=6, end=9, committed=2).lag == 3


def test_it_waits_for_the_commit() -> None:
    broker = FakeBroker({0: 5}, {0: 1})

    def commit(now: float) -> None:
        if now > 1:
            broker.commits[0] = 5

    result = wait(broker, ManualClock(on_sleep=commit))
    assert result.is_stored
    assert result.seconds == pytest.approx(1.2)


def test_what_arrives_while_waiting_is_not_waited_for() -> None:
    broker = FakeBroker({0: 5}, {0: 1})

    def traffic_goes_on(_: float) -> None:
        broker.ends[0] += 100
        broker.commits[0] += 2

    result = wait(broker, ManualClock(on_sleep=traffic_goes_on))
    assert result.is_stored
    assert [lag.end for lag in result.lags] == [5]


def test_a_commit_of_what_arrived_while_waiting_is_no_sign_of_an_earlier_topic() -> None:
    broker = FakeBroker({0: 5, 1: 5}, {0: 1, 1: 9})

    def traffic_goes_on(_: float) -> None:
        broker.ends[0] += 100
        broker.commits[0] = broker.ends[0]

    result = wait(broker, ManualClock(on_sleep=traffic_goes_on))
    assert result.foreign == [1]
    assert [lag.lag for lag in result.lags] == [0, 5]


def test_after_the_time_out_it_says_what_is_left_by_partition() -> None:
    result = wait(FakeBroker({0: 5, 1: 7}, {0: 5, 1: 3}), timeout_s=2)
    assert not result.is_stored
    assert result.seconds == pytest.approx(2, abs=0.02)
    assert [(lag.partition, lag.lag) for lag in result.lags] == [(0, 0), (1, 4)]


def test_a_time_out_of_zero_is_one_look() -> None:
    clock = ManualClock()
    assert not wait(FakeBroker({0: 5}), clock, timeout_s=0).is_stored
    assert clock.seconds == 0


def test_offsets_that_hold_markers_of_transactions_only_are_not_waited_for() -> None:
    broker = FakeBroker({0: 5, 1: 5}, {0: 4, 1: 5}, markers=frozenset({(0, 4)}))
    assert wait(broker).is_stored


def test_the_tail_is_looked_at_only_when_a_partition_stands_still() -> None:
    broker = FakeBroker({0: 1000}, {0: 0})

    def progress(_: float) -> None:
        broker.commits[0] += 100

    assert wait(broker, ManualClock(on_sleep=progress)).is_stored
    assert broker.looks == 0


def test_a_tail_with_records_is_looked_at_once_for_each_commit() -> None:
    broker = FakeBroker({0: 5}, {0: 1})

    def commit(now: float) -> None:
        if now > 5:
            broker.commits[0] = 3

    assert not wait(broker, ManualClock(on_sleep=commit)).is_stored
    assert broker.looks == 2


def test_of_a_partition_with_a_commit_past_its_end_nothing_counts_as_stored() -> None:
    result = wait(FakeBroker({0: 5, 1: 3}, {0: 9, 1: 3}), timeout_s=2)
    assert result.foreign == [0]
    assert result.seconds == pytest.approx(2, abs=0.02)
    assert [(lag.partition, lag.lag) for lag in result.lags] == [(0, 5), (1, 0)]
    assert not result.is_stored


def test_an_empty_partition_with_a_commit_past_its_end_has_nothing_to_be_stored() -> None:
    result = wait(FakeBroker({0: 0}, {0: 9}))
    assert result.foreign == [0]
    assert result.is_stored


def test_a_group_that_begins_anew_is_waited_for() -> None:
    broker = FakeBroker({0: 5}, {0: 9})

    def begins_anew(now: float) -> None:
        broker.commits[0] = 5 if now > 1 else 9

    result = wait(broker, ManualClock(on_sleep=begins_anew))
    assert result.is_stored
    assert result.foreign == []


def test_the_state_now_names_partitions_without_a_commit() -> None:
    assert partition_lags(FakeBroker({0: 5, 1: 2}, {0: 3})) == [
        PartitionLag(0, 0, 5, 3),
        PartitionLag(1, 0, 2, None),
    ]
