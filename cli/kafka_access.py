"""Kafka for the command line: open clients, turn their errors into ours.

Everything uses kafka-python, which is in the base install. The worker has its own client.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tokentide.cli.exits import CliError, NotReadyError, RefusedError, UnreachableError
from tokentide.cli.kafka_trouble import TROUBLE
from tokentide.cli.terminal import clipped, printable
from tokentide.config import KafkaSettings, client_arguments
from tokentide.config.kafka_diagnosis import diagnose

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from kafka.admin import KafkaAdminClient

BOOTSTRAP_MS: Final = 8_000
"""How long a command waits for the first answer of a broker."""
RIGHTS: Final = (
    "The login needs READ and WRITE on the topics, READ on the group, and CREATE for `tokentide init`."
)


@contextmanager
def admin_client(kafka: KafkaSettings) -> Iterator[KafkaAdminClient]:
    """A client for administration.

    Raises:
        UnreachableError, RefusedError, NotReadyError: also from within the block, for Kafka's own errors.
    """
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 - commands without Kafka need not load it

    with kafka_errors(kafka):
        client = KafkaAdminClient(**client_arguments(kafka), bootstrap_timeout_ms=BOOTSTRAP_MS)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def consumer(kafka: KafkaSettings, **more: object) -> Iterator[KafkaConsumer]:
    """A consumer that commits nothing and joins no group.

    Raises:
        UnreachableError, RefusedError, NotReadyError: also from within the block, for Kafka's own errors.
    """
    from kafka import KafkaConsumer  # noqa: PLC0415 - commands without Kafka need not load it

    arguments: dict[str, Any] = {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "allow_auto_create_topics": False,
        "isolation_level": "read_committed",  # as workers read: what a transaction took back is nobody's to store
        "fetch_max_wait_ms": 50,  # a look at the end of a partition should not block the next one
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        **client_arguments(kafka),
        **more,
    }
    with kafka_errors(kafka):
        client = KafkaConsumer(**arguments)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def kafka_errors(kafka: KafkaSettings) -> Iterator[None]:
    """Turn the client's errors into ours."""
    from kafka import errors  # noqa: PLC0415 - commands without Kafka need not load it

    TROUBLE.forget()
    try:
        yield
    except errors.KafkaError as error:
        raise _ours(error, TROUBLE.error, kafka) from error


def may_pass(error: Exception) -> bool:
    """Whether an error of the client, or one of ours, may be gone in a moment: leaders move, brokers start, connections break."""
    if isinstance(error, CliError):
        return error.may_pass
    from kafka import errors  # noqa: PLC0415 - commands without Kafka need not load it

    lasting = (errors.UnknownTopicOrPartitionError, errors.UnknownTopicIdError)
    return isinstance(error, errors.KafkaError) and error.retriable and not isinstance(error, lasting)


def _ours(error: Exception, trouble: BaseException | None, kafka: KafkaSettings) -> CliError:
    """An error of the client; `trouble` is what it logged of its connections meanwhile."""
    from kafka import errors  # noqa: PLC0415 - commands without Kafka need not load it

    where = f"Kafka at {','.join(kafka.bootstrap_servers)}"
    gave_up = (
        errors.KafkaTimeoutError,
        errors.KafkaConnectionError,
        errors.NodeNotReadyError,
        errors.MetadataEmptyBrokerList,
    )
    if isinstance(error, gave_up) and isinstance(trouble, errors.SaslAuthenticationFailedError):
        error = trouble
    name = type(error).__name__.removesuffix("Error")
    match error:
        case errors.SaslAuthenticationFailedError():
            return RefusedError(
                f"{where} refused the login of {kafka.sasl_username}",
                hint="Check kafka.sasl_username, kafka.sasl_password and kafka.sasl_mechanism.",
            )
        case (
            errors.TopicAuthorizationFailedError()
            | errors.GroupAuthorizationFailedError()
            | errors.ClusterAuthorizationFailedError()
        ):
            return RefusedError(f"{where} denied access ({name})", hint=RIGHTS)
        case errors.UnsupportedCodecError():
            return NotReadyError(
                "the records are compressed in a way that this Python cannot read",
                hint="pip install 'tokentide[stream]'",
            )
        case errors.UnknownTopicOrPartitionError():
            return NotReadyError("a topic is missing", hint="`tokentide init` creates the topics.")
        case _ if isinstance(error, gave_up) and (found := diagnose(kafka)) is not None:
            if found.kind == "login":
                return RefusedError(f"Kafka at {found.what}", hint=found.remedy)
            return UnreachableError(f"Kafka at {found.what}", hint=found.remedy, may_pass=found.may_pass)
        case _ if isinstance(error, gave_up):
            reason = f": {_reason(trouble)}" if trouble is not None else ""
            hint = (
                "Check TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS, and kafka.security_protocol "
                f"(now {kafka.security_protocol}): a broker that expects another one does not answer."
            )
            if kafka.uses_sasl:
                hint += (
                    "\nA refused login may show as a closed connection: "
                    "check kafka.sasl_username, kafka.sasl_password and kafka.sasl_mechanism, too."
                )
            return UnreachableError(f"{where} does not answer{reason}", hint=hint, may_pass=True)
        case _ if may_pass(error):
            return UnreachableError(
                f"{where} cannot answer yet ({name})",
                hint="A broker starts, or partitions get another leader: try again in some seconds. "
                "If it stays, see that all brokers run.",
                may_pass=True,
            )
        case _:
            return RefusedError(f"{where} answered with an error ({name})")


def _reason(trouble: BaseException) -> str:
    """The last words of a connection, without the client's frame around them."""
    text = str(trouble).removeprefix(f"{type(trouble).__name__}: ")
    number = text.partition(" ")[0]
    if number.isdecimal():  # `111 ECONNREFUSED`
        text = os.strerror(int(number)).lower()
    return clipped(printable(text), 160)


def partitions_of(client: KafkaConsumer, topic: str) -> list[int]:
    """Partitions of a topic, in order.

    Raises:
        NotReadyError: no such topic.
    """
    found = client.partitions_for_topic(topic)
    if not found:
        raise NotReadyError(f"the topic {topic} does not exist", hint="`tokentide init` creates the topics.")
    return sorted(found)


def begin_offsets(client: KafkaConsumer, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """First offset still there, by partition."""
    from kafka import TopicPartition  # noqa: PLC0415 - loaded by now

    found = client.beginning_offsets([TopicPartition(topic, partition) for partition in partitions])
    return {place.partition: offset for place, offset in found.items()}
