"""ClickHouse for the worker: inserts in a thread, repeated until they are stored, and what the ledger knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import pyarrow as pa
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide.sinks.errors import RetriableSinkError, SinkStoppedError
from tokentide.sinks.failure import understand
from tokentide.sinks.kept_client import KeptClient
from tokentide.stream.resume import LedgerEntry

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


log = structlog.get_logger("tokentide.store")

SLOW_S: Final = 10.0
"""What takes longer is told, and waited for: again after twice as long, and so on."""
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 10.0
_LOOK_S: Final = 0.25


class InsertSink(Protocol):
    """The blocking sink; see `tokentide.sinks.clickhouse.ClickHouseSink`."""

    def insert(self, table: str, rows: Any) -> None:
        """Store the rows, or raise a `SinkError`."""


_LEDGER_QUERY = """
    SELECT
        first_offset, version, fold, lost,
        if(segment <= {last:Int64}, pending_offsets, []), if(segment <= {last:Int64}, pending_items, []),
        limited_from
    FROM ledger
    WHERE source = {source:String} AND source_partition = {partition:Int32} AND segment >= {first:Int64}
"""


_Result = TypeVar("_Result")


class ClickHouseStore:
    """`tokentide.stream.durable.Store` over the sink; one insert at a time, and one question beside it.

    A ClickHouse that is slow or away is waited for, however long it takes; only what it refuses for good is an error.
    """

    def __init__(
        self,
        sink: InsertSink,
        connect: Callable[[], Client],
        on_outage: Callable[[RetriableSinkError], None],
        *,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._client = KeptClient(connect)
        self._on_outage = on_outage
        self._should_stop = should_stop
        self._clock = clock
        self._inserting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clickhouse")
        self._asking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clickhouse-ledger")

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Store the rows, however long ClickHouse is away.

        Raises:
            TerminalSinkError: ClickHouse refuses them for good.
            SinkStoppedError: the worker is stopping.
        """
        while True:
            insert = partial(self._sink.insert, table, rows)
            try:
                await self._answer(self._inserting, insert, table)
            except RetriableSinkError as error:
                self._on_outage(error)
            else:
                return

    async def ledger(self, source: str, partition: int, segments: range) -> Sequence[LedgerEntry]:
        """The ledger's entries of these segments and, without what waits, of all later ones, however long ClickHouse is away.

        Raises:
            clickhouse_connect.driver.exceptions.ClickHouseError: ClickHouse refuses for good.
            SinkStoppedError: the worker is stopping.
        """
        ask = partial(self._client.ask, partial(_ledger, source, partition, segments))
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self._answer(self._asking, ask, "the ledger", may_stop=True)
            except (ClickHouseError, OSError) as error:
                failure = understand(error)
                if not failure.is_retriable:
                    raise
                log.warning("clickhouse cannot be asked where to begin; asking again", error=failure.what)
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def answers(self) -> None:
        """Return once ClickHouse has answered what a worker begins with; raises as `ledger`."""
        await self.ledger("", -1, range(1))

    async def _answer(
        self,
        thread: ThreadPoolExecutor,
        work: Callable[[], _Result],
        what: str,
        *,
        may_stop: bool = False,
    ) -> _Result:
        """What the work in the thread gives; says now and then that it takes long."""
        began_s = self._clock()
        say_at_s = SLOW_S
        running = asyncio.get_running_loop().run_in_executor(thread, work)
        running.add_done_callback(_forgotten)
        while not (await asyncio.wait([running], timeout=_LOOK_S))[0]:
            if may_stop:
                self._end_if_stopping()
            if self._clock() - began_s >= say_at_s:
                log.warning("clickhouse takes long; it is waited for", of=what, seconds=round(say_at_s))
                say_at_s *= 2
        return running.result()

    async def _pause(self, seconds: float) -> None:
        until_s = self._clock() + seconds
        while (left_s := until_s - self._clock()) > 0:
            self._end_if_stopping()
            await asyncio.sleep(min(left_s, _LOOK_S))

    def _end_if_stopping(self) -> None:
        if self._should_stop():
            raise SinkStoppedError("told to stop while asking", table="ledger", rows=0, code=None, tries=0)

    def close(self) -> None:
        """End the threads; an insert under way finishes first."""
        self._inserting.shutdown()
        self._asking.shutdown(wait=False)


def _forgotten(running: asyncio.Future[Any]) -> None:
    """Nobody may be waiting any more: then how it ended is no news."""
    if not running.cancelled():
        running.exception()


def _ledger(source: str, partition: int, segments: range, client: Client) -> list[LedgerEntry]:
    span = {"first": segments[0], "last": segments[-1]}
    rows = client.query(
        _LEDGER_QUERY, parameters={"source": source, "partition": partition, **span}
    ).result_rows
    return [
        LedgerEntry(row[0], row[1], row[2], row[3], tuple(zip(row[4], row[5], strict=True)), row[6])
        for row in rows
    ]
