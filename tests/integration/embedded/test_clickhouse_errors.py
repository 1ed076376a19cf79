"""Errors, streaming, cancellation, sessions and concurrency of the embedded ClickHouse, over real HTTP."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clickhouse_server import ServerProcess, running
from tests.support.waiting import HANGING_S, until

pytestmark = pytest.mark.embedded

ENDLESS = "SELECT number, sipHash64(number) FROM system.numbers"
SLOW = "SELECT count() FROM system.numbers WHERE sipHash64(number) = 1"
"""Reads for ever and gives nothing."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("clickhouse")
    options = ("--receive-timeout-s", "5", "--max-concurrent-queries", "8", "--max-body-mb", "64")
    with running(folder, *options) as started:
        yield started


@pytest.fixture
def server_alone(tmp_path: Path) -> Iterator[ServerProcess]:
    """One whose memory is that of the test's own requests."""
    with running(tmp_path) as started:
        yield started


@pytest.mark.parametrize(
    ("statement", "status", "code", "name"),
    [
        ("SELECT * FROM nowhere", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT nothing FROM system.one", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT nonsense(1)", 404, 46, "UNKNOWN_FUNCTION"),
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 'open", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1 FROM numbers(10) WHERE toUInt8('x') = 1", 400, 6, "CANNOT_PARSE_TEXT"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        (
            "SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_execution_time = 0.1",
            408,
            159,
            "TIMEOUT_EXCEEDED",
        ),
        ("SELECT * FROM numbers(10) SETTINGS max_result_rows = 1", 500, 396, "TOO_MANY_ROWS_OR_BYTES"),
        (
            "SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000",
            500,
            241,
            "MEMORY",
        ),
        ("CREATE TABLE x (a Int8) ENGINE = Kafka('a', 'b', 'c', 'CSV')", 403, 497, "ACCESS_DENIED"),
        ("CREATE DATABASE d ENGINE = SQLite('/tmp/never')", 403, 497, "ACCESS_DENIED"),
        ("SELECT * FROM file('/etc/passwd', 'LineAsString')", 403, 497, "ACCESS_DENIED"),
        ("SYSTEM SHUTDOWN", 403, 497, "ACCESS_DENIED"),
        ("BEGIN TRANSACTION", 501, 48, "NOT_IMPLEMENTED"),
        ("SELECT 1 INTO OUTFILE '/tmp/never'", 500, 358, "INTO_OUTFILE_NOT_ALLOWED"),
        ("INSERT INTO t FROM INFILE '/tmp/never' FORMAT CSV", 500, 1, "UNSUPPORTED_METHOD"),
    ],
)
def test_errors_have_code_name_status_and_version(server, statement, status, code, name):
    response = server.post(statement)
    assert (response.status, response.code) == (status, code), response.text
    assert response.text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name}" in response.text
    assert response.text.endswith(f" (version {server.ready.version})\n")


def test_get_never_changes_data(server):
    response = server.get("CREATE TABLE by_get (a Int8) ENGINE = Memory")
    assert response.code == 164
    assert "method GET implies readonly" in response.text
    assert server.get("INSERT INTO by_get VALUES (1)").code == 164
    assert server.get("SELECT 1").status == 200


def test_an_error_behind_sent_rows_is_marked_and_the_answer_left_incomplete(server):
    with contextlib.closing(server.connection()) as connection:
        connection.request("POST", "/", b"SELECT number, throwIf(number = 3000000) FROM numbers(10000000)")
        answer = connection.getresponse()
        assert answer.status == 200
        tag = answer.headers["X-ClickHouse-Exception-Tag"].encode()
        tail, piece = b"", b"-"
        while piece:
            tail = (tail + piece)[-10_000:]
            try:
                piece = answer.read(1 << 20)
            except http.client.IncompleteRead as broken_off:
                tail += broken_off.partial
                break
        else:
            pytest.fail("the answer looks complete")
    _, mark, rest = tail.rpartition(b"\r\n__exception__\r\n" + tag + b"\r\nCode: 395.")
    assert mark
    assert rest.endswith(tag + b"\r\n__exception__\r\n")


def test_wait_end_of_query_turns_a_late_error_into_a_status(server):
    statement = "SELECT number, throwIf(number = 3000000) FROM numbers(10000000)"
    response = server.post(statement, wait_end_of_query=1)
    assert (response.status, response.code) == (500, 395)
    assert response.text.startswith("Code: 395")


def test_wait_end_of_query_holds_large_results_on_disk(server):
    response = server.post("SELECT number FROM numbers(5000000)", wait_end_of_query=1)
    assert len(response.body) > 32 << 20
    assert response.headers["Content-Length"] == str(len(response.body))
    assert '"result_rows":"5000000"' in response.headers["X-ClickHouse-Summary"]


