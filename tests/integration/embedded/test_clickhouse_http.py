"""The HTTP interface, as `curl` would use it: every way to put a query, its parameters, formats, headers."""

from __future__ import annotations

import gzip
import json
import socket
import sys
import zlib
from collections.abc import Iterator

import lz4.frame
import pytest

from tests.support.clickhouse_server import ServerProcess, running
from tests.support.waiting import HANGING_S

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running(tmp_path_factory.mktemp("clickhouse")) as started:
        yield started


@pytest.fixture
def table(server: ServerProcess) -> Iterator[str]:
    server.sql("CREATE OR REPLACE TABLE t (a Int64, s String DEFAULT 'd') ENGINE = MergeTree ORDER BY a")
    yield "t"
    server.sql("DROP TABLE t SYNC")


# --- the small endpoints


@pytest.mark.parametrize("path", ["/ping", "/", "/replicas_status"])
def test_health_paths_answer_ok(server, path):
    response = server.request("GET", path)
    assert (response.status, response.body) == (200, b"Ok.\n")


def test_an_unknown_path_is_not_found(server):
    assert server.request("GET", "/play").status == 404


def test_head_gives_headers_without_a_body(server):
    response = server.request("HEAD", query="SELECT 1")
    assert (response.status, response.body) == (200, b"")
    assert response.headers["X-ClickHouse-Format"] == "TabSeparated"


# --- where the query stands


def test_query_in_the_url(server):
    assert server.get("SELECT 1 + 1").text == "2\n"


def test_query_in_the_body(server):
    assert server.post("SELECT 1 + 1").text == "2\n"


def test_url_and_body_are_one_query(server):
    assert server.post("FORMAT JSONEachRow", query="SELECT 1 AS a").text == '{"a":1}\n'


def test_query_in_a_chunked_body_of_small_pieces(server):
    assert server.request("POST", body=(bytes([byte]) for byte in b"SELECT 'chunked'")).text == "chunked\n"


def test_query_by_form(server):
    boundary = "frontier"
    fields = {"query": "SELECT {a:UInt8} + 1", "param_a": "4"}
    body = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert server.post(f"{body}--{boundary}--\r\n", headers).text == "5\n"


def test_a_form_brings_a_table_along(server):
    boundary = "frontier"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="ext"; filename="ext.csv"\r\n\r\n'
        f"1,a\n2,b\n\r\n--{boundary}--\r\n"
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    response = server.post(
        body, headers, query="SELECT max(_1), any(_2) FROM ext", ext_format="CSV", ext_types="UInt8,String"
    )
    assert response.text == "2\ta\n"


def test_a_semicolon_and_comments_around_the_query_are_accepted(server):
    assert server.post("/* a /* nested */ one */ SELECT 'x;y' -- end\n;  -- more").text == "x;y\n"


@pytest.mark.usefixtures("table")
def test_two_statements_are_refused_and_none_is_run(server):
    response = server.post("SELECT 1; DROP TABLE t")
    assert (response.status, response.code) == (400, 62)
    assert "Multi-statements are not allowed" in response.text
    assert server.sql("EXISTS TABLE t") == "1"


def test_an_empty_post_is_a_syntax_error(server):
    assert server.post("").code == 62


def test_a_statement_beyond_max_query_size_is_refused_until_that_is_raised(server):
    statement = f"SELECT length('{'x' * 300_000}')"
    assert server.post(statement).code == 62
    assert server.post(statement, max_query_size=1_000_000).text == "300000\n"


# --- parameters


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        ("UInt8", "7", "7"),
        ("String", "it's", "it\\'s"),
        ("String", "tab\\there", "tab\\there"),
        ("String", "ü 漢", "ü 漢"),
        ("Array(String)", "['a','b\\'c']", "['a','b\\'c']"),
        ("Nullable(String)", "\\N", "\\N"),
        ("DateTime64(3)", "2024-01-01 00:00:00.123", "2024-01-01 00:00:00.123"),
        ("Map(String, UInt8)", "{'k':1}", "{'k':1}"),
    ],
)
def test_server_side_parameters(server, kind, sent, expected):
    assert server.sql(f"SELECT {{p:{kind}}}", param_p=sent) == expected


@pytest.mark.usefixtures("table")
def test_an_identifier_as_parameter(server):
    server.sql("INSERT INTO {t:Identifier} VALUES (1, 'x')", param_t="t")
    assert server.sql("SELECT {c:Identifier} FROM {t:Identifier}", param_c="s", param_t="t") == "x"


