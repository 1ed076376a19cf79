"""Kafka's errors as ours, and the end of a topic read from a broker whose listing is wrong."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

import pytest
from kafka_errors import kafka_python_errors

from tokentide.cli.exits import CliError, ExitCode
from tokentide.cli.kafka_access import committed_offsets, end_offsets, kafka_errors
from tokentide.cli.kafka_trouble import keep_kafka_quiet
from tokentide.config import KafkaSettings, load_settings

errors = kafka_python_errors()


def as_ours(error: Exception, **variables: str) -> CliError:
    environ = {f"TOKENTIDE_KAFKA_{name}": value for name, value in variables.items()}
    with pytest.raises(CliError) as caught, kafka_errors(load_settings(environ=environ).kafka):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("KafkaTimeoutError", ExitCode.UNREACHABLE),
        ("KafkaConnectionError", ExitCode.UNREACHABLE),
        ("SaslAuthenticationFailedError", ExitCode.REFUSED),
        ("TopicAuthorizationFailedError", ExitCode.REFUSED),
        ("GroupAuthorizationFailedError", ExitCode.REFUSED),
        ("UnknownTopicOrPartitionError", ExitCode.NOT_READY),
        ("PolicyViolationError", ExitCode.REFUSED),
    ],
)
def test_each_error_of_kafka_has_its_exit_code(name: str, code: ExitCode) -> None:
    assert as_ours(getattr(errors, name)()).exit_code == code


def test_a_broker_that_does_not_answer_may_expect_another_protocol() -> None:
    assert "kafka.security_protocol (now PLAINTEXT)" in as_ours(errors.KafkaTimeoutError()).hint


def logged(error: Exception) -> None:
    """What kafka-python does while it tries to connect."""
    logging.getLogger("kafka.net.connection").error("%s: Connection lost: %s", "x", error)


def given_up(*tries: Exception) -> CliError:
    """A client that logs its tries and then gives up."""

    def connect() -> NoReturn:
        for error in tries:
            logged(error)
        raise errors.KafkaTimeoutError

    with pytest.raises(CliError) as caught, kafka_errors(KafkaSettings()):
        connect()
    return caught.value


def test_a_login_that_was_refused_while_connecting_is_no_silence(capsys: pytest.CaptureFixture[str]) -> None:
    keep_kafka_quiet()
    error = given_up(
        errors.KafkaConnectionError("socket disconnected"),
        errors.SaslAuthenticationFailedError("c4nary"),
        errors.KafkaConnectionError("socket disconnected"),
    )
    assert "refused the login" in error.message
    assert "c4nary" not in error.message + capsys.readouterr().err


def test_the_reason_of_the_last_try_to_connect_is_told() -> None:
    keep_kafka_quiet()
    error = given_up(
        errors.KafkaConnectionError("Handshake failed: certificate verify failed"),
        errors.KafkaTimeoutError("Unable to bootstrap"),
    )
    assert error.message.endswith("does not answer: Handshake failed: certificate verify failed")


def test_an_error_number_is_told_in_words() -> None:
    keep_kafka_quiet()
    error = given_up(errors.KafkaConnectionError(f"{errno.ECONNREFUSED} ECONNREFUSED"))
    assert error.message.endswith("does not answer: connection refused")


def test_where_a_login_is_asked_for_it_may_be_the_cause() -> None:
    login = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "ann", "SASL_PASSWORD": "c4nary"}
    assert "kafka.sasl_password" in as_ours(errors.KafkaTimeoutError(), **login).hint
    assert "sasl" not in as_ours(errors.KafkaTimeoutError()).hint


def test_the_trouble_of_an_earlier_command_is_forgotten() -> None:
    keep_kafka_quiet()
    logged(errors.KafkaConnectionError("long ago"))
    assert "long ago" not in as_ours(errors.KafkaTimeoutError()).message


def test_a_refused_login_names_the_user_and_never_the_password() -> None:
    error = as_ours(
        errors.SaslAuthenticationFailedError("c4nary"),
        SECURITY_PROTOCOL="SASL_SSL",
        SASL_USERNAME="ann",
        SASL_PASSWORD="c4nary",
    )
    assert "ann" in error.message
    assert "c4nary" not in error.message + error.hint


def test_other_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), kafka_errors(KafkaSettings()):
        raise ZeroDivisionError


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
        if self._fetches:  # one partition at a time, as a broker may
            known = next((place for place in self._assigned if place not in self._high), None)
            if known is not None:
                self._high[known] = self._ends[known.partition]
        return {}

    def highwater(self, place: Place) -> int | None:
        return self._high.get(place)


def test_the_end_comes_from_what_is_fetched_not_from_the_listing() -> None:
    fake = FakeConsumer(listed={0: 1, 1: 11, 2: 0}, ends={0: 10, 1: 16, 2: 0})
    assert end_offsets(fake, "t", [0, 1, 2]) == {0: 10, 1: 16, 2: 0}


def test_empty_partitions_are_not_fetched() -> None:
    fake = FakeConsumer(listed={0: 0}, ends={0: 0})
    assert end_offsets(fake, "t", [0]) == {0: 0}
    assert fake.polls == 0


def test_where_nothing_is_fetched_the_listing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokentide.cli.kafka_access._FETCH_TRIES_MS", 20)
    fake = FakeConsumer(listed={0: 7}, ends={0: 10}, fetches=False)
    assert end_offsets(fake, "t", [0]) == {0: 7}


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
