"""The query endpoint: one request to one statement to one answer. Wires the other modules, in the order of the steps.

1. who asks, and may a browser's page ask for it;
2. what the URL, the headers and the form say;
3. the body up to the statement's end; an insert's rows to disk;
4. a slot, so that only so many statements run at once; the statement's id; the session;
5. prepare, run, stream (`statement_run.py`);
6. the answer (`answer.py`); everything is given back before its last byte is sent, because the client's next
   request may use the same session or id.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from aiohttp import web

from tokentide.embedded.clickhouse.answer import Answer, error_response
from tokentide.embedded.clickhouse.auth import REALM, authenticate, credentials, refuse_foreign_page
from tokentide.embedded.clickhouse.body import ClientGoneError, Spool, body_pieces, request_reader
from tokentide.embedded.clickhouse.codecs import choose_encoding
from tokentide.embedded.clickhouse.data_dir import DataDir
from tokentide.embedded.clickhouse.engine import Engine, Outcome
from tokentide.embedded.clickhouse.errors import Code, ServerError
from tokentide.embedded.clickhouse.form import Form, read_form
from tokentide.embedded.clickhouse.guard import READING_VERBS, Access
from tokentide.embedded.clickhouse.options import ServerOptions
from tokentide.embedded.clickhouse.request_params import ExternalTable, RequestParams, parse_params
from tokentide.embedded.clickhouse.request_settings import statement_settings
from tokentide.embedded.clickhouse.sessions import Sessions
from tokentide.embedded.clickhouse.share import raise_lowered_threads
from tokentide.embedded.clickhouse.statement import Statement
from tokentide.embedded.clickhouse.statement_run import Job, StatementRun
from tokentide.embedded.clickhouse.statement_text import no_pieces, read_statement

_LOG: Final = logging.getLogger("tokentide.embedded.clickhouse")
_CONTROL_THREADS: Final = 4
_READERS_THREADS_WITHIN_S: Final = 0.3
"""The time in which the engine's threads leave a statement that has ended."""