def test_a_missing_parameter_is_an_error_with_its_name(server):
    response = server.post("SELECT {p:UInt8}")
    assert response.code == 456
    assert "`p`" in response.text


def test_parameters_do_not_outlive_the_request(server):
    server.sql("SELECT {p:UInt8}", param_p="1")
    assert server.post("SELECT {p:UInt8}").code == 456


def test_settings_in_the_url_hold_for_that_request_only(server):
    assert server.sql("SELECT getSetting('max_block_size')", max_block_size="123") == "123"
    assert server.sql("SELECT getSetting('max_block_size')") != "123"


def test_an_unknown_setting_is_refused(server):
    response = server.post("SELECT 1", no_such_setting="1")
    assert (response.status, response.code) == (404, 115)


def test_a_setting_s_value_cannot_leave_its_quotes(server):
    response = server.post("SELECT 1", session_timezone="UTC', max_threads = '1")
    assert response.code == 36
    assert "Invalid time zone" in response.text


@pytest.mark.parametrize("how", ["parameter", "header"])
def test_the_database_of_a_request(server, how):
    server.sql("CREATE DATABASE IF NOT EXISTS other")
    asked = "SELECT currentDatabase()"
    if how == "parameter":
        assert server.sql(asked, database="other") == "other"
    else:
        assert server.post(asked, {"X-ClickHouse-Database": "other"}).text == "other\n"
    assert server.sql(asked) == "default"


def test_an_unknown_database_is_not_found(server):
    response = server.post("SELECT 1", database="nowhere")
    assert (response.status, response.code) == (404, 81)


# --- formats and headers


def test_the_format_comes_from_the_statement_then_the_url_then_a_header(server):
    header = {"X-ClickHouse-Format": "CSV"}
    assert server.post("SELECT 'a'", header).text == '"a"\n'
    assert server.post("SELECT 'a' AS x", header, default_format="JSONEachRow").text == '{"x":"a"}\n'
    assert server.post("SELECT 'a' FORMAT TSVRaw", header, default_format="JSON").text == "a\n"


def test_every_output_format_gives_one_whole_document(server):
    # Those without a schema of their own to be named first.
    skipped = {"Template", "Protobuf", "ProtobufSingle", "ProtobufList", "CapnProto", "AvroConfluent"}
    names = server.sql("SELECT name FROM system.formats WHERE is_output ORDER BY name").splitlines()
    failed = {}
    for name in sorted(set(names) - skipped):
        response = server.post(f"SELECT number, toString(number) AS s FROM numbers(3) FORMAT {name}")
        if response.status != 200 or response.headers.get("X-ClickHouse-Format") != name:
            failed[name] = response.text
    # These want columns of certain names or number; a server refuses them in the same way.
    assert set(failed) <= {"GeoJSON", "Npy", "PNG", "Prometheus"}, failed
    assert len(names) > 60


def test_a_json_document_is_whole_over_many_blocks(server):
    response = server.post("SELECT number FROM numbers(200000) FORMAT JSON")
    document = json.loads(response.body)
    assert document["rows"] == 200_000
    assert len(document["data"]) == 200_000
    assert response.headers["Content-Type"] == "application/json; charset=UTF-8"


def test_totals_and_extremes_are_there(server):
    statement = (
        "SELECT number % 2 AS k, count() AS n FROM numbers(4) GROUP BY k WITH TOTALS ORDER BY k FORMAT JSON"
    )
    document = json.loads(server.post(statement, extremes=1, output_format_json_quote_64bit_integers=0).body)
    assert document["totals"] == {"k": 0, "n": 4}
    assert document["extremes"]["max"] == {"k": 1, "n": 2}


def test_settings_behind_the_format_clause(server):
    statement = (
        "SELECT toUInt64(1) AS a FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 1;"
    )
    assert server.sql(statement) == '{"a":"1"}'


def test_format_names_in_any_case(server):
    response = server.post("SELECT 'a' FORMAT csv")
    assert (response.text, response.headers["X-ClickHouse-Format"]) == ('"a"\n', "CSV")
    native = server.post("SELECT 1", default_format="native", client_protocol_version=54460)
    assert native.body.startswith(b"\x01\x00\x02\xff")


def test_an_unknown_format_is_not_found(server):
    assert server.post("SELECT 1 FORMAT Nonsense").status == 404
    assert server.post("SELECT 1", default_format="Non-sense'").status == 404


