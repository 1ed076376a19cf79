"""The proxy does to connections exactly what it is told."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.support.tcp_proxy import Cut, TcpProxy
from tests.support.waiting import HANGING_S, seconds_of, until


class UpperCaseServer:
    """Answers every piece in upper case, and remembers what it got."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.received = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(65_536):
                    self.received += piece
                    connection.sendall(piece.upper())
                connection.sendall(b"BYE")
            except OSError:
                return


@pytest.fixture
def server():
    server = UpperCaseServer()
    yield server
    server.socket.close()


@pytest.fixture
def proxy(server):
    with TcpProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=HANGING_S) as client:
        yield client


def received_within(client: socket.socket, seconds: float) -> bytes:
    client.settimeout(seconds)
    try:
        return client.recv(100)
    except TimeoutError:
        return b""
    finally:
        client.settimeout(HANGING_S)


def read_to_the_end(client: socket.socket) -> None:
    while client.recv(100):
        pass


def test_bytes_and_ends_pass_both_ways(client, proxy):
    client.sendall(b"hello")
    assert client.recv(100) == b"HELLO"
    client.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b"BYE"
    assert client.recv(100) == b""
    assert (proxy.to_server.passed_bytes, proxy.to_client.passed_bytes, proxy.connections) == (5, 8, 1)


def test_a_delay_holds_every_piece_back(client, proxy):
    proxy.to_client.delay_s = 0.3

    def ask() -> None:
        client.sendall(b"a")
        assert client.recv(100) == b"A"

    assert seconds_of(ask) >= 0.25


def test_a_stall_lets_nothing_through_until_it_is_healed(client, proxy, server):
    proxy.to_server.is_stalled = True
    client.sendall(b"a")
    assert received_within(client, 0.3) == b""
    assert server.received == b""
    proxy.heal()
    assert client.recv(100) == b"A"


def test_a_swallowed_answer_is_lost_though_the_server_did_the_work(client, proxy, server):
    proxy.to_client.is_swallowed = True
    client.sendall(b"a")
    until(lambda: proxy.to_client.swallowed_bytes == 1)
    assert server.received == b"a"
    proxy.heal()
    client.sendall(b"b")
    assert client.recv(100) == b"B"


def test_a_cut_resets_after_exactly_so_many_bytes(client, proxy, server):
    proxy.to_server.cut = Cut(after_bytes=3, how="reset")
    client.sendall(b"abcdef")
    with pytest.raises(ConnectionResetError):
        read_to_the_end(client)
    until(lambda: server.received == b"abc")


def test_a_half_close_ends_one_direction_and_leaves_the_other(client, proxy, server):
    proxy.to_client.cut = Cut(after_bytes=2, how="half_close")
    client.sendall(b"abcd")
    assert client.recv(100) == b"AB"
    assert client.recv(100) == b""
    client.sendall(b"efgh")
    until(lambda: server.received == b"abcdefgh")


def test_all_connections_can_be_reset_and_new_ones_made(client, proxy):
    client.sendall(b"a")
    assert client.recv(100) == b"A"
    proxy.reset_all()
    with pytest.raises(ConnectionResetError):
        client.recv(100)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=HANGING_S) as again:
        again.sendall(b"b")
        assert again.recv(100) == b"B"


def connect_and_read(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=HANGING_S) as connection:
        return connection.recv(100)


def test_new_connections_can_be_refused(proxy):
    proxy.is_refusing = True
    with pytest.raises(ConnectionResetError):
        connect_and_read(proxy.port)
    assert proxy.connections == 0


def test_a_server_that_is_away_resets_its_clients(client, proxy, server):
    client.sendall(b"a")
    assert client.recv(100) == b"A"
    server.socket.close()
    proxy.server_port = 1
    with pytest.raises(ConnectionResetError):
        connect_and_read(proxy.port)
