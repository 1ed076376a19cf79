"""The readiness check of brokers tells a Kafka from everything else that may listen on a port."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.support.ports import unused_port
from tokentide.embedded.kafka_probe import kafka_health


@pytest.fixture
def answering():
    """Starts a server that answers each connection with given bytes, or not at all; returns its port."""
    servers = []

    def start(answer: bytes | None) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        held = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    connection.recv(4096)
                    if answer is None:
                        held.append(connection)
                        continue
                    connection.sendall(answer)
                    connection.close()
                except OSError:
                    break
            for connection in held:
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_nobody_there():
    port = unused_port()
    assert kafka_health("127.0.0.1", port) == f"no connection to 127.0.0.1:{port}: Connection refused"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="http"),
        pytest.param(b"\x00\x00\x00\x04\x00\x00\x00\x01", id="an_answer_without_body"),
        pytest.param(b"\x00\x00\x00\x10\x00\x00\x00\x01" + b"\xff" * 12, id="garbage_in_the_body"),
        pytest.param(b"\x00\x00\x00\x08\x00\x00\x00\x07abcd", id="an_answer_to_another_question"),
    ],
)
def test_somebody_who_does_not_speak_kafka(answering, answer):
    port = answering(answer)
    assert f"127.0.0.1:{port} does not speak Kafka" in str(kafka_health("127.0.0.1", port))


def test_somebody_who_hangs_up(answering):
    assert "no connection" in str(kafka_health("127.0.0.1", answering(b"")))


def test_somebody_who_never_answers(answering):
    assert "TimeoutError" in str(kafka_health("127.0.0.1", answering(None), timeout_s=0.1))