def test_headers_of_a_result(server):
    response = server.post("SELECT number FROM numbers(10)", query_id="my-query")
    headers = response.headers
    assert headers["X-ClickHouse-Query-Id"] == "my-query"
    assert headers["X-ClickHouse-Format"] == "TabSeparated"
    assert headers["X-ClickHouse-Timezone"] == "UTC"
    assert headers["X-ClickHouse-Server-Display-Name"] == "tokentide"
    assert headers["Content-Type"] == "text/tab-separated-values; charset=UTF-8"
    summary = json.loads(headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["read_bytes"], summary["result_rows"]) == ("10", "80", "10")


@pytest.mark.usefixtures("table")
def test_headers_of_an_insert(server):
    response = server.post("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    assert response.body == b""
    assert "X-ClickHouse-Format" not in response.headers
    summary = json.loads(response.headers["X-ClickHouse-Summary"])
    assert summary["written_rows"] == "2"
    assert int(summary["written_bytes"]) > 0


def test_the_time_zone_header_follows_the_session_time_zone(server):
    response = server.post("SELECT timezone()", session_timezone="Asia/Tokyo")
    assert response.headers["X-ClickHouse-Timezone"] == "Asia/Tokyo"
    assert response.text == "Asia/Tokyo\n"


def test_a_statement_without_rows_still_names_its_format(server):
    response = server.post("SELECT 1 WHERE 0")
    assert (response.body, response.headers["X-ClickHouse-Format"]) == (b"", "TabSeparated")


@pytest.mark.usefixtures("table")
def test_statements_that_show_are_results_too(server):
    assert "t" in server.sql("SHOW TABLES").splitlines()
    assert server.sql("DESCRIBE TABLE t FORMAT CSV").startswith('"a","Int64"')
    assert server.sql("EXISTS TABLE t FORMAT JSONEachRow") == '{"result":1}'
    assert "Output: a, s" in server.sql("EXPLAIN SELECT * FROM t")


def test_a_column_called_format_is_a_column(server):
    assert server.sql("SELECT format FROM (SELECT 'x' AS format)") == "x"


# --- inserts


@pytest.mark.usefixtures("table")
def test_data_in_the_body_of_an_insert_in_the_url(server):
    assert server.post(b'1,"x"\n2,y\n', query="INSERT INTO t FORMAT CSV").status == 200
    assert server.sql("SELECT a, s FROM t ORDER BY a FORMAT CSV") == '1,"x"\n2,"y"'


@pytest.mark.usefixtures("table")
def test_data_behind_the_statement_in_the_body(server):
    server.sql('INSERT INTO t (a) SETTINGS max_threads = 1 FORMAT JSONEachRow {"a": 1}\n{"a": 2}')
    assert server.sql("SELECT count(), any(s) FROM t") == "2\td"


@pytest.mark.usefixtures("table")
def test_values_with_expressions_parameters_and_a_semicolon(server):
    server.sql("INSERT INTO t VALUES (1 + 1, upper('x')), (toInt64('7'), 'a;b');")
    assert server.sql("SELECT a, s FROM t ORDER BY a") == "2\tX\n7\ta;b"


@pytest.mark.usefixtures("table")
def test_binary_data_is_taken_byte_for_byte(server):
    rows = b"".join(number.to_bytes(8, "little") + b"\x02\n;" for number in (1, 2))
    server.request("POST", body=b"INSERT INTO t FORMAT RowBinary\n" + rows)
    assert server.sql("SELECT count() FROM t WHERE s = '\\n;'") == "2"


@pytest.mark.usefixtures("table")
def test_an_insert_from_a_select_parallel_to_its_own_table(server):
    server.sql("INSERT INTO t SELECT number, 'x' FROM numbers(1000)")
    server.sql("INSERT INTO t (a, s) SELECT a + 1000, s FROM t")
    assert server.sql("SELECT count(), max(a) FROM t") == "2000\t1999"


def test_an_insert_into_a_table_called_like_a_keyword(server):
    server.sql("CREATE OR REPLACE TABLE format (values Int8) ENGINE = Memory")
    server.sql("INSERT INTO format (values) VALUES (1)")
    server.sql("INSERT INTO default.format FORMAT CSV\n2")
    assert server.sql("SELECT sum(values) FROM default.format") == "3"


@pytest.mark.usefixtures("table")
def test_bad_rows_are_refused_whole_with_the_row(server):
    response = server.post(b"1,x\nnonsense,y\n", query="INSERT INTO t FORMAT CSV")
    assert (response.status, response.code) == (400, 27)
    assert "row 2" in response.text
    assert "/dev/fd" not in response.text
    assert response.text.count("Code: 27") == 1
    assert server.sql("SELECT count() FROM t") == "0"


def test_a_violated_constraint_is_an_error_and_nothing_is_stored(server):
    server.sql(
        "CREATE OR REPLACE TABLE c (a Int8, CONSTRAINT small CHECK a < 5) ENGINE = MergeTree ORDER BY a"
    )
    response = server.post("INSERT INTO c VALUES (1), (9)")
    assert response.code == 469
    assert server.sql("SELECT count() FROM c") == "0"


@pytest.mark.usefixtures("table")
def test_an_insert_that_takes_too_long_is_an_error(server):
    rows = b"1,x\n" * 3_000_000
    response = server.post(rows, query="INSERT INTO t FORMAT CSV", max_execution_time="0.01")
    assert (response.status, response.code) == (408, 159)
    assert server.sql("SELECT count() FROM t") == "0"


@pytest.mark.usefixtures("table")
def test_an_insert_with_data_for_input_is_refused_instead_of_losing_it(server):
    response = server.post("INSERT INTO t SELECT a, s FROM input('a Int64, s String') FORMAT CSV\n1,x")
    assert response.code == 48


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("lz4", lz4.frame.compress),
        ("zstd", zstd.compress),
    ],
)
@pytest.mark.usefixtures("table")
def test_compressed_bodies(server, encoding, compress):
    headers = {"Content-Encoding": encoding}
    body = compress(b"1,x\n") + compress(b"2,y\n") if encoding != "deflate" else compress(b"1,x\n2,y\n")
    assert server.post(body, headers, query="INSERT INTO t FORMAT CSV").status == 200
    assert server.sql("SELECT sum(a) FROM t") == "3"
    assert server.post(compress(b"SELECT 'packed'"), headers).text == "packed\n"


