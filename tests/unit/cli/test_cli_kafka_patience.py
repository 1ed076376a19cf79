"""What of Kafka's errors is asked again, for how long, and how it ends; clock and broker by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from kafka_errors import kafka_python_errors

from tokentide.cli.exits import CliError, ExitCode, RefusedError, UnreachableError
from tokentide.cli.kafka_access import kafka_errors
from tokentide.cli.kafka_patience import PatientOffsets, patiently
from tokentide.config import KafkaSettings

errors = kafka_python_errors()

PASSING = (
    "NotCoordinatorError",
    "CoordinatorNotAvailableError",
    "CoordinatorLoadInProgressError",
    "NotLeaderForPartitionError",
    "LeaderNotAvailableError",
    "NotControllerError",
    "KafkaConnectionError",
    "NodeNotReadyError",
    "RequestTimedOutError",
    "KafkaTimeoutError",
)
LASTING = (
    "TopicAuthorizationFailedError",
    "SaslAuthenticationFailedError",
    "UnknownTopicOrPartitionError",
    "UnsupportedCodecError",
)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds += seconds


class Failing:
    """Fails so often, and then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left = error, times

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


def as_ours(name: str) -> CliError:
    with pytest.raises(CliError) as caught, kafka_errors(KafkaSettings()):
        raise getattr(errors, name)
    return caught.value


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_asked_again(name: str) -> None:
    clock = Clock()
    assert patiently(Failing(getattr(errors, name)(), 3), clock=clock, sleep=clock.sleep) == "answer"


@pytest.mark.parametrize("name", PASSING)
def test_so_it_is_as_an_error_of_ours(name: str) -> None:
    clock = Clock()
    assert patiently(Failing(as_ours(name), 3), clock=clock, sleep=clock.sleep) == "answer"


@pytest.mark.parametrize("name", LASTING)
def test_what_stays_is_told_at_once(name: str) -> None:
    clock = Clock()
    with pytest.raises(getattr(errors, name)):
        patiently(Failing(getattr(errors, name)(), 1), clock=clock, sleep=clock.sleep)
    with pytest.raises(CliError):
        patiently(Failing(as_ours(name), 1), clock=clock, sleep=clock.sleep)
    assert clock.seconds == 0


def test_patience_ends() -> None:
    clock = Clock()
    with pytest.raises(errors.NotCoordinatorError):
        patiently(Failing(errors.NotCoordinatorError(), 999), within_s=5, clock=clock, sleep=clock.sleep)
    assert 4 < clock.seconds <= 5


def test_what_passes_is_no_refusal_and_says_so() -> None:
    error = as_ours("NotCoordinatorError")
    assert isinstance(error, UnreachableError)
    assert "NotCoordinator" in error.message
    assert "again" in error.hint
    assert isinstance(as_ours("PolicyViolationError"), RefusedError)


class Broker:
    """A topic that is stored; asking fails as told, each way of asking in turn."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.opened = 0

    @contextmanager
    def open(self) -> Iterator[Broker]:
        self.opened += 1
        self._fail()
        yield self

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def bounds(self) -> Mapping[int, tuple[int, int]]:
        self._fail()
        return {0: (0, 5)}

    def committed(self) -> Mapping[int, int]:
        self._fail()
        return {0: 5}

    def has_records(self, *_: int) -> bool:
        self._fail()
        return True


def patient(broker: Broker, told: list[CliError], *, within_s: float = 10) -> PatientOffsets:
    clock = Clock()
    return PatientOffsets(
        broker.open, KafkaSettings(), within_s=within_s, told=told.append, clock=clock, sleep=clock.sleep
    )


def test_after_what_passes_connections_are_made_anew_because_the_client_keeps_the_old_coordinator() -> None:
    told: list[CliError] = []
    broker = Broker(
        errors.KafkaTimeoutError(), errors.NotCoordinatorError(), errors.CoordinatorLoadInProgressError()
    )
    with patient(broker, told) as offsets:
        assert offsets.committed() == {0: 5}
        assert offsets.bounds() == {0: (0, 5)}
        assert offsets.has_records(0, 0, 5)
    assert broker.opened == 4
    assert len(told) == 1, "it is said once"


def test_the_time_out_of_the_command_is_the_end() -> None:
    with (
        patient(Broker(*[errors.NotCoordinatorError()] * 999), [], within_s=3) as offsets,
        pytest.raises(UnreachableError) as caught,
    ):
        offsets.committed()
    assert caught.value.exit_code == ExitCode.UNREACHABLE


def test_a_refusal_is_not_asked_again() -> None:
    told: list[CliError] = []
    broker = Broker(errors.GroupAuthorizationFailedError())
    with patient(broker, told) as offsets, pytest.raises(RefusedError):
        offsets.committed()
    assert (broker.opened, told) == (1, [])
