"""The sink against a client that fails as told: what is tried again, what is given up, what is said."""

from __future__ import annotations

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from tokentide.sinks import clickhouse
from tokentide.sinks.arrow_body import compress
from tokentide.sinks.clickhouse import ClickHouseSink
from tokentide.sinks.codes import CODES
from tokentide.sinks.errors import RetriableSinkError, SinkStoppedError, TerminalSinkError
from tokentide.sinks.retry import RetryPolicy

ROWS = pa.table({"event_id": ["canary-row-value", "b", "c"], "n": [1, 2, 3]})
CANARY = "canary-row-value"


class ScriptedClient:
    """Raises the errors of a script, one a try, then takes everything."""

    def __init__(self, *script):
        self.script = list(script)
        self.inserts = []
        self.is_closed = False

    def raw_insert(
        self, table, *, column_names=None, insert_block=None, settings=None, fmt=None, compression=None
    ):
        body = bytes(insert_block)
        self.inserts.append(
            {
                "table": table,
                "columns": list(column_names),
                "settings": settings,
                "fmt": fmt,
                "compression": compression,
                "body": body,
            }
        )
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error

    def close(self):
        self.is_closed = True


class ManualTime:
    """Sleeping moves the clock; nothing waits."""

    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds


def _server_error(code, text="Code: 0. DB::Exception: something"):
    return DatabaseError(text, code=code, name=None)


def _sink(client, **options):
    time = ManualTime()
    options = {
        "compression": "none",
        "retry": RetryPolicy(first_delay_s=1.0, max_delay_s=8.0, deadline_s=60.0),
        "clock": lambda: time.now,
        "sleep": time.sleep,
        "jitter": lambda: 1.0,
    } | options
    return ClickHouseSink(lambda: client, **options)


def _stored(client):
    return [pa.ipc.open_stream(insert["body"]).read_all().to_pydict() for insert in client.inserts]


def test_rows_go_as_one_arrow_stream_with_their_column_names():
    client = ScriptedClient()
    _sink(client).insert("llm_events", ROWS)
    (insert,) = client.inserts
    assert (insert["table"], insert["columns"], insert["fmt"]) == (
        "llm_events",
        ["event_id", "n"],
        "ArrowStream",
    )
    assert _stored(client) == [ROWS.to_pydict()]


def test_no_rows_are_no_request():
    client = ScriptedClient()
    _sink(client).insert("llm_events", ROWS.slice(0, 0))
    assert client.inserts == []


def test_the_server_neither_batches_again_nor_limits_months():
    client = ScriptedClient()
    for table in ("llm_events", "llm_windows"):
        _sink(client).insert(table, ROWS)
    for insert in client.inserts:
        assert (
            insert["settings"]["async_insert"],
            insert["settings"]["max_partitions_per_insert_block"],
        ) == (0, 0)
    assert [insert["settings"].get("optimize_on_insert") for insert in client.inserts] == [0, None]


def test_bodies_are_compressed_where_asked_for():
    client = ScriptedClient()
    many = pa.table({"n": [7] * 100_000})
    _sink(client, compression="lz4").insert("llm_events", many)
    (insert,) = client.inserts
    assert insert["compression"] == "lz4"
    assert len(insert["body"]) < 100_000
    assert insert["body"].startswith(bytes.fromhex("04224d18"))  # the magic number of an LZ4 frame


def test_a_large_table_goes_in_parts_in_order():
    client = ScriptedClient()
    rows = pa.table({"n": list(range(1000))})
    _sink(client, max_insert_bytes=2000).insert("llm_events", rows)
    assert len(client.inserts) == 4
    assert [n for part in _stored(client) for n in part["n"]] == list(range(1000))


def test_a_row_larger_than_the_budget_goes_alone():
    client = ScriptedClient()
    _sink(client, max_insert_bytes=10).insert("llm_events", pa.table({"t": ["x" * 1000, "y" * 1000]}))
    assert [len(part["t"]) for part in _stored(client)] == [1, 1]


@pytest.mark.parametrize("code", [code for code, info in CODES.items() if info.is_retriable])
def test_a_retriable_code_is_tried_again_with_the_same_rows(code):
    client = ScriptedClient(_server_error(code), _server_error(code))
    failures = []
    _sink(client, on_failed_try=failures.append).insert("llm_events", ROWS)
    assert _stored(client) == [ROWS.to_pydict()] * 3
    assert [(failure.code, failure.name, failure.tries, failure.delay_s) for failure in failures] == [
        (code, CODES[code].name, 1, 1.0),
        (code, CODES[code].name, 2, 2.0),
    ]


@pytest.mark.parametrize("code", [code for code, info in CODES.items() if not info.is_retriable])
def test_a_terminal_code_ends_at_once_and_names_the_remedy(code):
    client = ScriptedClient(_server_error(code))
    with pytest.raises(TerminalSinkError) as caught:
        _sink(client).insert("llm_events", ROWS)
    error = caught.value
    assert (error.code, error.table, error.rows, error.tries) == (code, "llm_events", 3, 1)
    assert CODES[code].meaning in str(error)
    assert len(client.inserts) == 1