@pytest.mark.usefixtures("table")
def test_a_truncated_compressed_body_stores_nothing(server):
    body = gzip.compress(b"1,x\n" * 1000)[:-8]
    response = server.post(body, {"Content-Encoding": "gzip"}, query="INSERT INTO t FORMAT CSV")
    assert response.code == 271
    assert server.sql("SELECT count() FROM t") == "0"


def test_an_unknown_content_encoding_is_refused(server):
    assert server.post(b"x", {"Content-Encoding": "br"}).status == 501


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4", "zstd"])
def test_compressed_responses(server, encoding):
    decompress = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "lz4": lz4.frame.decompress,
        "zstd": zstd.decompress,
    }[encoding]
    expected = "".join(f"{number}\n" for number in range(300_000)).encode()
    headers = {"Accept-Encoding": f"br, {encoding};q=0.5"}
    statement = "SELECT number FROM numbers(300000)"
    for wait in (0, 1):
        response = server.post(statement, headers, enable_http_compression=1, wait_end_of_query=wait)
        assert response.headers["Content-Encoding"] == encoding
        assert decompress(response.body) == expected
    assert "Content-Encoding" not in server.post(statement, headers).headers


def test_an_accepted_encoding_with_quality_zero_is_not_used(server):
    headers = {"Accept-Encoding": "gzip;q=0"}
    assert "Content-Encoding" not in server.post("SELECT 1", headers, enable_http_compression=1).headers


# --- connections


def test_one_connection_serves_many_requests(server):
    connection = server.connection()
    for number in range(5):
        connection.request("POST", "/", f"SELECT {number}".encode())
        assert connection.getresponse().read() == f"{number}\n".encode()
        connection.request("POST", "/", b"SELECT nonsense")
        assert connection.getresponse().read().startswith(b"Code: 47.")
    connection.close()


@pytest.mark.usefixtures("table")
def test_expect_100_continue_is_answered(server):
    with open_socket(server) as connection:
        head = (
            "POST /?query=INSERT+INTO+t+FORMAT+CSV HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
            "Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"5,x\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert server.sql("SELECT a FROM t") == "5"


def test_http_1_0_is_answered_without_chunks(server):
    with open_socket(server) as connection:
        connection.sendall(
            b"GET /?query=SELECT+number+FROM+numbers(300000) HTTP/1.0\r\nHost: localhost\r\n\r\n"
        )
        data = b""
        while piece := connection.recv(1 << 16):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body.splitlines()[-1] == b"299999"


def test_headers_and_urls_have_limits(server):
    assert server.request("GET", headers={"X-Long": "x" * 200_000}).status in {400, 431}
    assert server.request("GET", "/?query=" + "x" * 1_100_000).status in {400, 414}
    assert server.get("SELECT 1").status == 200


def open_socket(server: ServerProcess) -> socket.socket:
    return socket.create_connection((server.ready.host, server.ready.port), timeout=HANGING_S)
