"""The blocking sink for Kafka: packed records, each acknowledged by all replicas, or an error."""

from __future__ import annotations

import importlib.util
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from tokentide.producers.compact_json import encode_event
from tokentide.producers.event_sink import Event
from tokentide.producers.kafka_transport import Payload, load_client, payload_serializer
from tokentide.producers.packing import pack
from tokentide.producers.routing import index_of, key_of, travels_alone
from tokentide.producers.traffic_errors import ConnectError, DeliveryError
from tokentide.schemas.limits import MAX_RECORD_BYTES

PACK_BYTES: Final = 65_536
"""A packed record is closed at this size: far below the limit of a record, and few records per second."""
PACK_EVENTS: Final = 500
IN_FLIGHT_BYTES: Final = 16_000_000
"""Bytes handed to the client and not acknowledged; above it sending waits. Bounds memory."""
LINGER_S: Final = 1.0
"""An open pack is sent after this time, if only events keep coming; see `push` for when they do not."""
DELIVERY_TIMEOUT_S: Final = 120.0
METADATA_TIMEOUT_S: Final = 10.0


class Acknowledgement(Protocol):
    """What kafka-python returns for a record sent."""

    @property
    def is_done(self) -> bool:
        """The broker has answered, or the client has given up."""

    def get(self, timeout: float | None = None) -> object:
        """Wait for the answer; raises `KafkaError` where there is none or a refusal."""


class RecordProducer(Protocol):
    """The part of `kafka.KafkaProducer` that is used."""

    def partitions_for(self, topic: str) -> Iterable[int] | None:
        """The topic's partitions; raises `KafkaError` where they cannot be told."""

    def send(self, topic: str, value: Payload, *, key: Payload | None, partition: int) -> Acknowledgement:
        """Take a record; raises `KafkaError` where it cannot be taken."""

    def close(self, timeout: float | None = None) -> None:
        """End the connection."""


class _Sent(NamedTuple):
    answer: Acknowledgement
    events: int
    size_bytes: int


class _Waiting:
    """Events for one partition that wait for company."""

    __slots__ = ("events", "size_bytes")

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.size_bytes = 0


