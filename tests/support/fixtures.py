"""Fixtures of the real services, for `pytest_plugins = ["tests.support.fixtures"]` in tests/conftest.py.

broker               both kinds, shared by the session, with names of its own per test
embedded_broker      the embedded kind alone, shared
apache_kafka         Apache Kafka alone, shared
own_broker           both kinds, one for this test alone: it may be killed, paused, restarted
own_embedded_broker  the same, one kind
own_apache_kafka     the same, one kind
proxied_broker       both kinds, shared; all clients come through a `TcpProxy`, whose faults end with the test
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.apache_kafka import REQUIRE_VARIABLE, ApacheKafka, why_missing
from tests.support.brokers import Broker, BrokerKind, Server, make_server
from tests.support.ports import unused_port
from tests.support.tcp_proxy import TcpProxy
from tokentide.embedded.ports import LOOPBACK

_BOTH_KINDS = [
    pytest.param("embedded", marks=pytest.mark.embedded),
    pytest.param("apache_kafka", marks=pytest.mark.apache_kafka),
]


class ProxiedBroker(NamedTuple):
    """A broker and the proxy that all its clients come through."""

    broker: Broker
    proxy: TcpProxy


def _require(kind: BrokerKind) -> None:
    """Skip without Java and Maven, unless the environment says that Apache Kafka must be there."""
    if kind != "apache_kafka":
        return
    missing = why_missing()
    if missing is None:
        return
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"no Apache Kafka, and {REQUIRE_VARIABLE}=1 forbids to skip: {missing}", pytrace=False)
    pytest.skip(f"no Apache Kafka: {missing}")


def _run(kind: BrokerKind, folder: Path) -> Iterator[Server]:
    _require(kind)
    server = make_server(kind, folder)
    server.start()
    yield server
    # Nobody reads its data again: no need for an end in order.
    server.kill()


@pytest.fixture(scope="session")
def _embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _run("embedded", tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="session")
def _apache_kafka_both_ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, TcpProxy]]:
    """One Apache Kafka with two listeners: clients of the second are sent through the proxy."""
    _require("apache_kafka")
    port, proxied, controller = unused_port(), unused_port(), unused_port()
    with TcpProxy(proxied) as proxy:
        clients, behind = f"PLAINTEXT://{LOOPBACK}:{port}", f"PROXIED://{LOOPBACK}"
        server = ApacheKafka(
            tmp_path_factory.mktemp("apache_kafka"),
            port=port,
            properties={
                "listeners": f"{clients},{behind}:{proxied},CONTROLLER://{LOOPBACK}:{controller}",
                "advertised.listeners": f"{clients},{behind}:{proxy.port}",
                "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
                "inter.broker.listener.name": "PLAINTEXT",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            },
        )
        server.start()
        yield server, proxy
        server.kill()


@pytest.fixture(scope="session")
def _apache_kafka_server(_apache_kafka_both_ways: tuple[Server, TcpProxy]) -> Server:
    return _apache_kafka_both_ways[0]


@pytest.fixture
def embedded_broker(_embedded_server: Server) -> Broker:
    """The embedded broker; tests that use it carry the marker `embedded`."""
    return Broker("embedded", _embedded_server)


@pytest.fixture
def apache_kafka(_apache_kafka_server: Server) -> Broker:
    """An Apache Kafka; tests that use it carry the marker `apache_kafka`."""
    return Broker("apache_kafka", _apache_kafka_server)


@pytest.fixture(params=_BOTH_KINDS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """One broker after the other, of both kinds."""
    found: Broker = request.getfixturevalue(_name_of(request.param))
    return found


@pytest.fixture
def own_embedded_broker(tmp_path: Path) -> Iterator[Broker]:
    """An embedded broker for this test alone."""
    for server in _run("embedded", tmp_path / "broker"):
        yield Broker("embedded", server)


@pytest.fixture
def own_apache_kafka(tmp_path: Path) -> Iterator[Broker]:
    """An Apache Kafka for this test alone."""
    for server in _run("apache_kafka", tmp_path / "broker"):
        yield Broker("apache_kafka", server)


@pytest.fixture(params=_BOTH_KINDS)
def own_broker(request: pytest.FixtureRequest) -> Broker:
    """A broker for this test alone, of both kinds, which it may kill."""
    found: Broker = request.getfixturevalue(f"own_{_name_of(request.param)}")
    return found


@pytest.fixture(scope="session")
def _proxied_embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, TcpProxy]]:
    folder = tmp_path_factory.mktemp("embedded")
    with TcpProxy() as proxy:
        server = make_server("embedded", folder, advertised_port=proxy.port)
        server.start()
        proxy.server_port = server.port
        yield server, proxy
        server.kill()


class _BehindProxy:
    """A server whose clients begin at the proxy."""

    def __init__(self, server: Server, proxy: TcpProxy) -> None:
        self._server = server
        self.bootstrap_servers = proxy.address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


@pytest.fixture(scope="session")
def _proxied_apache_kafka(_apache_kafka_both_ways: tuple[Server, TcpProxy]) -> tuple[Server, TcpProxy]:
    server, proxy = _apache_kafka_both_ways
    return _BehindProxy(server, proxy), proxy


@pytest.fixture(params=_BOTH_KINDS)
def proxied_broker(request: pytest.FixtureRequest) -> Iterator[ProxiedBroker]:
    """A broker of each kind that clients reach only through a proxy."""
    server, proxy = request.getfixturevalue(f"_proxied_{_name_of(request.param)}")
    yield ProxiedBroker(Broker(request.param, server), proxy)
    proxy.heal()
    proxy.reset_all()


def _name_of(kind: BrokerKind) -> str:
    return "embedded_broker" if kind == "embedded" else "apache_kafka"