def test_large_results_stream_without_being_held(server_alone):
    server = server_alone
    before_mb = server.resident_mb()
    with contextlib.closing(server.connection()) as connection:
        connection.request("POST", "/", b"SELECT number, toString(number) FROM numbers(40000000)")
        answer = connection.getresponse()
        size = sum(len(piece) for piece in iter(lambda: answer.read(1 << 20), b""))
    assert size > 600 << 20
    assert server.resident_mb() - before_mb < 250


def test_large_inserts_stream_without_being_held(server_alone):
    server = server_alone
    server.sql("CREATE OR REPLACE TABLE big (a UInt64) ENGINE = MergeTree ORDER BY a")
    before_mb = server.resident_mb()
    block = b"".join(b"%d\n" % number for number in range(100_000, 200_000))
    body = (block for _ in range(80))
    assert server.request("POST", body=body, query="INSERT INTO big FORMAT CSV").status == 200
    assert server.sql("SELECT count() FROM big") == "8000000"
    assert server.resident_mb() - before_mb < 400


def test_a_body_beyond_the_limit_is_refused(server):
    server.sql("CREATE OR REPLACE TABLE big (a UInt64) ENGINE = MergeTree ORDER BY a")
    response = server.post(b"1\n" * (33 << 20), query="INSERT INTO big FORMAT CSV")
    assert (response.status, response.code) == (413, 229)
    assert "--max-body-mb" in response.text
    assert server.sql("SELECT count() FROM big") == "0"


# --- clients that leave


def send(server: ServerProcess, query: str, body: bytes = b"", length: int | None = None) -> socket.socket:
    connection = socket.create_connection((server.ready.host, server.ready.port), timeout=HANGING_S)
    size = len(body) if length is None else length
    target = "/?query=" + query.replace(" ", "+").replace("=", "%3D")
    connection.sendall(
        f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode() + body
    )
    return connection


def test_a_client_that_leaves_before_the_first_row_ends_its_query(server):
    connection = send(server, SLOW)
    server.wait_until_running("sipHash64(number) = 1")
    connection.close()
    server.wait_until_gone("sipHash64(number) = 1")


def test_a_client_that_leaves_in_the_middle_of_the_rows_ends_its_query(server):
    connection = send(server, ENDLESS)
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
    connection.close()
    server.wait_until_gone("system.numbers")


def test_a_client_that_takes_nothing_wedges_nothing(server):
    lazy = [send(server, ENDLESS) for _ in range(3)]
    server.wait_until_running("sipHash64(number)", count=3)
    assert server.sql("SELECT 1") == "1"
    for connection in lazy:
        connection.close()
    server.wait_until_gone("system.numbers")


def test_an_insert_whose_client_leaves_stores_nothing(server):
    server.sql("CREATE OR REPLACE TABLE cut (a UInt64) ENGINE = MergeTree ORDER BY a")
    for _ in range(20):
        connection = send(server, "INSERT INTO cut FORMAT CSV", b"1\n2\n3\n", length=1_000_000)
        connection.close()
    assert server.sql("SELECT 1") == "1"
    assert server.sql("SELECT count() FROM cut") == "0"


def test_a_client_that_sends_nothing_any_more_is_told_so(server):
    with contextlib.closing(send(server, "INSERT INTO cut FORMAT CSV", b"1\n", length=1000)) as connection:
        answer = connection.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"X-ClickHouse-Exception-Code: 209" in answer


def test_kill_query_by_the_id_of_the_request(server):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        future = pool.submit(server.post, SLOW, query_id="to-be-killed")
        server.wait_until_running("sipHash64(number) = 1")
        server.sql("KILL QUERY WHERE Settings['log_comment'] = 'to-be-killed'")
        response = future.result(HANGING_S)
    assert response.code == 394


# --- several clients


def test_slow_queries_block_neither_ping_nor_inserts_nor_other_queries(server):
    server.sql("CREATE OR REPLACE TABLE busy (a UInt64) ENGINE = MergeTree ORDER BY a")
    slow = [send(server, SLOW) for _ in range(4)]
    server.wait_until_running("sipHash64(number) = 1", count=4)
    assert server.request("GET", "/ping").text == "Ok.\n"
    server.sql("INSERT INTO busy VALUES (1)")
    assert server.sql("SELECT count() FROM busy") == "1"
    for connection in slow:
        connection.close()
    server.wait_until_gone("sipHash64(number) = 1")


def test_too_many_queries_wait_and_are_then_refused(server):
    slow = [send(server, SLOW) for _ in range(8)]
    until(lambda: server.post("SELECT 1").code == 202, "a refusal, once all places are taken")
    assert server.request("GET", "/ping").text == "Ok.\n"
    for connection in slow:
        connection.close()
    until(lambda: server.post("SELECT 1").status == 200, "a free place")


