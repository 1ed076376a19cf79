"""The transport with a client of our own making; with real brokers it is tested in tests/integration."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.waiting import HANGING_S, until
from tokentide.config import KafkaSettings, client_arguments
from tokentide.producers.kafka_logs import quiet
from tokentide.producers.kafka_transport import (
    _OF_CONNECTIONS,
    _REMEDIES,
    KafkaTransport,
    Payload,
    _codec,
    _listen,
    _or_closed,
    _words_of_connection,
    load_client,
    payload_serializer,
    result_of,
)
from tokentide.producers.transport import ACKED, Outcome, Result

load_client()

from kafka import errors  # noqa: E402 - warnings are errors here, and it warns when it is loaded
from kafka.partitioner import murmur2  # noqa: E402 - as above


class FakeFuture:
    def __init__(self) -> None:
        self.on_success: Callable[[object], None] | None = None
        self.on_error: Callable[[BaseException], None] | None = None

    def add_callback(self, function: Callable[[object], None]) -> None:
        self.on_success = function

    def add_errback(self, function: Callable[[BaseException], None]) -> None:
        self.on_error = function


class FakeClient:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Payload, FakeFuture]] = []
        self.partitions = {0}
        self.sent_to: list[int] = []
        self.keys: list[Payload | None] = []
        self.closed_after: list[float | None] = []
        self.partitions_error: Exception | None = None
        self.send_error: Exception | None = None

    def partitions_for(self, topic: str) -> set[int]:
        assert topic == "llm.events"
        if self.partitions_error:
            raise self.partitions_error
        return self.partitions

    def send(self, topic: str, value: Payload, *, key: Payload | None, partition: int) -> FakeFuture:
        if self.send_error:
            raise self.send_error
        future = FakeFuture()
        self.sent.append((topic, value, future))
        self.sent_to.append(partition)
        self.keys.append(key)
        return future

    def close(self, timeout: float | None = None) -> None:
        self.closed_after.append(timeout)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def transport(client, clock, monkeypatch) -> KafkaTransport:
    made = KafkaTransport(
        lambda: {"bootstrap_servers": ["a:1"]}, topic="llm.events", monotonic=clock.monotonic
    )
    monkeypatch.setattr(made, "_new_client", lambda: client)
    return made


def connected(transport: KafkaTransport) -> bool:
    """Ask for a connection and wait for the thread that makes it."""
    transport.ready()
    for thread in threading.enumerate():
        if thread.name == "tokentide-connect":
            thread.join(HANGING_S)
    return transport.ready()


def test_it_connects_in_the_background(transport):
    assert not transport.ready()
    assert connected(transport)
    assert transport.problem is None


def test_a_record_is_sent_without_key_and_its_end_is_reported(transport, client):
    assert connected(transport)
    results: list[Result] = []
    transport.send(b"one", results.append)
    transport.send(b"two", results.append)
    (topic, payload, first), (_, _, second) = client.sent
    assert client.keys == [None, None]
    assert (topic, payload.value) == ("llm.events", b"one")
    first.on_success(None)
    second.on_error(errors.KafkaTimeoutError())
    assert results[0] is ACKED
    assert results[1].outcome is Outcome.UNAVAILABLE


def test_a_record_that_is_sent_again_goes_where_its_first_copy_went(transport, client):
    client.partitions = {0, 1, 2, 5}
    assert connected(transport)
    values = [b'[{"event_id":"%d"}]' % number for number in range(100)]
    for value in values:
        transport.send(value, lambda _: None)
    for value in reversed(values):
        transport.send(value, lambda _: None)
    assert client.sent_to[:100] == client.sent_to[:99:-1]
    assert set(client.sent_to) == client.partitions


def test_the_parts_of_a_call_have_its_request_id_as_key_and_its_partition_each_time(transport, client):
    client.partitions = {0, 1, 2, 5}
    assert connected(transport)
    for _ in ("first", "again"):
        for number in range(50):
            for kind in ("request", "response", "evaluation"):
                part = {"event_type": kind, "request_id": f"é-{number}", "event_id": kind}
                transport.send(json.dumps(part).encode(), lambda _: None)
    keys = [key.value.decode() for key in client.keys]
    assert keys == [f"é-{number}" for number in range(50) for _ in range(3)] * 2
    expected = [[0, 1, 2, 5][murmur2(key.encode()) % 2**31 % 4] for key in keys]
    assert client.sent_to == expected
    assert set(expected) == client.partitions


def test_what_the_client_may_log_of_a_key_is_its_size(transport, client):
    assert connected(transport)
    transport.send(b'{"event_type":"request","request_id":"canary"}', lambda _: None)
    assert repr(client.keys) == "[<6 bytes>]"


def test_the_client_is_given_key_and_value_unpacked_and_a_missing_key_as_missing():
    serializer = payload_serializer()
    assert serializer.serialize("t", [], Payload(b"k")) == b"k"
    assert serializer.serialize("t", [], None) is None


def test_before_it_is_connected_a_record_ends_at_once(transport):
    results: list[Result] = []
    transport.send(b"one", results.append)
    assert results == [Result(Outcome.UNAVAILABLE, "not connected")]


def test_a_client_that_raises_ends_the_record(transport, client):
    assert connected(transport)
    results: list[Result] = []
    client.send_error = errors.MessageSizeTooLargeError("12 bytes")
    transport.send(b"one", results.append)
    assert results[0].outcome is Outcome.TOO_LARGE


def test_after_a_failure_it_waits_longer_each_time_up_to_a_bound(transport, client, clock, monkeypatch):
    tries: list[float] = []

    def fail() -> FakeClient:
        tries.append(clock.now_s)
        raise errors.KafkaTimeoutError

    monkeypatch.setattr(transport, "_new_client", fail)
    for _ in range(400):
        assert not connected(transport)
        clock.advance(0.25)
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert pauses[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert set(pauses[5:]) == {15.0}
    assert transport.problem == (
        "KafkaTimeoutError: is a broker running at bootstrap_servers, and do encryption and login fit?"
    )
    monkeypatch.setattr(transport, "_new_client", lambda: client)
    clock.advance(15)
    assert connected(transport)
    assert transport.problem is None


def test_a_topic_that_is_not_there_is_named_and_the_client_closed(transport, client, clock, monkeypatch):
    def wait_in_vain(_: str) -> set[int]:
        clock.advance(2)
        raise errors.KafkaTimeoutError

    monkeypatch.setattr(client, "partitions_for", wait_in_vain)
    assert not connected(transport)
    assert transport.problem is not None
    assert "create it with `tokentide init`" in transport.problem
    assert client.closed_after == [0.0]


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port that is taken, but nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def new_real(monkeypatch) -> Iterator[Callable[[str], KafkaTransport]]:
    """Make transports with a real client that gives up after a second; use it with `LEAVES_SOCKETS`."""
    monkeypatch.setattr("tokentide.producers.kafka_transport.FIRST_BOOTSTRAP_S", 1.0)
    made: list[KafkaTransport] = []

    def make(server: str) -> KafkaTransport:
        arguments = {"bootstrap_servers": [server], "client_id": "test"}
        made.append(KafkaTransport(lambda: arguments, topic="llm.events", monotonic=time.monotonic))
        return made[-1]

    yield make
    for transport in made:
        if transport._connecting is not None:
            transport._connecting.join(HANGING_S)
        transport.close(0.0)
    gc.collect()


LEAVES_SOCKETS = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
"""kafka-python leaves those of refused connections to the collector."""


@LEAVES_SOCKETS
def test_a_refused_connection_is_called_so_at_once_and_afterwards(new_real, refusing_port):
    transport = new_real(f"127.0.0.1:{refusing_port}")
    transport.ready()
    until(lambda: transport.problem)
    attempt = transport._connecting
    assert attempt is not None  # it still tries
    assert transport.problem == "connection refused: is a broker running there?"
    attempt.join(HANGING_S)
    assert transport._problem == "connection refused: is a broker running there?"


@LEAVES_SOCKETS
def test_a_host_that_nobody_knows_is_called_so(new_real):
    transport = new_real("broker.invalid:9092")
    transport.ready()
    until(lambda: transport.problem)
    assert transport.problem == "the host name is not known"


@LEAVES_SOCKETS
def test_a_broker_that_accepts_and_says_nothing_is_still_a_time_out(new_real):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        transport = new_real(f"127.0.0.1:{mute.getsockname()[1]}")
        transport.ready()
        until(lambda: transport.problem)
    assert transport.problem == f"KafkaTimeoutError: {_REMEDIES['KafkaTimeoutError']}"


def test_an_acknowledgement_ends_what_was_said_of_a_connection(transport, client):
    assert connected(transport)
    transport._not_reached(errors.KafkaConnectionError("111 ECONNREFUSED"))
    assert transport.problem == "connection refused: is a broker running there?"
    results: list[Result] = []
    transport.send(b"one", results.append)
    client.sent[0][2].on_success(None)
    assert results == [ACKED]
    assert transport.problem is None


def test_a_client_that_is_built_differently_is_used_all_the_same():
    _listen(object(), pytest.fail)


def test_what_is_said_of_a_connection_never_repeats_the_text_of_an_error():
    for theirs in _OF_CONNECTIONS:
        error = errors.KafkaConnectionError(f"{theirs} kafka://user:canary@broker")
        assert "canary" not in str(_words_of_connection(error))
    assert _words_of_connection(errors.KafkaConnectionError("canary")) is None


def test_a_problem_never_repeats_the_text_of_an_error(transport, monkeypatch):
    def fail() -> FakeClient:
        raise ValueError("kafka://user:canary@broker")

    monkeypatch.setattr(transport, "_new_client", fail)
    assert not connected(transport)
    assert transport.problem == "ValueError"


def test_a_certificate_that_cannot_be_used_is_named(clock):
    settings = KafkaSettings(security_protocol="SSL", tls_ca_file=Path("/nonexistent/ca.pem"))
    transport = KafkaTransport(
        lambda: client_arguments(settings), topic="llm.events", monotonic=clock.monotonic
    )
    assert not connected(transport)
    assert transport.problem is not None
    assert "a certificate or key cannot be used" in transport.problem


def test_closed_while_it_connects_it_closes_what_comes_out(transport, client, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(transport, "_new_client", lambda: (go_on.wait(HANGING_S), client)[1])
    transport.ready()
    transport.close(1.0)
    go_on.set()
    assert not connected(transport)
    assert client.closed_after == [0.0]


def test_closing_hands_the_time_on_and_is_final(transport, client):
    assert connected(transport)
    transport.close(1.5)
    assert client.closed_after == [1.5]
    assert not connected(transport)


def test_a_client_whose_flush_fails_is_closed_by_force(transport, client, monkeypatch):
    class Sender:
        is_forced = False

        def force_close(self) -> None:
            self.is_forced = True

    def fail(**_: object) -> None:
        raise errors.KafkaTimeoutError

    client._sender = Sender()
    monkeypatch.setattr(client, "close", fail)
    assert connected(transport)
    transport.close(0.0)
    assert client._sender.is_forced


def test_a_client_is_replaced_after_an_error_that_kills_it_and_kept_after_others(
    transport, client, monkeypatch
):
    assert connected(transport)
    results: list[Result] = []
    for number, error in enumerate((errors.KafkaTimeoutError(), errors.NotEnoughReplicasError())):
        transport.send(b"one", results.append)
        client.sent[number][2].on_error(error)
        assert transport.ready()
    transport.send(b"one", results.append)
    client.sent[2][2].on_error(errors.MessageSizeTooLargeError())
    successor = FakeClient()
    monkeypatch.setattr(transport, "_new_client", lambda: successor)
    assert connected(transport)
    assert client.closed_after == [0.0]
    transport.send(b"two", results.append)
    assert len(successor.sent) == 1


def test_an_error_of_a_client_that_was_replaced_does_not_harm_its_successor(transport, client, monkeypatch):
    assert connected(transport)
    results: list[Result] = []
    transport.send(b"one", results.append)
    transport.reset()
    monkeypatch.setattr(transport, "_new_client", FakeClient)
    assert connected(transport)
    client.sent[0][2].on_error(errors.IllegalStateError())
    assert results[0].outcome is Outcome.UNAVAILABLE
    assert transport.ready()


def test_a_forked_child_does_not_touch_the_parent_s_client(transport, client):
    assert connected(transport)
    transport.abandon()
    assert client.closed_after == []
    assert client._closed is True
    assert connected(transport)


def test_what_a_failed_client_leaves_open_is_closed():
    """Or a night without a broker would use up the application's files."""
    closed: list[str] = []

    class Network:
        def close(self) -> None:
            closed.append("network")

    def fail(**_: object) -> FakeClient:
        raise errors.KafkaTimeoutError

    with pytest.raises(errors.KafkaTimeoutError):
        _or_closed([Network()], fail)
    assert closed == ["network"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.MessageSizeTooLargeError(), Outcome.TOO_LARGE),
        (errors.RecordListTooLargeError(), Outcome.TOO_LARGE),
        (errors.InvalidRecordError(), Outcome.REFUSED),
        (errors.TopicAuthorizationFailedError("x"), Outcome.UNAVAILABLE),
        (errors.UnknownTopicOrPartitionError(), Outcome.UNAVAILABLE),
        (errors.NotEnoughReplicasError(), Outcome.UNAVAILABLE),
        (errors.KafkaTimeoutError(), Outcome.UNAVAILABLE),
        (errors.IllegalStateError(), Outcome.UNAVAILABLE),
        (OSError(), Outcome.UNAVAILABLE),
    ],
)
def test_errors_are_mapped_by_their_class(error, outcome):
    assert result_of(error).outcome is outcome


def test_remedies_are_for_errors_that_exist():
    ours = {"TopicMissingError"}
    assert {name for name in _REMEDIES if not hasattr(errors, name)} == ours


def test_the_client_sees_only_the_size_of_a_value():
    assert repr(Payload(b"prompt-canary")) == "<13 bytes>"


def test_without_lz4_the_compression_is_gzip(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert _codec("auto") == "lz4"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert (_codec("auto"), _codec("lz4"), _codec("none")) == ("gzip", "lz4", None)


def test_the_client_s_log_lines_are_dropped_in_our_threads_only(caplog):
    caplog.set_level(logging.DEBUG)
    theirs = logging.getLogger("kafka.net.transport")
    quiet(["ours"])
    for name in ("ours", "theirs"):
        thread = threading.Thread(target=lambda: theirs.error(threading.current_thread().name), name=name)
        thread.start()
        thread.join()
    assert caplog.messages == ["theirs"]
