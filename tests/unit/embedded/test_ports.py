"""Ports of the loopback interface: free, taken, refused."""

from __future__ import annotations

import socket

import pytest

from tokentide.embedded.errors import PortUnavailableError
from tokentide.embedded.ports import accepts_connections, free_port, is_free_port, require_free_port


def test_a_free_port_can_be_listened_on():
    port = free_port()
    assert is_free_port(port)
    with socket.create_server(("127.0.0.1", port)):
        assert accepts_connections(port)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"], ids=["loopback", "all_interfaces"])
def test_a_port_that_somebody_listens_on_is_not_free(address):
    with socket.create_server((address, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            PortUnavailableError, match=rf"the engine cannot listen on 127\.0\.0\.1:{port}.*--the-port N"
        ):
            require_free_port(port, purpose="the engine", option="--the-port")


def test_a_port_whose_last_connections_linger_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the connection in TIME_WAIT
            assert client.recv(1) == b""
    require_free_port(port, purpose="the engine", option="--the-port")


def test_a_number_that_is_no_port_is_refused():
    with pytest.raises(PortUnavailableError, match="ports end at 65535"):
        require_free_port(70_000, purpose="the engine", option="--the-port")
