"""A ClickHouse that is slow or away is waited for; one that refuses is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from structlog.testing import capture_logs

from tokentide.sinks.errors import RetriableSinkError, SinkStoppedError
from tokentide.stream import store as store_module
from tokentide.stream.resume import LedgerEntry
from tokentide.stream.store import ClickHouseStore

ROW = (0, 500, 7, 0, (3,), (1,), 0)
ROWS = pa.table({"a": [1]})


class FastClock:
    """Each look at it is a second later than the last one."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


class Server:
    """Gives one answer after the other, the last one again and again; holds them back while `is_answering` is cleared."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.connections = self.closed = self.inserts = 0
        self.is_answering = threading.Event()
        self.is_answering.set()

    def connect(self) -> Any:
        self.connections += 1
        return self

    def query(self, sql: str, parameters: dict[str, Any]) -> Any:
        assert "FROM ledger" in sql
        assert parameters["source"] == "s"
        return SimpleNamespace(result_rows=self._answer())

    def insert(self, table: str, rows: Any) -> None:
        del table, rows
        self.inserts += 1
        self._answer()

    def _answer(self) -> Any:
        self.is_answering.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


def error(code: int) -> DatabaseError:
    made = DatabaseError("no")
    made.code = code
    return made


NewStore = Callable[..., ClickHouseStore]


@pytest.fixture
def new_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[NewStore]:
    monkeypatch.setattr(store_module, "_LOOK_S", 0.001)
    made: list[tuple[ClickHouseStore, Server]] = []

    def new(server: Server, **options: Any) -> ClickHouseStore:
        options = {"on_outage": lambda _: None, "clock": FastClock(), **options}
        store = ClickHouseStore(server, server.connect, **options)
        made.append((store, server))
        return store

    yield new
    for store, server in made:
        server.is_answering.set()
        store.close()


async def answering_after(server: Server, said: list[Any], lines: int) -> None:
    while len(said) < lines:  # noqa: ASYNC110 - the log has no event to wait for
        await asyncio.sleep(0.001)
    server.is_answering.set()


def test_a_slow_answer_is_waited_for_and_told_at_growing_distances(new_store: NewStore) -> None:
    server = Server([ROW])
    server.is_answering.clear()
    store = new_store(server)

    async def scenario() -> Any:
        asking = asyncio.create_task(store.ledger("s", 0, range(1)))
        await answering_after(server, said, 3)
        return await asking

    with capture_logs() as said:
        assert asyncio.run(scenario()) == [LedgerEntry(0, 500, 7, 0, ((3, 1),), 0)]
    assert [(line["event"], line["of"], line["seconds"]) for line in said[:3]] == [
        ("clickhouse takes long; it is waited for", "the ledger", seconds) for seconds in (10, 20, 40)
    ]


def test_a_slow_insert_is_waited_for_and_told(new_store: NewStore) -> None:
    server = Server(None)
    server.is_answering.clear()
    store = new_store(server)

    async def scenario() -> None:
        inserting = asyncio.create_task(store.insert("llm_events", ROWS))
        await answering_after(server, said, 2)
        await inserting

    with capture_logs() as said:
        asyncio.run(scenario())
    assert [(line["of"], line["seconds"]) for line in said[:2]] == [("llm_events", 10), ("llm_events", 20)]
    assert server.inserts == 1


def test_a_clickhouse_that_is_away_is_asked_again_without_end(new_store: NewStore) -> None:
    """More than an hour by this clock: after a minute the worker used to end."""
    away = [OperationalError("no answer"), ConnectionResetError(), error(241), TimeoutError()] * 100
    clock, server = FastClock(), Server(*away, [ROW])
    store = new_store(server, clock=clock)
    with capture_logs() as said:
        assert len(asyncio.run(store.ledger("s", 0, range(1)))) == 1
    asked_again = [line for line in said if "asking again" in line["event"]]
    assert len(asked_again) == len(away)
    assert clock.now_s > 3_600


def test_what_is_refused_for_good_is_an_error_at_once(new_store: NewStore) -> None:
    server = Server(error(516))
    with pytest.raises(DatabaseError):
        asyncio.run(new_store(server).ledger("s", 0, range(1)))
    assert server.connections == 1


def test_one_connection_serves_all_questions_until_one_fails(new_store: NewStore) -> None:
    server = Server([ROW], [ROW], ConnectionResetError(), [ROW])
    store = new_store(server)

    async def scenario() -> None:
        for partition in range(3):
            await store.ledger("s", partition, range(1))

    asyncio.run(scenario())
    assert (server.connections, server.closed) == (2, 1)


@pytest.mark.parametrize("is_slow", [True, False], ids=["slow", "away"])
def test_a_worker_that_is_told_to_stop_waits_no_longer_for_an_answer(
    new_store: NewStore, *, is_slow: bool
) -> None:
    server = Server(ConnectionResetError())
    if is_slow:
        server.is_answering.clear()

    async def scenario() -> None:
        stop = asyncio.Event()
        asking = asyncio.create_task(new_store(server, should_stop=stop.is_set).ledger("s", 0, range(1)))
        await asyncio.sleep(0.02)
        assert not asking.done()
        stop.set()
        await asking

    with pytest.raises(SinkStoppedError):
        asyncio.run(scenario())


def test_an_insert_that_was_given_up_is_an_outage_and_tried_again(new_store: NewStore) -> None:
    given_up = RetriableSinkError("away", table="t", rows=1, code=None, tries=2)
    outages: list[Exception] = []
    store = new_store(Server(given_up, given_up, None), on_outage=outages.append)
    asyncio.run(store.insert("t", ROWS))
    assert outages == [given_up, given_up]


def test_an_insert_goes_on_while_an_answer_is_waited_for(new_store: NewStore) -> None:
    asked, inserted = Server([ROW]), Server(None)
    asked.is_answering.clear()
    store = new_store(inserted)
    store._client._connect = asked.connect

    async def scenario() -> None:
        asking = asyncio.create_task(store.ledger("s", 0, range(1)))
        await asyncio.sleep(0.01)
        await store.insert("t", ROWS)
        assert not asking.done()
        asked.is_answering.set()
        await asking

    asyncio.run(scenario())
    assert inserted.inserts == 1
