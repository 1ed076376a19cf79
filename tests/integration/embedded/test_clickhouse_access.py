"""Who may do what: passwords, the read-only user, browsers, and everything that could reach out of the data."""

from __future__ import annotations

import base64
import concurrent.futures
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clickhouse_server import ServerProcess, launch, running
from tests.support.waiting import HANGING_S, until
from tokentide.embedded.clickhouse import StartFailure
from tokentide.embedded.clickhouse.share import concurrent_readers, reader_nice, reading_threads

pytestmark = pytest.mark.embedded

SLOW = "SELECT count() FROM system.numbers WHERE sipHash64(number) = 1"
SECRET = "the-content-of-a-secret-file"


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Without passwords."""
    folder = tmp_path_factory.mktemp("open")
    with running(folder, "--reader-max-result-rows", "1000", "--reader-max-execution-s", "5") as server:
        server.sql("CREATE TABLE t (a Int64, s String, file String) ENGINE = MergeTree ORDER BY a")
        server.sql("INSERT INTO t VALUES (1, 'x', 'y')")
        yield server


@pytest.fixture(scope="module")
def patient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Readers may read for a minute."""
    with running(tmp_path_factory.mktemp("patient")) as server:
        yield server


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With passwords: `full` and `read`."""
    folder = tmp_path_factory.mktemp("closed")
    full, read = password_file(folder / "full", "full"), password_file(folder / "read", "read")
    with running(folder, password_file=full, reader_password_file=read) as server:
        yield server


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "secret.txt"
    path.write_text(SECRET, encoding="ascii")
    return path


def password_file(path: Path, password: str) -> Path:
    path.write_text(password + "\n", encoding="ascii")
    path.chmod(0o600)
    return path


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# --- passwords


FULL = {"user": "default", "password": "full"}

WAYS = {
    "basic": lambda user, password: ({}, basic(user, password)),
    "headers": lambda user, password: ({}, {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}),
    "url": lambda user, password: ({"user": user, "password": password}, {}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("user", "password", "status", "code"),
    [
        ("default", "full", 200, 0),
        ("reader", "read", 200, 0),
        ("default", "wrong", 403, 516),
        ("default", "read", 403, 516),
        ("reader", "full", 403, 516),
        ("reader", "", 403, 516),
        ("nobody", "full", 403, 516),
    ],
)
def test_user_and_password_by_every_way(closed_server, way, user, password, status, code):
    params, headers = WAYS[way](user, password)
    response = closed_server.post("SELECT 1", headers, **params)
    assert (response.status, response.code) == (status, code)


def test_a_wrong_password_and_an_unknown_user_look_alike(closed_server):
    texts = {
        closed_server.post("SELECT 1", basic(user, "x")).text.replace(user, "U")
        for user in ("default", "nobody")
    }
    assert len(texts) == 1


def test_no_credentials_where_a_password_is_needed_ask_for_them(closed_server):
    response = closed_server.post("SELECT 1")
    assert (response.status, response.code) == (401, 194)
    assert response.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_several_ways_at_once_are_refused(closed_server):
    assert closed_server.post("SELECT 1", basic("default", "full"), user="default").code == 516


def test_an_unreadable_authorization_is_refused(closed_server):
    for value in ("Basic !!!", "Bearer abc", "Basic"):
        assert closed_server.post("SELECT 1", {"Authorization": value}).code == 516


def test_ping_needs_no_password(closed_server):
    assert closed_server.request("GET", "/ping").text == "Ok.\n"


def test_passwords_are_in_no_answer_and_no_log(closed_server):
    answers = [closed_server.post("SELECT 1", basic("default", "canary-password")).text]
    answers.append(closed_server.sql("SELECT * FROM system.processes FORMAT Vertical", **FULL))
    answers.append(closed_server.sql("SELECT name, value FROM system.settings", **FULL))
    assert "canary-password" not in "".join(answers) + closed_server.log
    assert closed_server.post("SELECT * FROM system.users", **FULL).code == 497


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"host": "0.0.0.0"}, "--password-file"),
        ({"host": "localhost.example.org"}, "--password-file"),
        ({"port": 70_000}, "0 to 65535"),
    ],
)
def test_unsafe_or_wrong_options_are_refused_with_the_remedy(tmp_path, arguments, remedy):
    said = launch(tmp_path, **arguments)
    assert isinstance(said, StartFailure)
    assert said.reason == "usage"
    assert remedy in said.message


def test_a_password_that_others_can_read_is_refused(tmp_path):
    file = password_file(tmp_path / "password", "x")
    file.chmod(0o644)
    said = launch(tmp_path, password_file=file)
    assert isinstance(said, StartFailure)
    assert "chmod 600" in said.message


def test_other_machines_may_connect_with_a_password(tmp_path):
    file = password_file(tmp_path / "password", "x")
    with running(tmp_path, password_file=file, host="0.0.0.0") as server:
        assert server.post("SELECT 1", basic("default", "x")).status == 200
        assert server.post("SELECT 1").status == 401
        # `reader` has no password of its own here, so it does not exist
        assert server.post("SELECT 1", basic("reader", "")).code == 516


# --- browsers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "evil.example:8123"},
    ],
)
def test_foreign_web_pages_are_refused_where_no_password_protects(open_server, headers):
    response = open_server.post("SELECT 1", headers)
    assert (response.status, response.code) == (403, 497)


@pytest.mark.parametrize("host", ["localhost", "localhost:8123", "127.0.0.1", "[::1]:8123"])
def test_local_names_and_addresses_are_served(open_server, host):
    assert open_server.post("SELECT 1", {"Host": host}).status == 200


def test_with_a_password_other_names_and_pages_are_served(closed_server):
    headers = {**basic("default", "full"), "Host": "telemetry.example", "Origin": "https://grafana.example"}
    assert closed_server.post("SELECT 1", headers).status == 200


# --- the read-only user


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count() FROM t",
        "WITH 1 AS x SELECT x + a FROM t",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "FROM t SELECT a",
        "SHOW TABLES",
        "SHOW CREATE TABLE t",
        "DESCRIBE TABLE t",
        "DESC t",
        "EXPLAIN SELECT * FROM t",
        "EXPLAIN AST SELECT 1",
        "EXISTS TABLE t",
        "SELECT * FROM numbers(3)",
        "SELECT * FROM view(SELECT 1)",
        "SELECT t.file, file FROM t WHERE file != 'x' ORDER BY file",
        "SELECT 'a \\'file\\' here', `s` FROM t WHERE s LIKE '%file%'",
        "SELECT arrayMap(x -> x + 1, [1]), upper(file) FROM t",
    ],
)
def test_a_reader_may_read(open_server, statement):
    response = open_server.post(statement, user="reader")
    assert response.status == 200, response.text


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t (a) VALUES (2)",
        "INSERT INTO t (a) SELECT 2",
        "INSERT INTO FUNCTION file('/tmp/never', 'CSV', 'a Int8') VALUES (1)",
        "CREATE TABLE u (a Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE u (a Int8)",
        "CREATE DATABASE u",
        "CREATE VIEW u AS SELECT 1",
        "CREATE FUNCTION u AS x -> x",
        "CREATE USER u",
        "DROP TABLE t",
        "TRUNCATE TABLE t",
        "ALTER TABLE t DELETE WHERE 1",
        "DELETE FROM t WHERE 1",
        "UPDATE t SET s = 'z' WHERE 1",
        "OPTIMIZE TABLE t",
        "RENAME TABLE t TO u",
        "EXCHANGE TABLES t AND t",
        "DETACH TABLE t",
        "ATTACH TABLE t",
        "BACKUP TABLE t TO File('/tmp/never')",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "SYSTEM SHUTDOWN",
        "GRANT SELECT ON *.* TO default",
        "SET max_threads = 1",
        "SET readonly = 0",
        "SET ROLE NONE",
        "USE system",
        "CHECK TABLE t",
        "EXECUTE AS default SELECT 1",
        "COPY t TO '/tmp/never'",
        "BEGIN TRANSACTION",
        "SELECT 1; DROP TABLE t",
        "SELECT 1; BEGIN TRANSACTION; DROP TABLE t",
        "SELECT 1 INTO OUTFILE '/tmp/never'",
        "SELECT 1 INTO/**/outfile '/tmp/never' TRUNCATE FORMAT CSV",
        "SHOW TABLES INTO OUTFILE '/tmp/never'",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 1000",
        "SELECT 1 FORMAT CSV SETTINGS max_result_rows = 0",
    ],
)
def test_a_reader_may_change_nothing(open_server, tmp_path, statement):
    never = tmp_path / "never"
    response = open_server.post(statement.replace("/tmp/never", str(never)), user="reader")
    assert response.status >= 400, response.text
    assert response.code in {62, 164, 358, 48}, response.text
    assert not never.exists()
    assert open_server.sql("SELECT count() FROM t") == "1"


def test_a_reader_s_limits_hold_and_can_only_be_lowered(open_server):
    ask = "SELECT getSetting('max_execution_time'), getSetting('max_result_rows')"
    assert open_server.sql(ask, user="reader") == "5\t1000"
    assert open_server.sql(ask, user="reader", max_execution_time=2, max_result_rows=10) == "2\t10"
    assert open_server.sql(ask, user="reader", max_execution_time=99, max_result_rows=0) == "5\t1000"
    assert open_server.post("SELECT number FROM numbers(2000)", user="reader").code == 396
    slow = "SELECT count() FROM system.numbers WHERE sipHash64(number) = 1"
    assert open_server.post(slow, user="reader", max_execution_time=0.2).code == 159


def test_a_reader_sets_how_results_look_but_not_what_is_allowed(open_server):
    shown = open_server.sql(
        "SELECT toUInt64(1) AS a",
        user="reader",
        default_format="JSONEachRow",
        output_format_json_quote_64bit_integers=1,
    )
    assert shown == '{"a":"1"}'
    for setting in (
        "allow_ddl",
        "allow_experimental_eval_table_function",
        "max_rows_to_read",
        "profile",
        "custom_x",
    ):
        assert open_server.post("SELECT 1", user="reader", **{setting: "1"}).code == 164
    assert open_server.sql("SELECT getSetting('readonly')", user="reader", readonly="0") == "1"


def test_a_reader_s_statement_has_its_share_of_the_threads(open_server):
    for asked in ({}, {"max_threads": 64}, {"max_threads": "auto"}):
        assert open_server.sql("SELECT getSetting('max_threads')", user="reader", **asked) == str(
            reading_threads()
        )
    assert open_server.sql("SELECT getSetting('max_threads')") == str(reading_threads())
    assert open_server.sql("SELECT getSetting('max_threads')", max_threads=7) == "7"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="priorities of threads are read from /proc")
def test_a_reader_s_threads_are_lower_while_it_reads_and_as_all_others_afterwards(patient_server):
    """Where this process may raise them again; else they stay as they are, because an insert would get them next."""

    def lowered() -> int:
        tasks = Path(f"/proc/{patient_server.process.pid}/task").glob("*/stat")
        return sum(int(task.read_text().rpartition(")")[2].split()[16]) > 0 for task in tasks)

    at_once = concurrent_readers()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        reading = [
            pool.submit(patient_server.post, SLOW, user="reader", query_id=f"low{n}") for n in range(at_once)
        ]
        patient_server.wait_until_running("sipHash64(number) = 1", count=at_once)
        assert (lowered() > 0) is (reader_nice() > 0)
        patient_server.sql("KILL QUERY WHERE startsWith(Settings['log_comment'], 'low')")
        assert {future.result(HANGING_S).code for future in reading} == {394}
    until(lambda: lowered() == 0, "threads as all others")


def test_readers_take_no_place_from_inserts(patient_server):
    patient_server.sql("CREATE OR REPLACE TABLE beside_readers (a UInt64) ENGINE = MergeTree ORDER BY a")
    most = concurrent_readers()
    with concurrent.futures.ThreadPoolExecutor(most + 1) as pool:
        reading = [
            pool.submit(patient_server.post, SLOW, user="reader", query_id=f"r{n}") for n in range(most)
        ]
        patient_server.wait_until_running("sipHash64(number) = 1", count=most)
        one_more = patient_server.post("SELECT 1", user="reader")
        assert (one_more.code, "of readers" in one_more.text) == (202, True)
        patient_server.sql("INSERT INTO beside_readers VALUES (1)")
        assert patient_server.sql("SELECT count() FROM beside_readers") == "1"
        patient_server.sql("KILL QUERY WHERE startsWith(Settings['log_comment'], 'r')")
        assert {future.result(HANGING_S).code for future in reading} == {394}


def test_a_reader_s_session_changes_nothing(open_server):
    assert open_server.post("SET max_threads = 1", user="reader", session_id="r").code == 164
    assert open_server.sql("SELECT getSetting('readonly')", user="reader", session_id="r") == "1"
    assert open_server.sql("SELECT getSetting('readonly')", user="default", session_id="r") == "0"


# --- nothing reaches out, for either user


REACHING = {
    "file, scalar": "SELECT file('{path}')",
    "file, quoted": "SELECT \"file\"('{path}')",
    "file, escaped": "SELECT \"f\\x69le\"('{path}')",
    "file, backticks": "SELECT `fil\\x65`('{path}')",
    "file, comment between": "SELECT file/**/ ('{path}')",
    "file, applied": "SELECT * APPLY(file) FROM (SELECT '{path}')",
    "file, applied bare": "SELECT COLUMNS('.*') APPLY file FROM (SELECT '{path}' AS x)",
    "file, applied escaped": "SELECT * APPLY(\"f\\x69le\") FROM (SELECT '{path}')",
    "file, applied lambda": "SELECT * APPLY(x -> file(x)) FROM (SELECT '{path}')",
    "file, in a lambda": "SELECT arrayMap(x -> file(x), ['{path}'])",
    "file, as an argument": "SELECT arrayMap(file, ['{path}'])",
    "file, as a quoted argument": "SELECT arrayMap((`f\\x69le`), ['{path}'])",
    "file, in WITH": "WITH (x -> file(x)) AS f SELECT f('{path}')",
    "file, in a subquery": "SELECT * FROM (SELECT 1 WHERE file('{path}') != '') ",
    "file, in EXPLAIN": "EXPLAIN SYNTAX SELECT file('{path}')",
    "file, in LIMIT": "SELECT 1 LIMIT length(file('{path}'))",
    "file, table function": "SELECT * FROM file('{path}', 'LineAsString')",
    "file, described": "DESCRIBE TABLE file('{path}', 'CSV')",
    "file, schema": "DESCRIBE file('{path}')",
    "path as a table": "SELECT * FROM `{path}`",
    "path as a table of a database": "SELECT * FROM _local.`{path}`",
    "path as a string": "SELECT * FROM '{path}'",
    "filesystem": "SELECT * FROM filesystem('/etc')",
    "eval": "SELECT * FROM eval('SELECT file(''{path}'')')",
    "python": "SELECT * FROM Python(sys)",
    "python, small": "SELECT * FROM python(os)",
    "url": "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "url, described": "DESCRIBE url('http://127.0.0.1:1/x.csv')",
    "remote": "SELECT * FROM remote('127.0.0.1:1', 'a', 'b')",
    "s3": "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'a String')",
    "executable": "SELECT * FROM executable('sh', 'CSV', 'a String')",
    "mysql": "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "sqlite": "SELECT * FROM sqlite('{path}', 't')",
    "template": "SELECT 1 AS x FORMAT Template SETTINGS format_template_row = '{path}'",
    "template, quoted": "SELECT 1 AS x FORMAT Template SETTINGS `format_template_r\\x6fw` = '{path}'",
    "schema": "SELECT 1 AS x FORMAT Protobuf SETTINGS format_schema = '{path}:M'",
}


@pytest.mark.parametrize("user", ["default", "reader"])
@pytest.mark.parametrize("name", REACHING)
def test_no_statement_reads_a_file_or_opens_a_connection(open_server, secret, user, name):
    statement = REACHING[name].format(path=secret)
    response = open_server.post(statement, user=user)
    assert SECRET not in response.text
    assert response.status >= 400, response.text
    assert response.code in {46, 47, 60, 62, 81, 164, 344, 497, 36, 1}, response.text
    assert "onnection" not in response.text


@pytest.mark.parametrize("user", ["default", "reader"])
def test_a_parameter_brings_no_refused_function_in(open_server, secret, user):
    statement = "SELECT arrayMap({f:Identifier}, [{p:String}])"
    for name in ("file", "`file`"):
        response = open_server.post(statement, user=user, param_f=name, param_p=str(secret))
        assert response.status >= 400
        assert SECRET not in response.text


def test_no_function_of_the_engine_reads_a_file(open_server, secret):
    """Every function that the engine has, by name as a function and as an argument, in three shapes."""
    names = open_server.sql("SELECT DISTINCT name FROM system.functions WHERE NOT is_aggregate").splitlines()
    shapes = ["`{name}`('{path}')", "`{name}`(['{path}'])", "`{name}`(file, ['{path}'])"]
    assert "arrayMap" in names
    for name in names:
        # What waits for long, or has nothing to do with its arguments.
        if name in {"sleep", "sleepEachRow"}:
            continue
        for shape in shapes:
            expression = shape.format(name=name.replace("`", "\\`"), path=secret)
            response = open_server.post(f"SELECT {expression}", user="reader")
            assert SECRET.encode() not in response.body, expression


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE FUNCTION leak AS x -> file(x)",
        "CREATE TABLE leak (a String DEFAULT file('{path}')) ENGINE = Memory",
        "CREATE VIEW leak AS SELECT file('{path}')",
        "ALTER TABLE t ADD COLUMN leak String DEFAULT file('{path}')",
        "ALTER TABLE t UPDATE s = file('{path}') WHERE 1",
        "INSERT INTO t (a, s) SELECT 2, file('{path}')",
        "INSERT INTO t (a, s) VALUES (2, file('{path}'))",
        "INSERT INTO t (a, s) VALUES (2, \"f\\x69le\"('{path}'))",
        "INSERT INTO t (a, s) FORMAT values (2, file('{path}'))",
        "INSERT INTO t (a, s) FORMAT \"vALUES\" (2, file('{path}'))",
        "INSERT INTO t (a, s) FORMAT MySQLDump INSERT INTO `x` (a, s) VALUES (2, file('{path}'));",
        "INSERT INTO t (a, s) VALUES (2, (SELECT file('{path}')))",
        "INSERT INTO t (a, s) SETTINGS input_format_values_interpret_expressions = 1 VALUES (2, file('{path}'))",
        "CREATE TABLE leak (a String) ENGINE = File(CSV, '{path}')",
        "CREATE TABLE leak (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = web, endpoint = 'http://127.0.0.1:1/')",
        "CREATE TABLE leak (a Int8) ENGINE = EmbeddedRocksDB(0, '/tmp/never') PRIMARY KEY a",
        "CREATE TABLE leak (a Int8) ENGINE = `Embedded\\x52ocksDB` PRIMARY KEY a",
        "CREATE OR REPLACE TABLE leak (a Int8) ENGINE Executable('x', 'CSV')",
        "CREATE MATERIALIZED VIEW leak ENGINE = FileLog('/tmp', 'CSV') AS SELECT 1 AS a",
        "CREATE DATABASE leak ENGINE = Filesystem('/')",
        "CREATE DATABASE leak ENGINE = Dictionary",
        "CREATE DICTIONARY leak (a Int32) PRIMARY KEY a SOURCE(EXECUTABLE(COMMAND 'id' FORMAT 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
        "ATTACH TABLE leak FROM '/tmp/' (a Int8) ENGINE = MergeTree ORDER BY a",
        "BACKUP TABLE t TO File('/tmp/never')",
        "CREATE USER leak",
        "SET dialect = 'prql'",
        "SET format_template_row = '{path}'",
        "INSERT INTO t FORMAT AvroConfluent SETTINGS format_avro_schema_registry_url = 'http://127.0.0.1:1'",
    ],
)
def test_the_full_user_reaches_nothing_outside_of_the_data_directory(
    open_server, secret, tmp_path, statement
):
    never = tmp_path / "never"
    response = open_server.post(statement.format(path=secret).replace("/tmp/never", str(never)))
    assert not never.exists()
    assert response.status >= 400, response.text
    assert "onnection" not in response.text
    assert open_server.sql("SELECT count() FROM t") == "1"
    assert SECRET not in open_server.sql("SELECT s FROM t")
    assert open_server.sql("EXISTS TABLE leak") == "0"


@pytest.mark.parametrize(
    "setting", ["dialect", "format_schema", "format_template_row", "output_format_schema"]
)
def test_settings_that_name_files_are_refused_in_the_url(open_server, setting):
    for user in ("default", "reader"):
        assert open_server.post("SELECT 1", user=user, **{setting: "/etc/passwd"}).status == 403


def test_text_that_only_mentions_such_names_is_data(open_server):
    open_server.sql("CREATE OR REPLACE TABLE words (s String) ENGINE = Memory")
    open_server.sql("INSERT INTO words VALUES ('a file \\'here\\' \"and\" `there`'), ('eval(python)')")
    open_server.post("file(x)\n", query="INSERT INTO words FORMAT LineAsString")
    assert open_server.sql("SELECT count() FROM words") == "3"
    assert open_server.sql("SELECT count() FROM words WHERE s LIKE '%file%'", user="reader") == "2"
