"""One statement in the engine: prepared, run and ended in engine threads, cancelled when nobody waits for it.

The steps of a request, each in one hop to a thread:

1. `prepare`: a connection (or the session's), external tables, settings, database; check the statement; for a
   result in a versioned Native format ask for its columns.
2. `stream` or `execute`.
3. `finish`, always: cancel what still runs, put the session back, close the connection.

A statement that reads is cancelled when its client leaves; one that changes data is left to its end, as a server
does with an insert that it has received.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from tokentide.embedded.clickhouse.body import Spool
from tokentide.embedded.clickhouse.engine import Connection, Engine, Outcome, StatementClass, quoted
from tokentide.embedded.clickhouse.errors import EngineError
from tokentide.embedded.clickhouse.guard import Access, check, not_reachable
from tokentide.embedded.clickhouse.native import Column, NativeWriter
from tokentide.embedded.clickhouse.pipe import ResultPipe
from tokentide.embedded.clickhouse.request_params import ExternalTable
from tokentide.embedded.clickhouse.sessions import EngineSession
from tokentide.embedded.clickhouse.statement import Statement, checked_format

_T = TypeVar("_T")
_CANCEL_RETRY_S: Final = 0.2
"""KILL QUERY finds a statement only once the engine has begun it, so it is repeated."""
_POLL_S: Final = 0.01
DEFAULT_FORMAT: Final = "TabSeparated"
_DESCRIBABLE: Final = frozenset({"SELECT", "WITH", "FROM", "("})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be run, and how."""

    statement: Statement
    query_id: str
    access: Access
    settings: Mapping[str, str]
    database: str
    parameters: Mapping[str, str]
    default_format: str
    protocol_version: int = 0
    external: Mapping[str, tuple[ExternalTable, Spool]] = field(default_factory=dict)

    @property
    def output_format(self) -> str:
        """The format of the result."""
        return self.statement.named_format or self.default_format or DEFAULT_FORMAT


