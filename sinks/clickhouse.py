"""The ClickHouse sink: Arrow rows into a table, tried again where that can help.

Rows are idempotent by their tables' keys, so a batch that may have been stored already is simply sent again:
after a lost answer, a crash, or by clickhouse-connect itself, which repeats a request when the server closes an
idle connection. Nothing relies on deduplication tokens or on the order of inserts.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol, Self

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide.config import ClickHouseSettings
from tokentide.sinks.arrow_body import FORMAT, Compression, compress, encode, parts_of
from tokentide.sinks.connection import INSERT_SETTINGS, TABLE_SETTINGS, is_loopback, open_client
from tokentide.sinks.errors import (
    ClickHouseAnswerError,
    RetriableSinkError,
    SinkError,
    SinkStoppedError,
    TerminalSinkError,
)
from tokentide.sinks.failure import Failure, understand
from tokentide.sinks.retry import RetryPolicy, Surroundings, delays, sleep_unless_stopped

DEFAULT_MAX_INSERT_BYTES: Final = 16_777_216
"""About 50,000 event rows: the server holds a block of this size and its sorted copy in memory."""
_TABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class InsertClient(Protocol):
    """What the sink needs of a client of clickhouse-connect."""

    def raw_insert(
        self,
        table: str,
        *,
        column_names: Sequence[str] | None = None,
        insert_block: Any = None,
        settings: dict[str, Any] | None = None,
        fmt: str | None = None,
        compression: str | None = None,
    ) -> object:
        """Send a body in a format of ClickHouse; raises on anything but success."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class FailedTry(NamedTuple):
    """One try of an insert that failed and is followed by another; for logs and metrics."""

    table: str
    rows: int
    code: int | None
    name: str
    tries: int
    delay_s: float


class ClickHouseSink:
    """Inserts Arrow tables into the tables of one database. Blocking; one thread at a time."""

    def __init__(
        self,
        connect: Callable[[], InsertClient],
        *,
        retry: RetryPolicy | None = None,
        max_insert_bytes: int = DEFAULT_MAX_INSERT_BYTES,
        compression: Compression = "lz4",
        should_stop: Callable[[], bool] = lambda: False,
        on_failed_try: Callable[[FailedTry], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Make a sink; it connects at the first insert.

        Args:
            connect: opens a client whose default database is ours.
            retry: how long an insert is tried.
            max_insert_bytes: data of one request, before compression; larger tables become several.
            compression: of the bodies.
            should_stop: asked between two tries and while waiting.
            on_failed_try: told of each try that failed and will be repeated.
            clock: seconds, never backwards.
            sleep: takes seconds.
            jitter: a random number from 0 up to 1.
        """
        self._connect = connect
        self._client: InsertClient | None = None
        self._lock = threading.Lock()
        self._retry = retry or RetryPolicy()
        self._max_insert_bytes = max_insert_bytes
        self._compression = compression
        self._on_failed_try = on_failed_try
        self._world = Surroundings(clock=clock, sleep=sleep, random=jitter, should_stop=should_stop)

    @classmethod
    def from_settings(
        cls,
        settings: ClickHouseSettings,
        *,
        retry: RetryPolicy | None = None,
        max_insert_bytes: int = DEFAULT_MAX_INSERT_BYTES,
        compression: Compression | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        on_failed_try: Callable[[FailedTry], None] = lambda _: None,
    ) -> Self:
        """Make a sink for the ClickHouse of the settings.

        `compression=None` sends plain bodies to this machine and LZ4 to others: on the loopback
        compressing costs the client twice what it saves.
        """
        chosen: Compression = "none" if is_loopback(settings.url.host) else "lz4"
        return cls(
            lambda: open_client(settings),
            retry=retry,
            max_insert_bytes=max_insert_bytes,
            compression=compression or chosen,
            should_stop=should_stop,
            on_failed_try=on_failed_try,
        )

    def insert(self, table: str, rows: Any) -> None:
        """Store the rows of a `pyarrow.Table`; return when ClickHouse has them all.

        The columns present are inserted by name, the others take their defaults; nulls in text columns become ''.
        A large table goes in several requests in order; after an error some of them may be stored.

        Raises:
            RetriableSinkError: not stored before the deadline; send the same rows again later.
            TerminalSinkError: refused, and would be again; stop.
            SinkStoppedError: `should_stop` said so.
        """
        if _TABLE.fullmatch(table) is None:
            raise ValueError("a table is named by letters, digits and underscores")
        started = self._world.clock()
        for part in parts_of(rows, self._max_insert_bytes):
            self._insert_part(table, part, rows.num_rows, started)

    def close(self) -> None:
        """Close the connection; a later insert opens another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _insert_part(self, table: str, part: Any, rows: int, started: float) -> None:
        body = compress(_encode(table, part, rows), self._compression)
        waits = delays(self._retry, self._world, started=started)
        tries = 0
        while failure := self._try(table, part.schema.names, body):
            tries += 1
            delay_s = next(waits, None) if failure.is_retriable else None
            if delay_s is None:
                raise _final(failure, table=table, rows=rows, tries=tries) from failure.cause
            self._on_failed_try(FailedTry(table, part.num_rows, failure.code, failure.name, tries, delay_s))
            if not sleep_unless_stopped(delay_s, self._world):
                message = f"stopped while storing {rows} rows in {table}: {failure.what}"
                raise SinkStoppedError(
                    message, table=table, rows=rows, code=failure.code, tries=tries
                ) from failure.cause

    def _try(self, table: str, columns: Sequence[str], body: Any) -> Failure | None:
        try:
            self._connected().raw_insert(
                table,
                column_names=columns,
                insert_block=body,
                settings={**INSERT_SETTINGS, **TABLE_SETTINGS.get(table, {})},
                fmt=FORMAT,
                compression=None if self._compression == "none" else self._compression,
            )
        except (ClickHouseError, OSError) as error:
            return understand(error)
        return None

    def _connected(self) -> InsertClient:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client


def _encode(table: str, part: Any, rows: int) -> Any:
    try:
        return encode(part)
    except pa.ArrowException as error:
        kind = type(error).__name__
        raise TerminalSinkError(
            f"{rows} rows for {table} cannot be written as Arrow ({kind}): a defect, please report it",
            table=table,
            rows=rows,
            code=None,
            tries=0,
        ) from ClickHouseAnswerError(None, kind)


def _final(failure: Failure, *, table: str, rows: int, tries: int) -> SinkError:
    kind = RetriableSinkError if failure.is_retriable else TerminalSinkError
    ending = f"given up after {tries} tries" if failure.is_retriable else failure.remedy
    message = f"{rows} rows for {table} not stored: {failure.what}; {ending}"
    return kind(message, table=table, rows=rows, code=failure.code, tries=tries)
