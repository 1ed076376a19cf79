"""The transport to Kafka, on kafka-python 3: idempotent, acknowledged by all replicas, never blocking.

What of kafka-python it works around (3.0.12, read and tried):

- Its constructor blocks until a broker has answered, so it runs in a short-lived thread.
- `send` blocks while the topic's partitions are unknown; they are asked for in that thread as well.
- There is no bound on its memory; the dispatcher bounds what it hands over.
- It registers an exit handler that would close it before the last events are sent; ours does that.
- Its partitioners know nothing of a record's content. Here a record's key and partition follow from its bytes
  (`routing`): one that is sent again, from the spool or by another process, meets its first copy, and workers tell
  repetitions within a partition.
- When its constructor fails it leaves sockets open.
- `close` gives up when its flush times out, and leaves its thread running.
- An idempotent client is dead after any error that is not worth a retry (a record that is too large,
  a missing permission): all that was on its way fails with that one error, and all that is sent later.
  Such a client is replaced.
- While it tries again it keeps to itself why it cannot connect, and in the end calls everything a time-out;
  its connections know, so they are asked.
- It logs keys and values at DEBUG: they are handed over in an object that shows only their size.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import threading
import warnings
import weakref
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from tokentide.errors import SettingsError
from tokentide.producers.fork_guard import no_fork
from tokentide.producers.kafka_logs import quiet
from tokentide.producers.routing import index_of, key_of
from tokentide.producers.transport import ACKED, Done, Outcome, Result

CONNECT_THREAD: Final = "tokentide-connect"
REQUEST_TIMEOUT_S: Final = 10.0
FIRST_BOOTSTRAP_S: Final = 3.0
"""How long the first try to connect may take; later ones take longer, for slow networks. It is short so
that a short program whose Kafka is not there knows so before its end."""
LAST_BOOTSTRAP_S: Final = 30.0
TOPIC_TIMEOUT_S: Final = 6.0
BLOCK_S: Final = 2.0
"""How long `send` may wait for partitions that were known once and are not any more."""
FIRST_RETRY_S: Final = 0.5
LAST_RETRY_S: Final = 15.0
LINGER_MS: Final = 5
"""On top of the packing: lets several packs for one partition share a request."""
BATCH_BYTES: Final = 131_072

ClientArguments = Mapping[str, object]
"""Addresses, encryption, login: what `tokentide.config.client_arguments` makes."""


class KafkaClient(Protocol):
    """What is used of `kafka.KafkaProducer`."""

    def send(self, topic: str, value: object, *, key: object, partition: int) -> Any:
        """Return a future with `add_callback` and `add_errback`."""
        ...

    def partitions_for(self, topic: str) -> set[int]:
        """Return the partitions, after waiting for them."""
        ...

    def close(self, timeout: float | None = None) -> None:
        """Flush and close."""
        ...


class KafkaTransport:
    """Sends records to one topic; the record time is the time of sending, the key is what `routing` says.

    It may be used without a `Producer`, to send records that are packed already (`packing.pack`): call
    `ready` until it is true, then `send`; keep what is not acknowledged yet within a bound of your own.

    Args:
        arguments: makes the client's addresses and security; called in the connecting thread.
        topic: where to send.
        compression: `auto` is lz4 where the module `lz4` is installed, else gzip.
        delivery_timeout_s: after so long a record ends as `UNAVAILABLE`.
        monotonic: seconds.
        logs: let kafka-python's own log lines through.
    """

    def __init__(
        self,
        arguments: Callable[[], ClientArguments],
        *,
        topic: str,
        compression: str = "auto",
        delivery_timeout_s: float = 30.0,
        monotonic: Callable[[], float],
        logs: bool = False,
    ) -> None:
        self._arguments = arguments
        self._topic = topic
        self._compression = compression
        self._delivery_timeout_s = delivery_timeout_s
        self._monotonic = monotonic
        self._logs = logs
        self._lock = threading.Lock()
        self._client: KafkaClient | None = None
        self._connecting: threading.Thread | None = None
        self._is_closed = False
        self._is_spent = False
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._bootstrap_s = FIRST_BOOTSTRAP_S
        self._problem: str | None = None
        self._unreached: str | None = None

    def ready(self) -> bool:
        """Return whether `send` may be called; begin to connect if not, with growing pauses."""
        if self._is_spent:
            self.reset()
        if self._client is not None:
            return True
        with self._lock:
            if self._connecting is None and not self._is_closed and self._monotonic() >= self._retry_at:
                thread = threading.Thread(target=self._connect, name=CONNECT_THREAD, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # the interpreter is ending
                    self._fails(error)
                else:
                    self._connecting = thread
        return False

    def send(self, value: bytes, done: Done) -> None:
        """Send one record; `done` is called from the client's thread, or at once where that fails."""
        client = self._client
        if client is None:
            done(Result(Outcome.UNAVAILABLE, self._problem or "not connected"))
            return
        try:
            partitions = sorted(client.partitions_for(self._topic))
            key = key_of(value)
            index = zlib.crc32(value) % len(partitions) if key is None else index_of(key, len(partitions))
            future = client.send(
                self._topic,
                Payload(value),
                key=None if key is None else Payload(key),
                partition=partitions[index],
            )
        except Exception as error:  # noqa: BLE001 - the client raises more kinds than it documents
            done(self._ended(client, error))
            return
        future.add_callback(lambda _: self._acked(done))
        future.add_errback(lambda error: done(self._ended(client, error)))

    def reset(self) -> None:
        """Give the client up, with what is on its way, and make a new one when `ready` is asked for."""
        with self._lock:
            client, self._client = self._client, None
            self._is_spent = False
        if client is not None:
            _close(client, 0.0)

    @property
    def problem(self) -> str | None:
        """Why there is no connection, or no answer: the kind of the error, in words that hold no secret."""
        return self._unreached or self._problem

    def close(self, timeout_s: float) -> None:
        """Disconnect within the time."""
        with self._lock:
            self._is_closed = True
            client, self._client = self._client, None
        if client is not None:
            _close(client, timeout_s)

    def abandon(self) -> None:
        """In a forked child: leave the parent's sockets alone and start afresh when needed."""
        if self._client is not None:
            _leave_to_parent(self._client)
        self._lock = threading.Lock()
        self._client = None
        self._connecting = None
        self._is_spent = False
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._problem = None
        self._unreached = None

    def _acked(self, done: Done) -> None:
        self._unreached = None  # one broker of several may have been away
        done(ACKED)

    def _ended(self, client: KafkaClient, error: BaseException) -> Result:
        from kafka import errors  # noqa: PLC0415 - loaded with the client

        harmless = (errors.RetriableError, errors.KafkaTimeoutError)
        if client is self._client and not isinstance(error, harmless):
            self._is_spent = True
        return result_of(error)

    def _connect(self) -> None:
        client = None
        self._unreached = None
        try:
            client = self._new_client()
            self._find_topic(client)
        except Exception as error:  # noqa: BLE001 - as above; this is the thread's outermost function
            self._fails(error)
            if client is not None:
                _close(client, 0.0)
            client = None
        with self._lock:
            self._connecting = None
            if client is not None and not self._is_closed:
                self._client, client = client, None
                self._retry_s = FIRST_RETRY_S
                self._problem = None
                self._unreached = None
        if client is not None:  # closed meanwhile
            _close(client, 0.0)

    def _not_reached(self, error: BaseException) -> None:
        self._unreached = _words_of_connection(error)

    def _find_topic(self, client: KafkaClient) -> None:
        deadline = self._monotonic() + TOPIC_TIMEOUT_S
        while True:
            try:
                client.partitions_for(self._topic)
            except Exception as error:
                if type(error).__name__ != "KafkaTimeoutError":
                    raise
                if self._monotonic() >= deadline or self._is_closed:
                    raise TopicMissingError from error
            else:
                return

    def _fails(self, error: BaseException) -> None:
        is_vague = type(error).__name__ == "KafkaTimeoutError"
        self._problem = (self._unreached if is_vague else None) or _words(error)
        self._retry_at = self._monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
        self._bootstrap_s = min(2 * self._bootstrap_s, LAST_BOOTSTRAP_S)

    def _new_client(self) -> KafkaClient:
        load_client()
        from kafka import KafkaProducer  # noqa: PLC0415 - see load_client
        from kafka.net.compat import KafkaNetClient  # noqa: PLC0415

        arguments = dict(self._arguments())
        if not self._logs:
            quiet([CONNECT_THREAD, "tokentide-sender", f"{arguments['client_id']}-network-thread"])
        arguments["request_timeout_ms"] = _ms(min(REQUEST_TIMEOUT_S, self._delivery_timeout_s / 2))
        networks: list[Any] = []

        def new_network(**configs: object) -> Any:
            networks.append(KafkaNetClient(**configs))
            _listen(networks[-1], self._not_reached)
            return networks[-1]

        client: KafkaClient = _or_closed(
            networks,
            KafkaProducer,
            **arguments,
            kafka_client=new_network,
            key_serializer=payload_serializer(),
            value_serializer=payload_serializer(),
            acks="all",
            enable_idempotence=True,
            compression_type=_codec(self._compression),
            linger_ms=LINGER_MS,
            batch_size=BATCH_BYTES,
            max_request_size=4 * 1_048_576,  # the broker is to judge the size, after compression
            max_block_ms=_ms(BLOCK_S),
            bootstrap_timeout_ms=_ms(self._bootstrap_s),
            delivery_timeout_ms=_ms(self._delivery_timeout_s),
            reconnect_backoff_ms=100,
            reconnect_backoff_max_ms=2000,
            allow_auto_create_topics=False,  # by chance with one partition; `tokentide init` does it right
            metrics_enabled=False,
        )
        cleanup = getattr(client, "_cleanup", None)
        if cleanup is not None:
            atexit.unregister(cleanup)
        return client


