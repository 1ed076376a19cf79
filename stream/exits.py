"""How a worker may end, as exit codes; each comes with one log line that says what to do."""

from __future__ import annotations

from enum import IntEnum

from aiokafka.errors import KafkaError as ConsumerError
from clickhouse_connect.driver.exceptions import ClickHouseError
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from tokentide.sinks.errors import TerminalSinkError
from tokentide.sinks.failure import understand
from tokentide.stream.decode.choice import DecoderMissingError
from tokentide.stream.metrics_http import MetricsAddressError
from tokentide.stream.partition import OutOfStepError


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
        case KafkaError() | ConsumerError():
            return Exit.KAFKA, "see that Kafka is up and the address is right, and start the worker again"
        case OutOfStepError():
            return Exit.OUT_OF_STEP, "start the worker again"
        case MetricsAddressError() | DecoderMissingError():
            return Exit.SETTINGS, "mend the setting that the message names, and start the worker again"
        case StalledError():
            return Exit.STALLED, "start the worker again; if it comes back, run `tokentide doctor`"
        case _:
            return Exit.BUG, "start the worker again, and report this line"
