"""The end of a topic, read from a broker whose listing is wrong, and a group's commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pytest
from kafka_errors import kafka_python_errors

from tokentide.cli.offsets import committed_offsets, fetched_ends

errors = kafka_python_errors()


class Place(NamedTuple):
    topic: str
    partition: int


class FakeConsumer:
    """Lists ends as Tansu 0.6 does (a batch counts as one), and tells the right ones with what it fetches."""

    def __init__(self, *, listed: Mapping[int, int], ends: Mapping[int, int], fetches: bool = True) -> None:
        self._listed, self._ends, self._fetches = listed, ends, fetches
        self._assigned: list[Place] = []
        self._high: dict[Place, int] = {}
        self.polls = 0
        self.is_unreadable = False

    def beginning_offsets(self, places: Sequence[Place]) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    def end_offsets(self, places: Sequence[Place]) -> dict[Place, int]:
        return {place: self._listed[place.partition] for place in places}

    def assign(self, places: Sequence[Place]) -> None:
        self._assigned = list(places)

    def seek(self, place: Place, offset: int) -> None:
        assert 0 <= offset < self._ends[place.partition]

    def poll(self, *, timeout_ms: int, max_records: int) -> dict[Place, list[object]]:
        assert (timeout_ms, max_records) == (200, 1)
        self.polls += 1
        if self.is_unreadable:
            assert self.polls == 1, "kafka-python loops for ever after that"
            raise errors.UnsupportedCodecError
        if self._fetches:  # one partition at a time, as a broker may
            known = next((place for place in self._assigned if place not in self._high), None)
            if known is not None:
                self._high[known] = self._ends[known.partition]
        return {}

    def highwater(self, place: Place) -> int | None:
        return self._high.get(place)


def test_the_end_comes_from_what_is_fetched_not_from_the_listing() -> None:
    fake = FakeConsumer(listed={0: 1, 1: 11, 2: 0}, ends={0: 10, 1: 16, 2: 0})
    assert fetched_ends(fake, "t", [0, 1, 2]) == {0: 10, 1: 16, 2: 0}


def test_empty_partitions_are_not_fetched() -> None:
    fake = FakeConsumer(listed={0: 0}, ends={0: 0})
    assert fetched_ends(fake, "t", [0]) == {0: 0}
    assert fake.polls == 0


def test_where_nothing_is_fetched_the_listing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokentide.cli.offsets._ENDS_WITHIN_S", 0.02)
    fake = FakeConsumer(listed={0: 7}, ends={0: 10}, fetches=False)
    assert fetched_ends(fake, "t", [0]) == {0: 7}


def test_records_that_cannot_be_read_leave_the_listing() -> None:
    fake = FakeConsumer(listed={0: 7}, ends={0: 7})
    fake.is_unreadable = True
    assert fetched_ends(fake, "t", [0]) == {0: 7}


class Entry(NamedTuple):
    offset: int


class FakeAdmin:
    """Answers only after the offsets topic has been created."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def list_group_offsets(self, group: str) -> dict[str, dict[Place, Entry]]:
        if self.refusals:
            self.refusals -= 1
            raise errors.CoordinatorNotAvailableError
        found = {Place("t", 0): Entry(5), Place("t", 1): Entry(-1), Place("other", 0): Entry(9)}
        return {group: found}


def test_commits_of_the_topic_are_read_and_missing_ones_left_out() -> None:
    assert committed_offsets(FakeAdmin(0), "g", "t") == {0: 5}


def test_a_broker_that_creates_its_offsets_topic_first_is_asked_again() -> None:
    slept: list[float] = []
    assert committed_offsets(FakeAdmin(3), "g", "t", sleep=slept.append) == {0: 5}
    assert len(slept) == 3


def test_a_broker_that_never_has_a_coordinator_is_an_error() -> None:
    with pytest.raises(errors.CoordinatorNotAvailableError):
        committed_offsets(FakeAdmin(99), "g", "t", tries=3, sleep=lambda _: None)