class StatementRun:
    """One statement's way through the engine."""

    def __init__(
        self,
        engine: Engine,
        job: Job,
        *,
        session: EngineSession | None,
        threads: concurrent.futures.Executor,
        control: concurrent.futures.Executor,
    ) -> None:
        """Prepare nothing yet.

        Args:
            engine: open.
            job: what to run.
            session: of HTTP; None: the connection lives as long as this run.
            threads: where statements run.
            control: where statements are cancelled, never behind those.
        """
        self._engine = engine
        self._job = job
        self._session = session
        self._threads = threads
        self._control = control
        self._running: concurrent.futures.Future[Any] | None = (
            None  # of each step in turn; only its end matters
        )
        self._pipe: ResultPipe | None = None
        self._kind = StatementClass.UNKNOWN
        self._columns: list[Column] = []

    @property
    def has_result(self) -> bool:
        """Whether it reads, so that its result is streamed; known after `prepare`."""
        return self._kind is StatementClass.READ_ONLY

    async def prepare(self) -> None:
        """Open, set and check.

        Raises:
            ServerError: the statement may not run, or does not fit its settings.
        """
        await self._call(self._prepare)

    async def execute(self, data: Spool | None = None) -> Outcome:
        """Run a statement without a streamed result; its body is what it gives, often nothing.

        Raises:
            EngineError: as the engine says it.
        """
        return await self._call(lambda: self._execute(data))

    async def stream(self) -> AsyncIterator[bytes]:
        """The result, piece by piece; `outcome` has the rest afterwards.

        Raises:
            EngineError: as the engine says it; pieces may have come before.
        """
        pipe = self._pipe = ResultPipe()
        self._running = running = self._threads.submit(self._run_into, pipe)
        writer = NativeWriter(self._columns, self._job.protocol_version) if self._columns else None
        async for piece in pipe.pieces():
            if writer is None:
                yield piece
            else:
                yield b"".join(writer.feed(piece))
        self._outcome = await asyncio.wrap_future(running)
        if writer is not None and (end := writer.finish()):
            yield end

    @property
    def outcome(self) -> Outcome:
        """Counts of a streamed result that ended well."""
        return self._outcome

    async def finish(self) -> None:
        """End it: cancel what reads, wait for what writes, close. Must be called once, in any case."""
        if self._pipe is not None:
            self._pipe.close_reader()
        loop = asyncio.get_running_loop()
        while not await self._ended():
            if self.has_result or self._kind is StatementClass.UNKNOWN:
                with contextlib.suppress(EngineError):
                    await loop.run_in_executor(self._control, self._engine.kill, self._job.query_id)
        if self._pipe is not None:
            self._pipe.close_writer()  # its thread did, unless it never began
        if self._session is not None:
            await loop.run_in_executor(self._control, self._close, self._session)
            self._session = None

    async def _ended(self) -> bool:
        """Wait a moment for the engine thread; whether it is done."""
        for _ in range(int(_CANCEL_RETRY_S / _POLL_S)):
            if self._running is None or self._running.done():
                return True
            await asyncio.sleep(_POLL_S)
        return False

    # Everything below runs in engine threads.

    def _prepare(self) -> None:
        job = self._job
        session = self._session = self._session or EngineSession(self._engine.connect(), is_kept=False)
        connection = session.connection
        for name, (table, spool) in job.external.items():
            _create_external(connection, name, table, spool)
        session.enter(job.settings, job.database)
        self._kind = check(connection, job.statement, job.parameters, job.access)
        if job.statement.verb == "SET" and session.is_kept:
            session.restore()
        if self.has_result:
            checked_format(job.output_format)
            if job.output_format == "Native" and job.protocol_version:
                self._columns = self._describe(connection)

    def _describe(self, connection: Connection) -> list[Column]:
        job = self._job
        query = job.statement.without_format()
        if job.statement.verb in _DESCRIBABLE:
            body = connection.run(
                b"DESCRIBE TABLE (" + query + b"\n) FORMAT JSONCompact", parameters=job.parameters
            ).body
            rows = json.loads(body)["data"]
            return [Column(str(row[0]), str(row[1])) for row in rows]
        # SHOW, EXPLAIN and the like are cheap, so they are run for their header first.
        body = connection.run(query, "JSONCompact", job.parameters).body
        return [Column(str(each["name"]), str(each["type"])) for each in json.loads(body)["meta"]]

    def _run_into(self, pipe: ResultPipe) -> Outcome:
        job = self._job
        assert self._session is not None, "prepare comes first"
        try:
            output_format = "Buffers" if self._columns else job.output_format
            sql = job.statement.into_file(pipe.path, output_format)
            return self._session.connection.run(sql, parameters=job.parameters)
        finally:
            pipe.close_writer()

    def _execute(self, data: Spool | None) -> Outcome:
        job, session = self._job, self._session
        assert session is not None, "prepare comes first"
        sql = job.statement.text
        if data is not None:
            self._check_values(session, data)
            sql = job.statement.from_file(data.path)
        outcome = session.connection.run(sql, job.output_format, job.parameters)
        if job.statement.verb == "USE":
            session.left_by_use()
        return outcome

    def _check_values(self, session: EngineSession, data: Spool) -> None:
        """Rows in the Values format may be expressions; those that could reach out are read as literals only."""
        if self._job.statement.named_format != "Values" or not data.may_call_functions:
            return
        if b"input_format_values" in self._job.statement.text.lower():
            raise not_reachable("an INSERT of expressions with settings of their own")
        session.enter({**self._job.settings, **_LITERALS_ONLY}, self._job.database)

    def _close(self, session: EngineSession) -> None:
        if not session.is_kept:
            session.connection.close()
            return
        for name in self._job.external:
            with contextlib.suppress(EngineError):
                session.connection.run(f"DROP TEMPORARY TABLE IF EXISTS `{name}`")

    async def _call(self, function: Callable[[], _T]) -> _T:
        self._running = future = self._threads.submit(function)
        return await asyncio.wrap_future(future)


_LITERALS_ONLY: Final = {
    "input_format_values_interpret_expressions": "0",
    "input_format_values_deduce_templates_of_expressions": "0",
}


def _create_external(connection: Connection, name: str, table: ExternalTable, spool: Spool) -> None:
    """A temporary table with the rows that came with the request. The structure goes in as a string literal."""
    structure = table.structure or ", ".join(
        f"_{number} {kind}" for number, kind in enumerate(_split_types(table.types), start=1)
    )
    empty = f"SELECT * FROM null({quoted(structure)}) LIMIT 0"  # noqa: S608 - quoted
    connection.run(f"CREATE TEMPORARY TABLE `{name}` ENGINE = Memory AS {empty}")
    connection.run(
        f"INSERT INTO `{name}` FROM INFILE '{spool.path}' COMPRESSION 'none' FORMAT {checked_format(table.format)}"
    )


def _split_types(types: str) -> list[str]:
    """Types at the top level of a list: `UInt8, Map(String, UInt8)` has two."""
    parts, depth = [""], 0
    for character in types:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
