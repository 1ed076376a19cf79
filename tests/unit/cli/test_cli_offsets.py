"""The end of a topic, read from a broker whose listing is wrong, and a group's commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import pytest
from kafka_errors import kafka_python_errors

from tokentide.cli.exits import NotReadyError
from tokentide.cli.offsets import KafkaOffsets, fetched_ends
from tokentide.config import KafkaSettings

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
    """Answers as told; of a group only what its coordinator, looked up once for each client, says."""

    def __init__(self, *failures: Exception, topic_error: int = 0) -> None:
        self._failures = list(failures)
        self._topic_errors = [topic_error]

    def describe_topics(self, topics: list[str]) -> list[dict[str, object]]:
        error = self._topic_errors.pop(0) if self._topic_errors else 0
        parts = [{"partition_index": 0}, {"partition_index": 1}]
        return [{"name": topics[0], "error_code": error, "topic_id": "id", "partitions": parts}]

    def list_group_offsets(self, group: str) -> dict[str, dict[Place, Entry]]:
        if self._failures:
            raise self._failures[0]
        found = {Place("t", 0): Entry(5), Place("t", 1): Entry(-1), Place("other", 0): Entry(9)}
        return {group: found}


@pytest.fixture
def admins(monkeypatch: pytest.MonkeyPatch) -> list[FakeAdmin]:
    """What the next connections are; without waits."""
    made: list[FakeAdmin] = []
    monkeypatch.setattr("tokentide.cli.kafka_patience.admin_client", lambda _: nullcontext(made.pop(0)))
    monkeypatch.setattr("tokentide.cli.kafka_patience.time.sleep", lambda _: None)
    return made


def offsets_of(admin: FakeAdmin) -> KafkaOffsets:
    return KafkaOffsets(KafkaSettings(), admin, topic="t", group_id="g")


def test_commits_of_the_topic_are_read_and_missing_ones_left_out() -> None:
    assert offsets_of(FakeAdmin()).committed() == {0: 5}


@pytest.mark.parametrize(
    "name", ["CoordinatorNotAvailableError", "CoordinatorLoadInProgressError", "NotCoordinatorError"]
)
def test_a_group_whose_coordinator_comes_or_moves_is_asked_again_by_a_new_client(
    name: str, admins: list[FakeAdmin]
) -> None:
    error = getattr(errors, name)()
    admins += [FakeAdmin(error), FakeAdmin()]
    assert offsets_of(FakeAdmin(error)).committed() == {0: 5}
    assert admins == []


def test_a_broker_that_never_has_a_coordinator_is_an_error(
    admins: list[FakeAdmin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokentide.cli.kafka_patience.PATIENCE_S", 0.0)
    with pytest.raises(errors.CoordinatorNotAvailableError):
        offsets_of(FakeAdmin(errors.CoordinatorNotAvailableError())).committed()
    assert admins == []


def test_a_commit_that_may_not_be_read_is_an_error_at_once(admins: list[FakeAdmin]) -> None:
    with pytest.raises(errors.GroupAuthorizationFailedError):
        offsets_of(FakeAdmin(errors.GroupAuthorizationFailedError())).committed()
    assert admins == []


@pytest.mark.usefixtures("admins")
def test_a_topic_whose_leader_is_being_chosen_is_none_that_is_missing() -> None:
    assert offsets_of(FakeAdmin(topic_error=5)).partitions == [0, 1]
    with pytest.raises(NotReadyError):
        offsets_of(FakeAdmin(topic_error=3))
