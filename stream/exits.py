"""How a worker may end, as exit codes; each comes with one log line that says what to do."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from aiokafka.errors import KafkaError as ConsumerError
from clickhouse_connect.driver.exceptions import ClickHouseError
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from tokentide.config.kafka_diagnosis import diagnose
from tokentide.sinks.errors import TerminalSinkError
from tokentide.sinks.failure import understand
from tokentide.stream.decoder_choice import DecoderMissingError
from tokentide.stream.metrics_http import MetricsAddressError
from tokentide.stream.partition import OutOfStepError

if TYPE_CHECKING:
    from tokentide.config import KafkaSettings


_NO_ANSWER: Final = "see that Kafka is up and the address is right, and start the worker again"
_LOOK_S: Final = 1.0
"""A worker that ends has little time."""


class Exit(IntEnum):
    """Exit codes of `tokentide worker`. All but 0 and 2 are worth a restart, which is always safe."""

    STOPPED = 0
    """It was told to stop."""
    SETTINGS = 2
    """A setting cannot be used, such as a port for metrics that is taken."""
    KAFKA = 20
    """Kafka could not be reached or refused; nothing was lost."""
    CLICKHOUSE = 21
    """ClickHouse refused rows for good: schema, rights or version; mend that first."""
    OUT_OF_STEP = 22
    """The consumer was moved behind the worker's back; a restart sorts it out."""
    STALLED = 23
    """It was behind and nothing moved; a restart makes new connections."""
    BUG = 70
    """Anything else; please report it with the log."""


class StalledError(Exception):
    """There is more to read and nothing was read, for longer than the setting allows."""


def said_of(error: BaseException) -> str:
    """What may be logged of it: ClickHouse's own words are pages, and may quote a query."""
    return understand(error).what if isinstance(error, ClickHouseError) else str(error)


def exit_for(error: BaseException) -> tuple[Exit, str]:
    """The exit code for what ended the worker, and what to do."""
    match error:
        case TerminalSinkError():
            return (
                Exit.CLICKHOUSE,
                "run `tokentide init`, or mend what the message names, and start the worker again",
            )
        case ClickHouseError():
            remedy = understand(error).remedy or "see that ClickHouse is up and the address is right"
            return Exit.CLICKHOUSE, f"{remedy}; then start the worker again"
        case UnknownTopicOrPartitionError():
            return Exit.KAFKA, "run `tokentide init`, which makes the topics, and start the worker again"
        case KafkaError() | ConsumerError() if "AuthorizationFailed" in type(error).__name__:
            return (
                Exit.KAFKA,
                "give the login READ and WRITE on the topics and READ on the group, and start the worker again",
            )
        case KafkaError() | ConsumerError():
            return Exit.KAFKA, _NO_ANSWER
        case OutOfStepError():
            return Exit.OUT_OF_STEP, "start the worker again"
        case MetricsAddressError() | DecoderMissingError():
            return Exit.SETTINGS, "mend the setting that the message names, and start the worker again"
        case StalledError():
            return Exit.STALLED, "start the worker again; if it comes back, run `tokentide doctor`"
        case _:
            return Exit.BUG, "start the worker again, and report this line"


def told_of(error: BaseException, kafka: KafkaSettings) -> tuple[Exit, str, str]:
    """The exit code, what may be logged, and what to do; of a Kafka that gives no answer, why it gives none.

    Its clients only say that time is over. Takes a few seconds where they do.
    """
    code, remedy = exit_for(error)
    is_without_answer = isinstance(error, (KafkaError, ConsumerError)) and remedy == _NO_ANSWER
    if is_without_answer and (found := diagnose(kafka, timeout_s=_LOOK_S)) is not None:
        return code, f"Kafka at {found.what}", f"{found.remedy} Then start the worker again"
    return code, said_of(error), remedy
