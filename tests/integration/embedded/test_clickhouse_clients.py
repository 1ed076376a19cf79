"""The embedded ClickHouse with clickhouse-connect, and with the bytes that clickhouse-go (Grafana) exchanges."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import io
import uuid
from collections.abc import Iterator
from struct import Struct

import lz4.block
import lz4.frame
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from tests.support.clickhouse_server import ServerProcess, running
from tokentide.embedded.clickhouse.block_compression import BlockDecoder, BlockEncoder

pytestmark = pytest.mark.embedded

COLUMNS = {
    "a": "Int64",
    "b": "String",
    "c": "Float64",
    "d": "LowCardinality(String)",
    "e": "Nullable(Int32)",
    "f": "DateTime64(3)",
    "g": "Decimal(38, 12)",
    "h": "Array(String)",
    "i": "Map(String, UInt32)",
    "j": "Tuple(UInt8, String)",
    "k": "FixedString(4)",
    "l": "Bool",
    "m": "Enum8('x' = 1, 'y' = 2)",
    "n": "LowCardinality(Nullable(String))",
    "o": "UUID",
    "p": "Array(LowCardinality(String))",
}
ROW = (
    1,
    "it's",
    1.5,
    "low",
    None,
    dt.datetime(2024, 1, 1, 1, 1, 1, 123000),  # noqa: DTZ001 - the client gives the time zone of the server
    decimal.Decimal("123456789.000000000001"),
    ["a", "b"],
    {"k": 1},
    (1, "t"),
    b"abcd",
    True,
    "y",
    None,
    uuid.UUID(int=5),
    ["p", "q", "p"],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running(tmp_path_factory.mktemp("clickhouse")) as started:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        started.sql(f"CREATE TABLE every ({columns}) ENGINE = MergeTree ORDER BY a")
        started.sql("CREATE TABLE plain (a Int64, b String) ENGINE = MergeTree ORDER BY a")
        yield started


@pytest.fixture(params=[True, "lz4", "zstd", "gzip", False])
def client(server, request):
    with server.client(compress=request.param) as connected:
        server.sql("TRUNCATE TABLE every")
        server.sql("TRUNCATE TABLE plain")
        yield connected


def test_every_type_there_and_back(client):
    summary = client.insert("every", [ROW], column_names=list(COLUMNS))
    assert summary.written_rows == 1
    result = client.query("SELECT * FROM every")
    assert result.result_rows == [ROW]
    assert [kind.name for kind in result.column_types] == list(COLUMNS.values())


def test_arrow_there_and_back(client):
    table = pa.table({"a": pa.array(range(200_000), pa.int64()), "b": [f"row {n}" for n in range(200_000)]})
    assert client.insert_arrow("plain", table, settings={"async_insert": 0}).written_rows == 200_000
    back = client.query_arrow("SELECT * FROM plain ORDER BY a", use_strings=True)
    assert back.column("a").to_pylist() == list(range(200_000))
    assert back.column("b")[199_999].as_py() == "row 199999"


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", None])
def test_raw_inserts(server, encoding):
    from backports import zstd  # noqa: PLC0415 - of 3.13 and before

    compress = {"lz4": lz4.frame.compress, "zstd": zstd.compress, "gzip": gzip.compress}.get(encoding, bytes)
    server.sql("TRUNCATE TABLE plain")
    with server.client() as client:
        rows = compress(b"1,x\n2,y\n")
        summary = client.raw_insert("plain", ["a", "b"], rows, fmt="CSV", compression=encoding)
        assert summary.written_rows == 2
        client.raw_insert("plain", ["a", "b"], io.BytesIO(b"3,z\n"), fmt="CSV")
        assert client.query("SELECT * FROM plain ORDER BY a").result_rows == [(1, "x"), (2, "y"), (3, "z")]


def test_blocks_of_many_rows_stream(client):
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(300000)") as stream:
        rows = [row for block in stream for row in block]
    assert rows[-1] == (299_999, "299999")
    assert len(rows) == 300_000


def test_results_without_rows_have_columns(client):
    assert client.query("SELECT a, b FROM plain WHERE 0").column_names in {("a", "b"), ()}
    assert client.query("SELECT a, b FROM plain LIMIT 0").column_names == ("a", "b")
    assert client.query("SELECT a FROM plain WHERE 0").result_rows == []


def test_parameters_settings_and_summaries(client):
    ask = "SELECT {n:UInt8}, {s:String}, {a:Array(String)}, {d:DateTime}, {z:Nullable(String)}, getSetting('max_threads')"
    values = {"n": 5, "s": "tab\tnl\nbs\\q'", "a": ["x'y", "z"], "d": dt.datetime(2024, 1, 1, 5), "z": None}  # noqa: DTZ001 - as above
    result = client.query(ask, parameters=values, settings={"max_threads": 1})
    assert result.result_rows == [(5, values["s"], values["a"], values["d"], None, 1)]
    assert result.summary["result_rows"] == "1"
    assert result.query_id


def test_commands(client):
    assert client.command("SELECT 1") == 1
    assert client.command("SELECT 'a', 'b'") == ["a", "b"]
    assert client.command("SELECT 1 WHERE 0") == ""
    assert client.command("CREATE TABLE IF NOT EXISTS plain (a Int8) ENGINE = Memory").written_rows == 0
    assert client.command("INSERT INTO plain VALUES (1, 'x')").written_rows == 1
    assert client.command("INSERT INTO plain FORMAT CSV", data="2,y").written_rows == 1
    assert client.raw_query("SELECT a FROM plain ORDER BY a", fmt="JSONEachRow") == b'{"a":1}\n{"a":2}\n'


def test_errors_carry_code_and_name(client):
    with pytest.raises(DatabaseError) as failure:
        client.query("SELECT * FROM nowhere")
    assert (failure.value.code, failure.value.name) == (60, "UNKNOWN_TABLE")
    with pytest.raises(DatabaseError, match="Cannot parse"):
        client.raw_insert("plain", ["a", "b"], "x,y\n", fmt="CSV")
    with pytest.raises(DatabaseError, match="non-zero"):
        client.query("SELECT throwIf(number = 900000) FROM numbers(1000000)")


@pytest.mark.filterwarnings("ignore")
def test_an_error_in_the_middle_of_a_stream_is_noticed(client):
    stream = client.query_row_block_stream("SELECT number, throwIf(number = 9000000) FROM numbers(10000000)")
    with stream, pytest.raises(StreamFailureError, match="395"):
        for _ in stream:
            pass


def test_sessions_are_what_the_client_uses_by_default(client):
    client.command("CREATE TEMPORARY TABLE mine (a Int8)")
    client.command("INSERT INTO mine VALUES (7)")
    client.command("SET max_block_size = 333")
    assert client.query("SELECT a, getSetting('max_block_size') FROM mine").result_rows == [(7, 333)]
    assert client.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 5}).first_row == (
        5,
    )
    assert client.query("SELECT getSetting('max_block_size')").first_row == (333,)


def test_external_data(client):
    table = ExternalData(
        file_name="ext.csv", data=b"1,a\n2,b\n", fmt="CSV", structure="id UInt32, name String"
    )
    ask = "SELECT id, name FROM ext ORDER BY id"
    assert client.query(ask, external_data=table).result_rows == [(1, "a"), (2, "b")]
    assert client.query(ask, external_data=table).result_rows == [(1, "a"), (2, "b")]


def test_external_data_cannot_smuggle_sql(server):
    with server.client(username="reader", autogenerate_session_id=False) as client:
        for structure in (
            "a Int8) ENGINE = Memory AS SELECT 1 --",
            "a String DEFAULT file('/etc/passwd')",
            "'",
        ):
            table = ExternalData(file_name="e.csv", data=b"1\n", fmt="CSV", structure=structure)
            try:
                rows = client.query("SELECT * FROM e", external_data=table).result_rows
            except DatabaseError:
                continue
            assert "root" not in str(rows)


def test_a_reader_connects_and_reads(server):
    server.sql("TRUNCATE TABLE plain")
    server.sql("INSERT INTO plain VALUES (1, 'x')")
    with server.client(username="reader") as client:
        assert client.query("SELECT * FROM plain").result_rows == [(1, "x")]
        with pytest.raises(DatabaseError) as failure:
            client.command("DROP TABLE plain")
        assert failure.value.code == 164


def test_many_threads_share_one_client(server):
    import concurrent.futures  # noqa: PLC0415 - the only use

    with (
        server.client(autogenerate_session_id=False) as client,
        concurrent.futures.ThreadPoolExecutor(6) as pool,
    ):
        answers = list(pool.map(lambda n: client.query(f"SELECT {n}, sleep(0.05)").first_row[0], range(30)))
    assert answers == list(range(30))


# --- what clickhouse-go sends: Native with a protocol version, blocks compressed by ClickHouse's own scheme


GO = {"default_format": "Native", "client_protocol_version": 54460, "database": "default"}


class Blocks:
    """Reads Native blocks as clickhouse-go does, types of fixed size and strings only."""

    def __init__(self, data: bytes, revision: int) -> None:
        self.data, self.at, self.revision = data, 0, revision

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def string(self) -> str:
        return self.take(self.varint()).decode()

    def read(self) -> list[dict[str, list[object]]]:
        blocks = []
        while self.at < len(self.data):
            assert self.take(8) == b"\x01\x00\x02\xff\xff\xff\xff\x00"
            columns, rows = self.varint(), self.varint()
            block: dict[str, list[object]] = {}
            for _ in range(columns):
                name, kind = self.string(), self.string()
                if self.revision >= 54454:
                    assert self.take(1) == b"\x00"
                if kind == "String":
                    block[name] = [self.string() for _ in range(rows)]
                else:
                    type_ = {"UInt64": "<u8", "UInt32": "<u4", "UInt8": "u1"}[kind]
                    raw = self.take(np.dtype(type_).itemsize * rows)
                    block[name] = np.frombuffer(raw, type_).tolist()
            blocks.append(block)
        return blocks


@pytest.mark.parametrize("revision", [1, 54405, 54453, 54454, 54460, 54515])
def test_native_blocks_of_every_revision(server, revision):
    ask = "SELECT number AS n, toString(number) AS s FROM numbers(150000)"
    body = server.post(ask, default_format="Native", client_protocol_version=revision).body
    blocks = Blocks(body, revision).read()
    assert len(blocks) > 1
    assert [n for block in blocks for n in block["n"]] == list(range(150_000))
    assert [s for block in blocks for s in block["s"]] == [str(n) for n in range(150_000)]


def test_the_handshake_of_clickhouse_go(server):
    body = server.post("SELECT displayName(), version(), revision(), timezone()", **GO).body
    (block,) = Blocks(body, 54460).read()
    assert [values[0] for values in block.values()] == [
        "tokentide",
        server.ready.version,
        block["revision()"][0],
        "UTC",
    ]
    assert block["revision()"][0] >= 54460


@pytest.mark.parametrize(
    "statement", ["SHOW DATABASES", "EXISTS TABLE plain", "EXPLAIN SELECT 1", "DESCRIBE plain"]
)
def test_statements_that_show_in_native_blocks(server, statement):
    (block,) = Blocks(server.post(statement, **GO).body, 54460).read()
    assert all(block.values())


def test_a_native_result_without_rows_has_its_columns(server):
    (block,) = Blocks(server.post("SELECT toUInt8(1) AS x, 'y' AS y WHERE 0", **GO).body, 54460).read()
    assert block == {"x": [], "y": []}


def test_a_native_insert_has_no_revision(server):
    server.sql("CREATE OR REPLACE TABLE native (x UInt8, y String) ENGINE = Memory")
    block = b"\x02\x02" + b"\x01x\x05UInt8\x01\x02" + b"\x01y\x06String\x01a\x01b"
    assert server.post(block, query="INSERT INTO native FORMAT Native", **GO).status == 200
    assert server.sql("SELECT * FROM native ORDER BY x") == "1\ta\n2\tb"


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
def test_blocks_compressed_by_clickhouse_s_own_scheme(server, method):
    ask = "SELECT number AS n FROM numbers(500000)"
    compressed = server.post(ask, compress=1, network_compression_method=method, **GO).body
    assert compressed[16] == {"LZ4": 0x82, "ZSTD": 0x90}[method]
    decoder = BlockDecoder()
    data = b"".join(decoder.feed(compressed))
    decoder.finish()
    assert sum(len(block["n"]) for block in Blocks(data, 54460).read()) == 500_000


def test_inserts_compressed_by_clickhouse_s_own_scheme(server):
    server.sql("CREATE OR REPLACE TABLE packed (x UInt64) ENGINE = Memory")
    encoder = BlockEncoder("ZSTD")
    rows = b"".join(Struct("<Q").pack(number) for number in range(300_000))
    body = encoder.compress(rows) + encoder.flush()
    assert server.post(body, query="INSERT INTO packed FORMAT RowBinary", decompress=1).status == 200
    assert server.sql("SELECT count(), sum(x) FROM packed") == "300000\t44999850000"
    damaged = body[:30] + bytes([body[30] ^ 1]) + body[31:]
    assert server.post(damaged, query="INSERT INTO packed FORMAT RowBinary", decompress=1).code == 40
    assert server.post(body[:-5], query="INSERT INTO packed FORMAT RowBinary", decompress=1).code == 271
    assert server.sql("SELECT count() FROM packed") == "300000"


def test_block_compression_inside_http_compression(server):
    response = server.post(
        "SELECT number AS n FROM numbers(1000)",
        {"Accept-Encoding": "gzip"},
        compress=1,
        enable_http_compression=1,
        **GO,
    )
    data = b"".join(BlockDecoder().feed(gzip.decompress(response.body)))
    assert Blocks(data, 54460).read()[0]["n"][-1] == 999


def test_the_blocks_are_those_of_lz4_itself(server):
    compressed = server.post("SELECT 'x'", compress=1).body
    assert lz4.block.decompress(compressed[25:], uncompressed_size=2) == b"x\n"