def load_client() -> None:
    """Import kafka-python, when it is first needed: that takes about a quarter of a second.

    On Python 3.11 and 3.12 it warns of its own use of a deprecated function. Where the application turns
    warnings into errors that must not keep the events from Kafka. The filters are the whole process's,
    so they are only touched in that case.

    What Python itself loads with the first look-up of a host is loaded here too: see `fork_guard`.
    """
    with no_fork():
        importlib.import_module("encodings.idna")
        try:
            importlib.import_module("kafka")
        except Warning:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module("kafka")


def _listen(network: Any, on_loss: Callable[[BaseException], None]) -> None:
    """Be told why a connection cannot be made, or ends; the client has no public way to ask.

    Where a later version is built differently nothing is told, and a time-out stays a time-out.
    """
    manager = getattr(network, "_manager", None)
    connection_of = getattr(manager, "get_connection", None)
    if manager is None or connection_of is None:
        return
    known: weakref.WeakSet[Any] = weakref.WeakSet()

    def get_connection(*args: object, **options: object) -> Any:
        connection = connection_of(*args, **options)
        with suppress(Exception):
            if connection not in known:
                known.add(connection)
                connection.close_future.add_errback(on_loss)
        return connection

    manager.get_connection = get_connection


def _or_closed(networks: list[Any], make: Callable[..., KafkaClient], **arguments: object) -> KafkaClient:
    """Make a client, or close the network part that it leaves open when it fails.

    That part is a cycle of objects with three open files. While a broker is away for a night these would
    become so many that the application has none left for itself.
    """
    try:
        return make(**arguments)
    except BaseException:
        for network in networks:
            with suppress(Exception):
                network.close()
        raise


