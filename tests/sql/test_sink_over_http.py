"""The sink, the migrations and the audit over HTTP, as a worker uses them: against the one-machine ClickHouse."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading

import pytest

from tests.support import children
from tests.support.clickhouse_rows import START, event, event_table, ledger_table, partial_table
from tests.support.waiting import HANGING_S
from tokentide.config import ClickHouseSettings
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.sinks.connection import open_client
from tokentide.sinks.errors import RetriableSinkError, TerminalSinkError
from tokentide.sinks.retry import RetryPolicy
from tokentide.sql.audit import run_audit
from tokentide.sql.migrate import migrate

pytestmark = pytest.mark.embedded

PASSWORD = "canary-pass word/@"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A ClickHouse of its own, with a password; its port."""
    pytest.importorskip("chdb", reason="needs the extra [embedded]")
    folder = tmp_path_factory.mktemp("http")
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    process = children.start(
        [
            sys.executable,
            "-m",
            "tokentide.embedded.clickhouse",
            "--data-dir",
            str(folder / "data"),
            "--port",
            "0",
            "--parent-pid",
            str(os.getpid()),
            "--password-file",
            str(password),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield json.loads(process.stdout.readline())["port"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(HANGING_S)
        process.stdout.close()


def _settings(port, password="canary-pass%20word%2F%40", **more):
    url = f"http://default:{password}@127.0.0.1:{port}/tokentide"
    return ClickHouseSettings.model_validate({"url": url, **more})


@pytest.fixture(scope="module")
def settings(server):
    """Of a migrated database."""
    settings = _settings(server)
    client = open_client(settings, database="default")
    migrate(client, "tokentide")
    client.close()
    return settings


@pytest.fixture
def client(settings):
    client = open_client(settings)
    for table in ("llm_events", "llm_occurrences", "llm_windows", "llm_ledger"):
        client.command(f"TRUNCATE TABLE {table}")
    yield client
    client.close()


def _sink(settings, **options):
    options = {"retry": RetryPolicy(first_delay_s=0.01, max_delay_s=0.02, deadline_s=0.2)} | options
    return ClickHouseSink.from_settings(settings, **options)


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_what_a_worker_stores_over_http_agrees(settings, client, compression):
    log = [event(n, timestamp=START, labels=[("k", "v")], service=f"s{n % 7}") for n in range(2000)]
    sink = _sink(settings, compression=compression)
    sink.insert("llm_events", event_table(log))
    sink.insert("llm_windows", partial_table(log))
    sink.insert("llm_ledger", ledger_table(log))
    sink.close()
    report = run_audit(client, "tokentide")
    assert report.agrees
    assert (report.totals.event_rows, report.totals.window_calls) == (2000, 2000)


def test_a_user_who_may_only_read_can_audit(server, settings, client):
    log = [event(n, timestamp=START) for n in range(20)]
    sink = _sink(settings)
    sink.insert("llm_events", event_table(log))
    sink.insert("llm_windows", partial_table(log[:-1]))
    sink.insert("llm_ledger", ledger_table(log))
    sink.close()
    reader = open_client(
        ClickHouseSettings.model_validate({"url": f"http://reader@127.0.0.1:{server}/tokentide"})
    )
    report = run_audit(reader, "tokentide")
    reader.close()
    assert report == run_audit(client, "tokentide")
    assert {result.check.name for result in report.differences} == {"audit_minutes", "audit_series"}


def test_a_second_run_of_the_migrations_over_http_does_nothing(settings):
    client = open_client(settings)
    assert migrate(client, "tokentide") == []
    client.close()


def test_an_insert_in_parts_arrives_whole(settings, client):
    sink = _sink(settings, max_insert_bytes=10_000)
    sink.insert("llm_events", event_table([event(n) for n in range(1000)]))
    sink.close()
    assert client.query("SELECT count(), uniqExact(event_id) FROM events").result_rows == [(1000, 1000)]


def test_an_unknown_column_over_http_is_terminal_by_its_code(settings):
    sink = _sink(settings)
    rows = event_table([event(0)]).append_column("no_such_column", [["x"]])
    with pytest.raises(TerminalSinkError, match="no_such_column") as caught:
        sink.insert("llm_events", rows)
    assert caught.value.code == 16
    sink.close()


def test_a_wrong_password_is_terminal_and_no_password_is_told(server):
    sink = _sink(_settings(server, password="wrong-canary"))
    with pytest.raises(TerminalSinkError) as caught:
        sink.insert("llm_events", event_table([event(0)]))
    assert caught.value.code in (193, 516)
    story = f"{caught.value}{caught.value.__cause__}"
    assert "canary" not in story


def test_nobody_at_the_address_is_tried_until_the_deadline_and_no_password_is_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sink = _sink(_settings(port))
    with pytest.raises(RetriableSinkError) as caught:
        sink.insert("llm_events", event_table([event(0)]))
    assert caught.value.code is None
    assert caught.value.tries > 1
    assert "canary" not in f"{caught.value}{caught.value.__cause__}"


class _Relay(socketserver.ThreadingTCPServer):
    """Passes each connection on to the server, and drops the answer of the first insert."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, target):
        self.target = target
        self.dropped = 0
        super().__init__(("127.0.0.1", 0), _RelayHandler)


class _RelayHandler(socketserver.BaseRequestHandler):
    def handle(self):
        with socket.create_connection(("127.0.0.1", self.server.target)) as upstream:
            is_insert = threading.Event()
            threading.Thread(target=self._upload, args=(upstream, is_insert), daemon=True).start()
            while data := upstream.recv(65_536):
                if is_insert.is_set() and not self.server.dropped:
                    self.server.dropped += 1
                    return
                self.request.sendall(data)

    def _upload(self, upstream, is_insert):
        try:
            while data := self.request.recv(65_536):
                if b"INSERT" in data:
                    is_insert.set()
                upstream.sendall(data)
        except OSError:
            return


def test_an_insert_whose_answer_was_lost_is_sent_again_and_counts_once(server, client):
    with _Relay(server) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        failures = []
        policy = RetryPolicy(first_delay_s=0.01, max_delay_s=0.02, deadline_s=30)
        sink = _sink(_settings(relay.server_address[1]), retry=policy, on_failed_try=failures.append)
        sink.insert("llm_events", event_table([event(n) for n in range(10)]))
        sink.close()
        relay.shutdown()
    assert relay.dropped == 1
    assert [failure.name for failure in failures] == ["NO_ANSWER"]
    assert client.query("SELECT count() FROM events").result_rows == [(10,)]
    assert client.query("SELECT count() FROM llm_occurrences FINAL").result_rows == [(10,)]
