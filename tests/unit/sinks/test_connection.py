"""How the client of ClickHouse is opened."""

from __future__ import annotations

import pytest

from tokentide.config import ClickHouseSettings
from tokentide.sinks import connection
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.sinks.connection import is_loopback, open_client


@pytest.fixture
def asked(monkeypatch):
    """What clickhouse-connect is asked for; nothing is opened."""
    calls = []
    monkeypatch.setattr(connection.clickhouse_connect, "get_client", lambda **options: calls.append(options))
    return calls


def _settings(url, **more):
    return ClickHouseSettings.model_validate({"url": url, **more})


def test_address_login_and_database_come_from_the_url(asked):
    open_client(_settings("https://anna:p%40ss@ch.example:9443/metrics"))
    (options,) = asked
    wanted = {
        "interface": "https",
        "host": "ch.example",
        "port": 9443,
        "username": "anna",
        "password": "p@ss",
        "database": "metrics",
    }
    assert {name: options[name] for name in wanted} == wanted


def test_a_database_that_is_not_there_yet_can_be_left_out(asked):
    open_client(_settings("http://h:8123/new"), database="default")
    assert asked[0]["database"] == "default"


def test_time_outs_are_rounded_up_to_whole_seconds(asked):
    open_client(_settings("http://h", connect_timeout_seconds=0.2, request_timeout_seconds=59.5))
    assert (asked[0]["connect_timeout"], asked[0]["send_receive_timeout"]) == (1, 60)


def test_several_threads_may_use_one_client(asked):
    open_client(_settings("http://h"))
    assert asked[0]["autogenerate_session_id"] is False


def test_own_certificates_are_passed_on(asked, tmp_path):
    open_client(_settings("https://127.0.0.1", tls_ca_file=str(tmp_path / "ca.pem")))
    assert asked[0]["ca_cert"] == str(tmp_path / "ca.pem")
    assert "pool_mgr" not in asked[0]


def test_no_proxy_stands_between_a_worker_and_its_own_machine(asked, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    open_client(_settings("http://127.0.0.1:8123"))
    assert asked[0]["pool_mgr"].proxy is None


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("clickhouse", False),
    ],
)
def test_loopback_addresses_are_known(host, is_here):
    assert is_loopback(host) is is_here


@pytest.mark.parametrize(
    ("url", "compression"), [("http://localhost:1", "none"), ("http://clickhouse:8123", "lz4")]
)
def test_bodies_are_compressed_for_the_network_and_plain_on_the_loopback(url, compression):
    assert ClickHouseSink.from_settings(_settings(url))._compression == compression


def test_a_chosen_compression_is_kept():
    assert (
        ClickHouseSink.from_settings(_settings("http://localhost:1"), compression="lz4")._compression == "lz4"
    )