def test_many_clients_insert_and_read_at_once(server):
    server.sql("CREATE OR REPLACE TABLE shared (a UInt64) ENGINE = MergeTree ORDER BY a")

    def work(worker: int) -> None:
        for number in range(10):
            server.sql(f"INSERT INTO shared VALUES ({worker * 100 + number})")
            assert (
                int(server.sql(f"SELECT count() FROM shared WHERE intDiv(a, 100) = {worker}")) == number + 1
            )

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert server.sql("SELECT count(), uniqExact(a) FROM shared") == "60\t60"


def test_an_id_in_use_is_refused(server):
    connection = socket.create_connection((server.ready.host, server.ready.port))
    with contextlib.closing(connection):
        connection.sendall(
            f"POST /?query_id=twice HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(SLOW)}\r\n\r\n{SLOW}".encode()
        )
        server.wait_until_running("sipHash64(number) = 1")
        assert server.post("SELECT 1", query_id="twice").code == 216
    until(lambda: server.post("SELECT 1", query_id="twice").status == 200, "the id's release")


# --- sessions


def test_a_session_keeps_settings_temporary_tables_and_the_database(server):
    session = {"session_id": "s1"}
    server.sql("SET max_block_size = 77", **session)
    server.sql("CREATE TEMPORARY TABLE mine (a Int8)", **session)
    server.sql("INSERT INTO mine VALUES (5)", **session)
    server.sql("CREATE DATABASE IF NOT EXISTS elsewhere")
    server.sql("USE elsewhere", **session)
    asked = "SELECT getSetting('max_block_size'), currentDatabase(), (SELECT a FROM mine)"
    assert server.sql(asked, **session) == "77\telsewhere\t5"
    assert server.post("SELECT * FROM mine").code == 60
    assert server.post("SELECT * FROM mine", session_id="s2").code == 60


def test_settings_of_a_request_do_not_stay_in_its_session(server):
    session = {"session_id": "s3"}
    asked = "SELECT getSetting('max_block_size'), getSetting('max_result_rows')"
    default = server.sql(asked, **session)
    assert server.sql(asked, max_block_size=50, **session).startswith("50\t")
    assert server.sql(asked, max_result_rows=9, **session).endswith("\t9")
    assert server.sql(asked, **session) == default
    server.sql("SET max_block_size = 60", max_block_size=50, **session)
    assert server.sql(asked, max_block_size=70, **session).startswith("70\t")
    assert server.sql(asked, **session).startswith("60\t")


def test_the_database_of_a_request_does_not_stay_in_its_session(server):
    server.sql("CREATE DATABASE IF NOT EXISTS elsewhere")
    asked = "SELECT currentDatabase()"
    assert server.sql(asked, session_id="s4", database="elsewhere") == "elsewhere"
    assert server.sql(asked, session_id="s4") == "default"


def test_readonly_of_a_request_does_not_stay_in_its_session(server):
    assert server.post("CREATE TEMPORARY TABLE x (a Int8)", session_id="s5", readonly=1).code == 164
    assert server.post("CREATE TEMPORARY TABLE x (a Int8)", session_id="s5").status == 200


def test_a_session_serves_one_request_at_a_time(server):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(server.post, SLOW, session_id="s6", query_id="in-s6")
        server.wait_until_running("sipHash64(number) = 1")
        assert server.post("SELECT 1", session_id="s6").code == 373
        server.sql("KILL QUERY WHERE Settings['log_comment'] = 'in-s6'")
        assert slow.result(HANGING_S).code == 394
    assert server.post("SELECT 1", session_id="s6").status == 200


def test_session_check_and_time_out(server):
    assert server.post("SELECT 1", session_id="s7", session_check=1).code == 372
    server.sql("CREATE TEMPORARY TABLE gone (a Int8)", session_id="s7", session_timeout=1)
    assert server.post("SELECT 1", session_id="s7", session_timeout=99_999).code == 374
    assert server.post("SELECT 1", session_id="s7", session_timeout="x").code == 374
    until(
        lambda: server.post("SELECT 1", session_id="s7", session_check=1, session_timeout=0).code == 372,
        "the session's end",
    )


def test_a_session_is_closed_on_request(server):
    server.sql("SELECT 1", session_id="s8", close_session=1)
    assert server.post("SELECT 1", session_id="s8", session_check=1).code == 372


def test_sessions_do_not_leak_connections(server):
    stop = threading.Event()

    def use(worker: int) -> int:
        done = 0
        while not stop.is_set() and done < 50:
            server.sql("SELECT 1", session_id=f"leak-{worker}-{done}", session_timeout=0)
            done += 1
        return done

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use, range(4))) == 200
    assert server.sql("SELECT 1") == "1"