class QueryHandler:
    """Answers queries. Lives in the event loop."""

    def __init__(self, engine: Engine, options: ServerOptions, data_dir: DataDir) -> None:
        self._engine = engine
        self._options = options
        self._data_dir = data_dir
        self._sessions = Sessions(engine)
        self._threads = concurrent.futures.ThreadPoolExecutor(options.max_concurrent_queries, "statement")
        self._control = concurrent.futures.ThreadPoolExecutor(_CONTROL_THREADS, "control")
        self._slots = asyncio.Semaphore(options.max_concurrent_queries)
        self._reader_slots = asyncio.Semaphore(options.max_concurrent_readers)
        self._reading = 0
        self._running: set[str] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        # What the request holds, given back in reverse order: files are closed after the engine has let go of them.
        held = contextlib.AsyncExitStack()
        try:
            return await self._answer(request, query_id, held)
        except ServerError as error:
            return self._refusal(request, error, query_id)
        except ClientGoneError:
            # The way to make the HTTP server drop a connection in the middle of a response, without a word.
            raise asyncio.CancelledError from None
        except Exception:  # noqa: BLE001 - the outermost loop: one request's failure is not the server's
            _LOG.exception("request %s failed in the server itself", query_id)
            if request.writer.output_size > 0:  # a second response would be taken for more of the first
                raise asyncio.CancelledError from None
            failure = ServerError(Code.UNKNOWN_EXCEPTION, "The embedded server failed; its log says more")
            return self._refusal(request, failure, query_id)
        finally:
            await self._give_back(held)

    async def stop(self, grace_s: float) -> bool:
        """End all statements, those that still run after the grace time by force; close the sessions.

        Returns:
            Whether nothing was cut off.
        """
        self._is_stopping = True
        was_clean = is_idle = await self._idle(grace_s)
        if not was_clean:
            for query_id in list(self._running):
                with contextlib.suppress(ServerError):
                    await asyncio.get_running_loop().run_in_executor(
                        self._control, self._engine.kill, query_id
                    )
            is_idle = await self._idle(grace_s)
        if is_idle:
            self._sessions.close()
            self._threads.shutdown()
            self._control.shutdown()
        return was_clean

    async def _idle(self, wait_s: float) -> bool:
        deadline = asyncio.get_running_loop().time() + wait_s
        while self._running or self._ending:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _answer(
        self, request: web.Request, query_id: str, held: contextlib.AsyncExitStack
    ) -> web.StreamResponse:
        found = credentials(request.headers, request.query)
        refuse_foreign_page(request.headers, found)
        access = authenticate(found, self._options)
        if access is Access.FULL and request.method != "POST":
            access = Access.GET
        pairs = list(request.query.items())
        form = Form()
        held.callback(form.close)
        has_form = request.content_type.startswith("multipart/")
        if has_form:
            await read_form(request, form, set(request.query), self._options, self._data_dir)
        params = parse_params([*pairs, *form.fields], request.headers, has_form=has_form)
        pieces = no_pieces() if has_form else self._pieces(request, params)
        statement, rest = await read_statement(params, pieces)
        if not statement.text and request.method != "POST":
            return web.Response(body=b"Ok.\n", content_type="text/html", charset="UTF-8")
        data = await self._receive(statement, access, rest, pieces, held)
        if params.session is not None and params.settings.get("readonly", "0") != "0":
            # On the session's connection it could not be taken back; the check of the statement does the same.
            access = Access.GET if access is Access.FULL else access
            kept = {name: value for name, value in params.settings.items() if name != "readonly"}
            params = replace(params, settings=kept)
        job = self._job(params, statement, access, query_id, form)
        run = await self._start(job, params, found.user, held)
        outcome = None if run.has_result else await run.execute(data)
        answer = self._new_answer(request, params, job, has_body=outcome is None or bool(outcome.body))
        with contextlib.closing(answer):
            return await self._send(answer, run, outcome, held)

    def _pieces(self, request: web.Request, params: RequestParams) -> AsyncIterator[bytes]:
        return body_pieces(
            request_reader(request),
            encoding=request.headers.get("Content-Encoding", "").strip().lower(),
            is_blocks=params.block_decompression,
            silence_s=self._options.receive_timeout_s,
        )

    async def _receive(
        self,
        statement: Statement,
        access: Access,
        first: bytes,
        pieces: AsyncIterator[bytes],
        held: contextlib.AsyncExitStack,
    ) -> Spool | None:
        """An insert's rows, complete; None for other statements."""
        if not statement.takes_data:
            return None
        if access is not Access.FULL:
            raise ServerError(
                Code.READONLY,
                "Cannot execute query in readonly mode: INSERT needs method POST and the full user",
            )
        data = Spool(self._data_dir.incoming, self._options.max_body_bytes)
        held.callback(data.close)
        await data.add(first)
        async for piece in pieces:
            await data.add(piece)
        return data

    def _job(
        self, params: RequestParams, statement: Statement, access: Access, query_id: str, form: Form
    ) -> Job:
        named = statement.named_format
        return Job(
            statement=replace(statement, named_format=named and self._engine.format_name(named)),
            query_id=query_id,
            access=access,
            settings=statement_settings(
                params.settings,
                access=access,
                query_id=query_id,
                limits=self._options.reader,
                # On the connection of a session it would be taken for what the client has set there.
                reading_threads=self._options.reading_threads
                if statement.verb in READING_VERBS and params.session is None
                else None,
            ),
            database=params.database,
            parameters=params.parameters,
            default_format=self._engine.format_name(params.default_format),
            protocol_version=params.protocol_version,
            external={
                name: (params.external.get(name, ExternalTable()), spool)
                for name, spool in form.tables.items()
            },
        )

    async def _start(
        self, job: Job, params: RequestParams, user: str, held: contextlib.AsyncExitStack
    ) -> StatementRun:
        """Take a slot, the id and the session; open and check."""
        if self._is_stopping:
            raise ServerError(Code.CANNOT_SCHEDULE_TASK, "The server is shutting down: try again later")
        options = self._options
        if job.access is Access.READER:
            await self._take(self._reader_slots, options.max_concurrent_readers, held, "of readers")
            self._reading += 1
            held.callback(self._reader_has_ended)
        await self._take(self._slots, options.max_concurrent_queries, held)
        if job.query_id in self._running:
            raise ServerError(
                Code.QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                f"Query with id = {job.query_id} is already running",
            )
        self._running.add(job.query_id)
        held.callback(self._running.discard, job.query_id)
        session = None
        # A reader can change nothing that a session would keep, and `readonly` could not be taken back there.
        if params.session is not None and job.access is not Access.READER:
            session = self._sessions.enter(user, params.session)
            held.callback(self._sessions.leave, user, params.session)
        run = StatementRun(self._engine, job, session=session, threads=self._threads, control=self._control)
        held.push_async_callback(run.finish)
        await run.prepare()
        return run

    def _reader_has_ended(self) -> None:
        self._reading -= 1
        if self._options.reader.nice and not self._reading:
            asyncio.get_running_loop().call_later(_READERS_THREADS_WITHIN_S, self._raise_lowered_threads)

    def _raise_lowered_threads(self) -> None:
        if not self._reading:  # else the last of these does it
            raise_lowered_threads()

    async def _take(
        self, slots: asyncio.Semaphore, most: int, held: contextlib.AsyncExitStack, whose: str = ""
    ) -> None:
        try:
            async with asyncio.timeout(self._options.queue_wait_s):
                await slots.acquire()
        except TimeoutError:
            raise ServerError(
                Code.TOO_MANY_SIMULTANEOUS_QUERIES,
                " ".join(["Too many simultaneous queries", *([whose] if whose else [])])
                + f". Maximum: {most}",
            ) from None
        held.callback(slots.release)

    async def _send(
        self, answer: Answer, run: StatementRun, outcome: Outcome | None, held: contextlib.AsyncExitStack
    ) -> web.StreamResponse:
        """Send a result; `outcome` is that of a statement which has run already."""
        try:
            if outcome is None:
                async for piece in run.stream():
                    await answer.write(piece)
                outcome = run.outcome
            else:
                await answer.write(outcome.body)
        except ServerError as error:
            await self._give_back(held)
            return await answer.fail(error, self._engine.version)
        await self._give_back(held)
        return await answer.finish(outcome)

    def _new_answer(self, request: web.Request, params: RequestParams, job: Job, *, has_body: bool) -> Answer:
        headers = self._headers(job.query_id, params.settings.get("session_timezone", ""))
        if has_body:
            headers["X-ClickHouse-Format"] = job.output_format
            default_type = "application/octet-stream"
            headers["Content-Type"] = self._engine.content_types.get(job.output_format, default_type)
        wants_encoding = params.setting_is_on("enable_http_compression") and has_body
        method = params.settings.get("network_compression_method", "LZ4")
        return Answer(
            request,
            headers=headers,
            block_method=method if params.block_compression and has_body else None,
            encoding=choose_encoding(request.headers.get("Accept-Encoding", "")) if wants_encoding else None,
            buffer_bytes=params.buffer_bytes,
            wait_end=params.wait_end,
            send_timeout_s=self._options.send_timeout_s,
            spool_folder=self._data_dir.incoming,
        )

    def _refusal(self, request: web.Request, error: ServerError, query_id: str) -> web.Response:
        response = error_response(error, self._engine.version, self._headers(query_id))
        if error.code == Code.REQUIRED_PASSWORD:
            response.headers["WWW-Authenticate"] = REALM
        if not request.content.is_eof():
            response.force_close()  # rather than read an upload to its end that nobody wants
        return response

    def _headers(self, query_id: str, timezone: str = "") -> dict[str, str]:
        return {
            "X-ClickHouse-Server-Display-Name": self._engine.display_name,
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": timezone or self._engine.timezone,
        }

    async def _give_back(self, held: contextlib.AsyncExitStack) -> None:
        """Give everything back, to the end even if the request is cancelled meanwhile. A second call does nothing."""
        task = asyncio.create_task(held.aclose())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.shield(task)
