"""ClickHouse for the worker: inserts in a thread, repeated until they are stored, and what the ledger knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide.sinks.errors import RetriableSinkError
from tokentide.sinks.failure import understand
from tokentide.stream.resume import LedgerEntry

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


log = structlog.get_logger("tokentide.store")

LEDGER_PATIENCE_S: Final = 60.0
"""A worker that starts while ClickHouse does waits so long for it; the group waits with it."""
_LEDGER_PAUSE_S: Final = 1.0


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


class ClickHouseStore:
    """`tokentide.stream.durable.Store` over the sink; one insert at a time."""

    def __init__(
        self,
        sink: InsertSink,
        connect: Callable[[], Client],
        on_outage: Callable[[RetriableSinkError], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._connect = connect
        self._on_outage = on_outage
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clickhouse")

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Store the rows, however long ClickHouse is away.

        Raises:
            TerminalSinkError: ClickHouse refuses them for good.
            SinkStoppedError: the worker is stopping.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._thread, self._sink.insert, table, rows)
            except RetriableSinkError as error:
                self._on_outage(error)
            else:
                return

    async def ledger(self, source: str, partition: int, segments: range) -> Sequence[LedgerEntry]:
        """The ledger's entries of these segments and, without what waits, of all later ones; asks again for a minute where that may help.

        Raises:
            clickhouse_connect.driver.exceptions.ClickHouseError: ClickHouse cannot be asked.
        """
        loop = asyncio.get_running_loop()
        ask = partial(self._ask, source, partition, segments)
        deadline_s = self._clock() + LEDGER_PATIENCE_S
        while True:
            try:
                return await loop.run_in_executor(self._thread, ask)
            except (ClickHouseError, OSError) as error:
                failure = understand(error)
                if not failure.is_retriable or self._clock() >= deadline_s:
                    raise
                log.warning("clickhouse cannot be asked where to begin; asking again", error=failure.what)
                await asyncio.sleep(_LEDGER_PAUSE_S)

    async def answers(self) -> None:
        """Return once ClickHouse has answered what a worker begins with; raises as `ledger`."""
        await self.ledger("", -1, range(1))

    def _ask(self, source: str, partition: int, segments: range) -> Sequence[LedgerEntry]:
        client = self._connect()
        try:
            span = {"first": segments[0], "last": segments[-1]}
            rows = client.query(
                _LEDGER_QUERY, parameters={"source": source, "partition": partition, **span}
            ).result_rows
        finally:
            client.close()
        return [
            LedgerEntry(row[0], row[1], row[2], row[3], tuple(zip(row[4], row[5], strict=True)), row[6])
            for row in rows
        ]

    def close(self) -> None:
        """End the thread; an insert under way finishes first."""
        self._thread.shutdown()
