"""The process: start, serve, end.

Start order: lock the data directory, take the port, open the engine, answer. End order, on SIGTERM, SIGINT or
the parent's death: stop listening, let statements end, close sessions, engine and directory. Every row that was
acknowledged is on disk before its answer is sent, so a SIGKILL at any moment loses none.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from typing import Final, TextIO

from aiohttp import web

from tokentide.embedded.clickhouse.data_dir import DataDir
from tokentide.embedded.clickhouse.engine import Engine
from tokentide.embedded.clickhouse.errors import PortUnavailableError, StartError
from tokentide.embedded.clickhouse.handler import QueryHandler
from tokentide.embedded.clickhouse.launch import ExitCode, Ready, StartFailure
from tokentide.embedded.clickhouse.options import ServerOptions, half_of_memory_bytes
from tokentide.embedded.clickhouse.parent import die_with_parent, parent_gone

_LOG: Final = logging.getLogger("tokentide.embedded.clickhouse")

_KEEP_ALIVE_S: Final = 3600.0
"""Idle connections stay open longer than clients keep them: an insert that meets a closing connection is sent again
by clickhouse-connect without notice."""
_MAX_URL_BYTES: Final = 1 << 20
_MAX_HEADER_BYTES: Final = 128 << 10
_MAX_HEADERS: Final = 256
_READ_BUFFER_BYTES: Final = 1 << 20


def run(options: ServerOptions, *, out: TextIO = sys.stdout) -> ExitCode:
    """Serve until asked to end. Writes the start line to `out`.

    Returns:
        What the process is to end with.
    """
    die_with_parent(options.parent_pid)
    try:
        return _run(options, out)
    except StartError as error:
        out.write(StartFailure(reason=error.reason, message=str(error)).line())
        out.flush()
        _LOG.error("cannot start: %s", error)
        return error.exit_code


def _run(options: ServerOptions, out: TextIO) -> ExitCode:
    data_dir = DataDir.acquire(options.data_dir)
    try:
        listener = listen(options.host, options.port)
        with listener:
            data_dir.prepare(max_memory_bytes=options.max_memory_bytes or half_of_memory_bytes())
            engine = Engine.start(data_dir, timezone=options.timezone)
            is_clean = asyncio.run(_serve(engine, options, data_dir, listener, out))
            if not is_clean:
                # Threads of the engine may hang in a statement; waiting for them is what the grace time was for.
                _LOG.warning("statements were cut off at the end")
                sys.stderr.flush()
                os._exit(ExitCode.UNCLEAN)
            engine.stop()
    finally:
        data_dir.release()
    return ExitCode.STOPPED


def listen(host: str, port: int) -> socket.socket:
    """Take the address; nothing is accepted yet.

    Raises:
        PortUnavailableError: it is taken, or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise PortUnavailableError(
            f"{host} is no address of this machine ({error}): choose another --host"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortUnavailableError(_port_trouble(error, host, port)) from error
    return listener


def _port_trouble(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use by another program: stop that one, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} is not allowed for this user: choose one above 1023 with --port"
    return f"{host}:{port} cannot be listened on ({error.strerror}): choose another --host or --port"


async def _serve(
    engine: Engine, options: ServerOptions, data_dir: DataDir, listener: socket.socket, out: TextIO
) -> bool:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    handler = QueryHandler(engine, options, data_dir)
    runner = web.AppRunner(
        application(handler),
        access_log=None,
        handler_cancellation=True,
        auto_decompress=False,
        keepalive_timeout=_KEEP_ALIVE_S,
        max_line_size=_MAX_URL_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
        max_headers=_MAX_HEADERS,
        read_bufsize=_READ_BUFFER_BYTES,
        shutdown_timeout=0.1,
    )
    await runner.setup()
    site = web.SockSite(runner, listener)
    await site.start()
    host, port = listener.getsockname()[:2]
    out.write(_ready(engine, data_dir, host, port).line())
    out.flush()
    await _wait_for_end(stop, options.parent_pid)
    await site.stop()
    is_clean = await handler.stop(options.shutdown_grace_s)
    await runner.cleanup()
    return is_clean


def application(handler: QueryHandler) -> web.Application:
    """The routes."""
    app = web.Application()
    for path in ("/", "/query"):
        app.router.add_route("GET", path, handler)
        app.router.add_route("HEAD", path, handler)
        app.router.add_route("POST", path, handler)
        app.router.add_route("OPTIONS", path, _options)
    for path in ("/ping", "/replicas_status"):
        app.router.add_get(path, _ok)
    return app


async def _ok(_: web.Request) -> web.Response:
    return web.Response(body=b"Ok.\n", content_type="text/html", charset="UTF-8")


async def _options(_: web.Request) -> web.Response:
    return web.Response(status=204)


def _ready(engine: Engine, data_dir: DataDir, host: str, port: int) -> Ready:
    in_url = f"[{host}]" if ":" in host else host
    return Ready(
        url=f"http://{in_url}:{port}",
        host=host,
        port=port,
        pid=os.getpid(),
        version=engine.version,
        data_dir=str(data_dir.root),
    )


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():  # asked twice: at once
            os._exit(ExitCode.UNCLEAN)
        _LOG.info("ending on %s", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal, number)


async def _wait_for_end(stop: asyncio.Event, parent_pid: int | None) -> None:
    if parent_pid is None:
        await stop.wait()
        return
    gone = asyncio.create_task(parent_gone(parent_pid))
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait([gone, asked], return_when=asyncio.FIRST_COMPLETED)
    for task in (gone, asked):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