@pytest.mark.parametrize(
    "error",
    [
        _server_error(4711),
        OperationalError("Error HTTPConnectionPool(...) executing HTTP request"),
        DatabaseError("HTTP driver received HTTP status 502"),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
def test_unlisted_codes_and_answers_without_a_code_are_tried_again(error):
    client = ScriptedClient(error)
    _sink(client).insert("llm_events", ROWS)
    assert len(client.inserts) == 2


def test_what_the_client_itself_refuses_is_terminal():
    client = ScriptedClient(ProgrammingError("Setting async_insert is unknown or readonly"))
    with pytest.raises(TerminalSinkError, match="async_insert is unknown or readonly"):
        _sink(client).insert("llm_events", ROWS)


def test_at_the_deadline_the_last_error_is_raised_and_can_be_tried_again_later():
    client = ScriptedClient(*[_server_error(252)] * 100)
    sink = _sink(client)
    with pytest.raises(RetriableSinkError, match=r"TOO_MANY_PARTS .* given up after 10 tries") as caught:
        sink.insert("llm_events", ROWS)
    # 1 + 2 + 4 + 6 × 8 = 55 s; another 8 would end after the deadline of 60.
    assert (caught.value.code, caught.value.tries, len(client.inserts)) == (252, 10, 10)
    client.script.clear()
    sink.insert("llm_events", ROWS)
    assert len(client.inserts) == 11


def test_the_deadline_is_that_of_the_whole_insert_not_of_each_part():
    client = ScriptedClient(*[_server_error(252)] * 3, None, *[_server_error(252)] * 100)
    with pytest.raises(RetriableSinkError) as caught:
        _sink(client, max_insert_bytes=8).insert("llm_events", pa.table({"n": [1, 2]}))
    assert caught.value.tries < 10


def test_a_stop_is_heard_between_two_tries():
    client = ScriptedClient(_server_error(252), _server_error(252))
    with pytest.raises(SinkStoppedError) as caught:
        _sink(client, should_stop=lambda: len(client.inserts) >= 1).insert("llm_events", ROWS)
    assert (caught.value.code, len(client.inserts)) == (252, 1)


def test_a_stop_does_not_interrupt_an_insert_that_works():
    client = ScriptedClient()
    _sink(client, should_stop=lambda: True).insert("llm_events", ROWS)
    assert len(client.inserts) == 1


def test_connecting_is_tried_again_like_sending():
    client = ScriptedClient()
    attempts = []

    def connect():
        attempts.append(1)
        if len(attempts) < 3:
            raise OperationalError("Connection refused")
        return client

    sink = _sink(client)
    sink._connect = connect
    sink.insert("llm_events", ROWS)
    sink.insert("llm_events", ROWS)
    assert len(attempts) == 3
    assert len(client.inserts) == 2


def test_a_wrong_password_at_connecting_is_terminal():
    def connect():
        raise _server_error(516)

    sink = _sink(ScriptedClient())
    sink._connect = connect
    with pytest.raises(TerminalSinkError, match="password"):
        sink.insert("llm_events", ROWS)


def test_after_closing_the_next_insert_connects_again():
    clients = []

    def connect():
        clients.append(ScriptedClient())
        return clients[-1]

    sink = _sink(None)
    sink._connect = connect
    sink.insert("llm_events", ROWS)
    sink.close()
    sink.close()
    sink.insert("llm_events", ROWS)
    assert [client.is_closed for client in clients] == [True, False]


def _whole_story(error):
    """Everything that a traceback or a log would print."""
    story = []
    while error is not None:
        story += [str(error), repr(error.args)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(story)


@pytest.mark.parametrize("code", sorted({*(c for c, info in CODES.items() if not info.names_only), 4711}))
def test_a_server_text_that_may_quote_rows_is_never_repeated(code):
    text = f"Code: {code}. DB::Exception: Cannot parse input: expected x before: {CANARY}"
    client = ScriptedClient(*[_server_error(code, text)] * 100)
    with pytest.raises((TerminalSinkError, RetriableSinkError)) as caught:
        _sink(client).insert("llm_events", ROWS)
    assert CANARY not in _whole_story(caught.value)
    assert caught.value.__cause__ is not None


def test_rows_that_cannot_be_written_are_terminal_and_their_values_are_not_told(monkeypatch):
    def refuse(rows):
        raise pa.ArrowInvalid(f"cannot write {rows.to_pylist()}")

    monkeypatch.setattr(clickhouse, "encode", refuse)
    client = ScriptedClient()
    with pytest.raises(TerminalSinkError, match="ArrowInvalid") as caught:
        _sink(client).insert("llm_events", ROWS)
    assert CANARY not in _whole_story(caught.value)
    assert client.inserts == []


@pytest.mark.parametrize("table", ["llm events", "a;b", "", "x" * 64, "llm_events (a)"])
def test_a_table_is_a_plain_name(table):
    with pytest.raises(ValueError, match="table"):
        _sink(ScriptedClient()).insert(table, ROWS)


def test_a_plain_body_is_not_copied():
    body = pa.py_buffer(b"abc")
    assert compress(body, "none").obj is body