class KafkaSink:
    """Events as packed records of a Kafka topic.

    An event's partition follows from its id alone, so that an event that is sent again lands where the
    first one did, however it was packed: workers recognise repetitions within a partition. The partition of
    parts of calls and of evaluations follows from their `request_id`; each is a record of its own, sent at once, so
    that those of one `request_id` keep their order.
    """

    def __init__(
        self,
        producer: RecordProducer,
        topic: str,
        *,
        pack_bytes: int = PACK_BYTES,
        pack_events: int = PACK_EVENTS,
        in_flight_bytes: int = IN_FLIGHT_BYTES,
        timeout_s: float = DELIVERY_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._pack_bytes = pack_bytes
        self._pack_events = pack_events
        self._in_flight_limit = in_flight_bytes
        self._timeout_s = timeout_s
        self._partitions = sorted(producer.partitions_for(topic) or ())
        if not self._partitions:
            raise ConnectError(f"topic {topic!r} has no partitions; create it with `tokentide init`")
        self._packs = [_Waiting() for _ in self._partitions]
        self._sent: deque[_Sent] = deque()
        self._in_flight_bytes = 0
        self._acknowledged = 0
        self._is_broken = False
        self._clock = clock
        self._push_at_s = clock() + LINGER_S

    @property
    def acknowledged(self) -> int:
        """Events in records that all in-sync replicas have."""
        self._collect_done()
        return self._acknowledged

    def send(self, event: Event | bytes, event_id: str | None = None) -> None:
        """Pack one event; waits while too much is unacknowledged.

        Raises:
            DeliveryError: an earlier record was refused or timed out.
        """
        if isinstance(event, bytes):
            line, place = event, event_id.encode() if event_id is not None else event
        else:
            line, place = encode_event(event), str(event.get("event_id", "")).encode()
        index = zlib.crc32(place) % len(self._packs)
        if travels_alone(line):
            key = key_of(line)
            self._send_record(index if key is None else index_of(key, len(self._packs)), line, 1, key)
        else:
            self._add_to_pack(index, line)
        if self._clock() >= self._push_at_s:
            self.push()

    def _add_to_pack(self, index: int, line: bytes) -> None:
        waiting = self._packs[index]
        if waiting.events and waiting.size_bytes + len(line) > self._pack_bytes:
            self._send_pack(index)
            waiting = self._packs[index]
        waiting.events.append(line)
        waiting.size_bytes += len(line) + 2
        if len(waiting.events) >= self._pack_events or waiting.size_bytes >= self._pack_bytes:
            self._send_pack(index)

    def send_alone(self, value: bytes) -> None:
        """Send bytes as they are; waits while too much is unacknowledged.

        Raises:
            DeliveryError: an earlier record was refused or timed out.
        """
        self._send_record(zlib.crc32(value) % len(self._packs), value, 1)

    def push(self) -> None:
        """Send the open packs.

        Raises:
            DeliveryError: an earlier record was refused or timed out.
        """
        self._push_at_s = self._clock() + LINGER_S
        for index in range(len(self._packs)):
            self._send_pack(index)

    def flush(self) -> None:
        """Send the open packs and wait for every acknowledgement.

        Raises:
            DeliveryError: a record was refused or timed out.
        """
        self.push()
        while self._sent:
            self._await_oldest()

    def close(self) -> None:
        """Flush and end the connection, which is ended also when the flush fails.

        After a `DeliveryError` nothing more is sent: what is still held was never promised.

        Raises:
            DeliveryError: a record was refused or timed out.
        """
        try:
            if not self._is_broken:
                self.flush()
        finally:
            self._producer.close(timeout=1.0)

    def _send_pack(self, index: int) -> None:
        waiting = self._packs[index]
        if not waiting.events:
            return
        self._packs[index] = _Waiting()
        value, events = pack(waiting.events)
        self._send_record(index, value, events)

    def _send_record(self, index: int, value: bytes, events: int, key: bytes | None = None) -> None:
        self._collect_done()
        while self._sent and self._in_flight_bytes + len(value) > self._in_flight_limit:
            self._await_oldest()
        try:
            answer = self._producer.send(
                self._topic,
                Payload(value),
                key=None if key is None else Payload(key),
                partition=self._partitions[index],
            )
        except _kafka_errors() as error:
            raise self._failed(error) from error
        self._sent.append(_Sent(answer, events, len(value)))
        self._in_flight_bytes += len(value)

    def _collect_done(self) -> None:
        while self._sent and self._sent[0].answer.is_done:
            self._await_oldest()

    def _await_oldest(self) -> None:
        sent = self._sent.popleft()
        try:
            sent.answer.get(timeout=self._timeout_s)
        except _kafka_errors() as error:
            raise self._failed(error) from error
        self._in_flight_bytes -= sent.size_bytes
        self._acknowledged += sent.events

    def _failed(self, error: Exception) -> DeliveryError:
        self._is_broken = True
        # Only the kind: the text of such an error may hold an address with its password.
        reason = f"Kafka did not acknowledge a record of topic {self._topic!r} ({type(error).__name__})"
        return DeliveryError(reason, acknowledged=self._acknowledged)


def open_kafka_sink(
    bootstrap_servers: str | list[str],
    topic: str,
    *,
    connection: Mapping[str, Any] | None = None,
    timeout_s: float = METADATA_TIMEOUT_S,
) -> KafkaSink:
    """Connect, and find the topic's partitions.

    Args:
        bootstrap_servers: `host:port`, one or several.
        topic: must exist; it is not created here, because its number of partitions is a decision.
        connection: further arguments of `kafka.KafkaProducer`, such as `security_protocol`, `ssl_context`
            and `sasl_*`.
        timeout_s: how long to wait for a broker and for the topic.

    Raises:
        ConnectError: no broker answers, the topic is missing, or access is refused.
    """
    load_client()
    from kafka import KafkaProducer  # noqa: PLC0415 - tools that write to standard output need no client
    from kafka.net.compat import KafkaNetClient  # noqa: PLC0415

    clients: list[Any] = []

    def remembered_client(**arguments: Any) -> Any:
        clients.append(KafkaNetClient(**arguments))
        return clients[-1]

    try:
        producer = KafkaProducer(
            **{
                "key_serializer": payload_serializer(),
                "value_serializer": payload_serializer(),
                "bootstrap_servers": bootstrap_servers,
                "client_id": "tokentide-bulk",
                "acks": "all",
                "enable_idempotence": True,
                "compression_type": "lz4" if importlib.util.find_spec("lz4") else "gzip",
                "linger_ms": 10,
                "batch_size": 262_144,
                "max_request_size": 2 * MAX_RECORD_BYTES,
                "max_block_ms": int(timeout_s * 1000),
                "bootstrap_timeout_ms": int(timeout_s * 1000),
                "delivery_timeout_ms": int(DELIVERY_TIMEOUT_S * 1000),
                "allow_auto_create_topics": False,
                "metrics_enabled": False,
                "kafka_client": remembered_client,
                **(connection or {}),
            }
        )
    except _kafka_errors() as error:
        # The producer gives up in its constructor and leaves its sockets open (kafka-python 3.0.12).
        for client in clients:
            client.close()
        raise ConnectError(
            f"no Kafka broker answers at {_named(bootstrap_servers)} ({type(error).__name__})"
        ) from error
    try:
        return KafkaSink(producer, topic)
    except _kafka_errors() as error:
        producer.close(timeout=0)
        raise ConnectError(
            f"topic {topic!r} cannot be used ({type(error).__name__}); create it with `tokentide init`, "
            "or check the topic prefix and the rights of the login"
        ) from error
    except ConnectError:
        producer.close(timeout=0)
        raise


def _named(bootstrap_servers: str | list[str]) -> str:
    return bootstrap_servers if isinstance(bootstrap_servers, str) else ", ".join(bootstrap_servers)


def _kafka_errors() -> tuple[type[Exception], ...]:
    load_client()
    from kafka.errors import KafkaError  # noqa: PLC0415 - see open_kafka_sink

    return (KafkaError,)
