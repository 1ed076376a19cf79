"""The life of the process: start, its failures with their remedy, end, SIGKILL, the parent's death, durability."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import children
from tests.support.clickhouse_server import ServerProcess, launch, running
from tests.support.waiting import HANGING_S, until
from tokentide.embedded.clickhouse import ExitCode, Ready, StartFailure, command, parse_start_line

pytestmark = pytest.mark.embedded

SLOW = "SELECT count() FROM system.numbers WHERE sipHash64(number) = 1"
SOME_SECONDS = "FROM numbers(6) SETTINGS max_block_size = 1"
"""Rows to sleep a second each at: the engine allows three in one block."""


def started(folder: Path, *extra: str, **arguments: object) -> ServerProcess:
    server = launch(folder, *extra, **arguments)
    assert isinstance(server, ServerProcess), server
    return server


def refused(folder: Path, **arguments: object) -> StartFailure:
    said = launch(folder, **arguments)
    assert isinstance(said, StartFailure)
    return said


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_ready_line_tells_all_that_a_supervisor_needs(tmp_path):
    with running(tmp_path) as server:
        ready = server.ready
        assert ready.pid == server.process.pid
        assert ready.url == f"http://127.0.0.1:{ready.port}"
        assert Path(ready.data_dir) == tmp_path / "data"
        assert server.sql("SELECT version()") == ready.version


def test_ctrl_c_ends_it_in_order(tmp_path):
    server = started(tmp_path)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(HANGING_S) == ExitCode.STOPPED


def test_sigterm_ends_it_in_order_and_the_data_is_there_again(tmp_path):
    server = started(tmp_path)
    server.sql("CREATE DATABASE kept")
    server.sql("CREATE TABLE kept.t (a Int64) ENGINE = MergeTree ORDER BY a")
    server.sql("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
    server.sql("CREATE FUNCTION twice AS x -> x * 2")
    server.sql("INSERT INTO kept.t VALUES (1), (2)")
    server.sql("INSERT INTO t VALUES (3)")
    assert server.terminate() == ExitCode.STOPPED
    for _ in range(2):
        server = started(tmp_path)
        assert server.sql("SELECT sum(a), twice(4) FROM kept.t") == "3\t8"
        assert server.sql("SELECT a FROM default.t") == "3"
        assert server.sql("SELECT engine FROM system.databases WHERE name = 'default'") == "Atomic"
        assert server.sql("SHOW DATABASES").splitlines() == [
            "INFORMATION_SCHEMA",
            "default",
            "information_schema",
            "kept",
            "system",
        ]
        assert server.terminate() == ExitCode.STOPPED


def test_what_still_runs_at_the_end_is_cut_off_after_the_grace_time(tmp_path):
    server = started(tmp_path, "--shutdown-grace-s", "0.5")
    thread = threading.Thread(target=lambda: server.post(SLOW))
    thread.start()
    server.wait_until_running("sipHash64(number) = 1")
    assert server.terminate() == ExitCode.UNCLEAN
    thread.join(HANGING_S)


def test_a_statement_that_ends_within_the_grace_time_is_answered(tmp_path):
    server = started(tmp_path, "--shutdown-grace-s", "300")
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(server.sql(f"SELECT sleepEachRow(1), 'done' {SOME_SECONDS}"))
    )
    thread.start()
    server.wait_until_running("sleepEachRow")
    assert server.terminate() == ExitCode.STOPPED
    thread.join(HANGING_S)
    assert answers[0].endswith("done")


def test_at_the_end_open_connections_get_no_new_statements(tmp_path):
    server = started(tmp_path, "--log-level", "info", "--shutdown-grace-s", "300")
    connection = server.connection()
    connection.request("POST", "/", b"SELECT 1")
    connection.getresponse().read()
    thread = threading.Thread(target=lambda: server.post(f"SELECT sleepEachRow(1) {SOME_SECONDS}"))
    thread.start()
    server.wait_until_running("sleepEachRow")
    server.process.send_signal(signal.SIGTERM)
    until(lambda: "ending on SIGTERM" in server.log, "the signal")
    connection.request("POST", "/", b"SELECT 1")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (503, "439")
    connection.close()
    thread.join(HANGING_S)
    assert server.process.wait(HANGING_S) == ExitCode.STOPPED


def test_a_port_in_use_is_named_with_the_remedy(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(tmp_path, port=taken.getsockname()[1])
    assert said.reason == "port_unavailable"
    assert str(taken.getsockname()[1] if taken.fileno() >= 0 else "") in said.message
    assert "--port" in said.message


def test_a_data_directory_in_use_is_named_with_its_user_and_stays_unharmed(tmp_path):
    with running(tmp_path) as server:
        server.sql("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a")
        said = refused(tmp_path)
        assert said.reason == "data_dir_unavailable"
        assert str(server.process.pid) in said.message
        assert "--data-dir" in said.message
        assert server.sql("EXISTS TABLE t") == "1"


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "data").write_text("a file, not a directory", encoding="ascii")
    said = refused(tmp_path)
    assert said.reason == "data_dir_unavailable"
    said = refused(tmp_path, name="with?question")
    assert "cannot open" in said.message


def test_a_damaged_data_directory_is_an_error_and_not_a_hang(tmp_path):
    server = started(tmp_path)
    assert server.terminate() == ExitCode.STOPPED
    (tmp_path / "data" / "engine" / "metadata" / "broken.sql").write_text("nonsense", encoding="ascii")
    said = refused(tmp_path)
    assert said.reason == "engine_failed"
    assert "--data-dir" in said.message


def test_paths_with_spaces_and_other_letters_are_fine(tmp_path):
    with running(tmp_path, name="dätä dir 'x'") as server:
        server.sql("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a")
        server.sql("INSERT INTO t VALUES (1)")
        assert server.sql("SELECT a FROM t") == "1"


@pytest.mark.parametrize(
    "foreign", ["<clickhouse><display_name>foreign</display_name></clickhouse>", "<this is not XML"]
)
def test_a_configuration_file_in_the_working_directory_is_not_taken_for_ours(tmp_path, monkeypatch, foreign):
    (tmp_path / "config.xml").write_text(foreign, encoding="ascii")
    monkeypatch.chdir(tmp_path)
    with running(tmp_path) as server:
        assert server.sql("SELECT displayName()") == "tokentide"


def test_the_memory_of_all_statements_together_is_limited(tmp_path):
    with running(tmp_path, max_memory_mb=700) as server:
        response = server.post("SELECT groupArray(number) FROM numbers(200000000) FORMAT Null")
        assert response.code == 241
        assert server.sql("SELECT 1") == "1"


def test_it_ends_when_its_parent_is_killed(tmp_path):
    """The parent is another process, which starts the server and is then killed without a chance to end it."""
    argv = command(data_dir=tmp_path / "data", port=0)
    program = (
        "import json, os, subprocess, sys\n"
        "argv = json.loads(sys.argv[1]) + ['--parent-pid', str(os.getpid())]\n"
        "subprocess.Popen(argv, stdout=sys.stdout)\n"
        "sys.stdin.read()\n"
    )
    parent = children.start(
        [sys.executable, "-c", program, json.dumps(argv)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    ready = parse_start_line(parent.stdout.readline().decode())
    assert isinstance(ready, Ready)
    parent.kill()
    parent.wait(HANGING_S)
    until(lambda: is_gone(ready.pid), "the end of the server")
    parent.stdout.close()
    assert parent.stdin is not None
    parent.stdin.close()
    started(tmp_path).kill()  # it gave the directory back


def test_it_ends_when_a_parent_further_up_is_killed(tmp_path):
    """With a guard in between, as on systems without a death signal."""
    grandparent = children.start(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    server = started(tmp_path, parent_pid=grandparent.pid)
    grandparent.kill()
    grandparent.wait(HANGING_S)
    assert server.process.wait(HANGING_S) == ExitCode.STOPPED
    assert grandparent.stdin is not None
    grandparent.stdin.close()


def test_sigkill_in_the_middle_of_inserts_loses_no_acknowledged_row(tmp_path):
    rows = 500
    for round_number in range(3):
        server = started(tmp_path)
        server.sql(
            "CREATE TABLE IF NOT EXISTS t (worker Int64, n Int64) ENGINE = MergeTree ORDER BY (worker, n)"
        )
        acknowledged: dict[int, int] = {}
        enough = threading.Event()

        def insert(
            worker: int,
            server: ServerProcess = server,
            done: dict[int, int] = acknowledged,
            enough: threading.Event = enough,
        ) -> None:
            for number in range(100_000):
                block = "".join(f"{worker},{number * rows + row}\n" for row in range(rows))
                try:
                    response = server.post(block, query="INSERT INTO t FORMAT CSV")
                except OSError:
                    return
                assert response.status == 200, response.text
                done[worker] = number + 1
                if number == 5:
                    enough.set()

        workers = [round_number * 10 + at for at in range(3)]
        threads = [threading.Thread(target=insert, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        assert enough.wait(HANGING_S)
        server.kill()
        for thread in threads:
            thread.join(HANGING_S)
        server = started(tmp_path)
        for worker, blocks in acknowledged.items():
            stored = server.sql(
                f"SELECT count(), uniqExact(n), countIf(n < {blocks * rows}) FROM t WHERE worker = {worker}"
            )
            count, distinct, expected = (int(value) for value in stored.split("\t"))
            assert expected == blocks * rows
            assert count == distinct
            assert count % rows == 0  # a block that was not acknowledged is there whole or not at all
        server.kill()


def test_the_incoming_folder_is_emptied_at_the_start(tmp_path):
    server = started(tmp_path)
    server.kill()
    left = tmp_path / "data" / "incoming" / "left-behind"
    left.write_bytes(b"x")
    with running(tmp_path):
        assert not left.exists()


def test_help_has_examples_and_needs_no_engine():
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tokentide.embedded.clickhouse", "--help"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "curl" in shown.stdout
    assert "chdb" not in shown.stderr
    assert "aiohttp" not in shown.stderr
