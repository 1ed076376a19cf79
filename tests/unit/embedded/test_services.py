"""How ClickHouse and workers are described: arguments, environment, health."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.ports import unused_port
from tokentide.config.catalogue import names_by_env
from tokentide.config.clickhouse_url import parse_clickhouse_url
from tokentide.embedded.broker import WORKER_SETTINGS
from tokentide.embedded.run_state import Addresses
from tokentide.embedded.services import (
    clickhouse_command,
    clickhouse_url,
    lives_for,
    ping,
    worker_environment,
)

ADDRESSES = Addresses("127.0.0.1:9092", "http://default@127.0.0.1:8123/tokentide")


def test_the_address_of_clickhouse_is_one_that_the_settings_take():
    url = parse_clickhouse_url(clickhouse_url(8123))
    assert (url.host, url.port, url.user, url.database) == ("127.0.0.1", 8123, "default", "tokentide")


def test_clickhouse_is_bound_to_its_data_its_port_and_our_life(tmp_path):
    argv = list(clickhouse_command(tmp_path, 8123))
    assert argv[argv.index("--data-dir") + 1] == str(tmp_path)
    assert argv[argv.index("--port") + 1] == "8123"
    assert "--parent-pid" in argv


def test_settings_for_workers_exist():
    assert set(WORKER_SETTINGS) <= set(names_by_env())


@pytest.mark.parametrize("name", ["TOKENTIDE_KAFKA_SASL_PASSWORD", "TOKENTIDE_CLICKHOUSE_URL"])
def test_logins_of_engines_elsewhere_do_not_reach_workers(monkeypatch, name):
    monkeypatch.setenv(name, "hush")
    assert "hush" not in worker_environment(ADDRESSES, {}).values()


def test_what_the_caller_gives_goes_before_the_users_environment_but_not_before_the_addresses(monkeypatch):
    monkeypatch.setenv("TOKENTIDE_LOG_LEVEL", "info")
    more = {"TOKENTIDE_LOG_LEVEL": "debug", "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": "elsewhere:1"}
    environment = worker_environment(ADDRESSES, more)
    assert environment["TOKENTIDE_LOG_LEVEL"] == "debug"
    assert environment["TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:9092"
    assert environment["TOKENTIDE_CLICKHOUSE_URL"] == ADDRESSES.clickhouse_url


def test_a_program_without_a_health_check_is_ready_once_it_has_lived_a_while(monkeypatch):
    now_s = iter([10.0, 10.4, 10.5])
    monkeypatch.setattr("tokentide.embedded.services.time.monotonic", lambda: next(now_s))
    check = lives_for(0.5)
    assert [check() for _ in range(3)] == ["it has not lived for 0.5 s", "it has not lived for 0.5 s", None]


@pytest.fixture
def answering():
    """Starts an HTTP server with a given answer to a ping; returns its port."""
    servers = []

    def start(status: int, body: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_ping_passes_only_with_the_answer_of_clickhouse(answering):
    assert ping(answering(200, b"Ok.\n")) is None
    assert ping(answering(503, b"Ok.\n")) is not None
    assert ping(answering(200, b"hello")) is not None
    assert "ConnectionRefusedError" in str(ping(unused_port()))


def test_paths_are_not_split_at_spaces(tmp_path):
    folder = Path(tmp_path / "meine Daten")
    assert str(folder) in clickhouse_command(folder, 1)