class TopicMissingError(Exception):
    """The broker did not name the topic's partitions in time."""


class Payload:
    """A record's key or value for the client: its representation, which the client logs, is only the size."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<{len(self.value)} bytes>"


def payload_serializer() -> object:
    """Unpack for the client what keeps it from logging events, see `Payload`; a missing key stays missing."""
    from kafka.serializer import Serializer  # noqa: PLC0415 - loaded with the client

    class PayloadSerializer(Serializer):  # type: ignore[misc] # kafka-python is untyped
        def serialize(self, topic: str, headers: object, data: Payload | None) -> bytes | None:
            del topic, headers
            return None if data is None else data.value

    return PayloadSerializer()


def result_of(error: BaseException) -> Result:
    """Map an error of kafka-python to an outcome, by its class."""
    from kafka import errors  # noqa: PLC0415 - loaded with the client

    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        return Result(Outcome.TOO_LARGE, _words(error))
    if isinstance(error, errors.InvalidRecordError | errors.UnsupportedForMessageFormatError):
        return Result(Outcome.REFUSED, _words(error))
    return Result(Outcome.UNAVAILABLE, _words(error))


_REMEDIES: Final[Mapping[str, str]] = {
    # A broker that refuses a password just hangs up, and the client then tries until its time is over.
    "KafkaTimeoutError": "is a broker running at bootstrap_servers, and do encryption and login fit?",
    "TopicMissingError": "the broker answers, but the topic is not there: create it with `tokentide init`",
    "UnknownTopicOrPartitionError": "the topic does not exist: create it with `tokentide init`",
    "TopicAuthorizationFailedError": "the user may not write to the topic",
    "ClusterAuthorizationFailedError": "the user may not write idempotently: allow IdempotentWrite",
    "SaslAuthenticationFailedError": "the broker refuses the user or the password",
}


_OF_CONNECTIONS: Final[Mapping[str, str]] = {
    # What its texts are known by, and ours, which repeat nothing of them.
    "ECONNREFUSED": "connection refused: is a broker running there?",
    "DNS Resolution failure": "the host name is not known",
    "ENETUNREACH": "there is no route to the host",
    "EHOSTUNREACH": "there is no route to the host",
    "Connection timed out": "time-out while connecting: is the address right, and the port open?",
    "Handshake failed": "the TLS handshake failed: does the broker encrypt, and do the certificates fit?",
}


def _words_of_connection(error: BaseException) -> str | None:
    text = str(error)
    return next((ours for theirs, ours in _OF_CONNECTIONS.items() if theirs in text), None)


def _words(error: BaseException) -> str:
    """The kind of the error and what to do; not its text, which may hold addresses with passwords."""
    if isinstance(error, SettingsError):
        return str(error)  # which never holds a value
    name = type(error).__name__
    remedy = _REMEDIES.get(name)
    return f"{name}: {remedy}" if remedy else name


def _codec(compression: str) -> str | None:
    if compression == "auto":
        return "lz4" if importlib.util.find_spec("lz4") else "gzip"
    return None if compression == "none" else compression


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _close(client: KafkaClient, timeout_s: float) -> None:
    try:
        client.close(timeout=timeout_s)
    except Exception:  # noqa: BLE001 - a flush that timed out; the client is still open
        sender = getattr(client, "_sender", None)
        with suppress(Exception):
            sender.force_close()  # type: ignore[union-attr] # of no public name; suppressed if it goes
    _disarm(client)


def _disarm(client: KafkaClient) -> None:
    """Have the client's destructor do nothing: it would wait a second in whatever thread it runs."""
    client._closed = True  # type: ignore[attr-defined] # noqa: SLF001 - what its `close` asks first


def _leave_to_parent(client: KafkaClient) -> None:
    """Keep the copy of the parent's client from being closed in this process, by anyone.

    Its sockets and its epoll are shared with the parent: closing TLS would end the parent's session,
    and its destructor would wait for a thread that does not exist here.
    """
    _disarm(client)
    _PARENTS_CLIENTS.append(client)


_PARENTS_CLIENTS: Final[list[KafkaClient]] = []
