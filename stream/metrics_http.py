"""The worker's HTTP server for Prometheus: `/metrics` and `/healthz`, nothing else, and nothing to web pages of others.

It runs in the worker's event loop, so that an answer also says that the loop turns. Whoever connects can cost the worker
little: requests are small and without a body, a connection serves one request and lives for seconds, and there are few at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import socket
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from aiohttp import web

from tokentide.foreign_pages import host_name, is_for_another_page, is_local_name
from tokentide.stream.metrics_text import CONTENT_TYPE

log = structlog.get_logger("tokentide.metrics")

_MOST_CONNECTIONS: Final = 32
_CONNECTION_S: Final = 10.0
"""Prometheus' own patience with one scrape, by default."""
_MAX_LINE_BYTES: Final = 2_048
_MAX_HEADER_BYTES: Final = 4_096
_MAX_HEADERS: Final = 64
_METHODS: Final = "GET, HEAD"
_PLAIN_NAME: Final = re.compile(r"[a-z0-9._-]{1,253}")

_SILENT: Final = logging.getLogger("tokentide.metrics.requests")
_SILENT.disabled = True  # aiohttp would log each malformed request with a traceback and its first bytes


class MetricsAddressError(Exception):
    """The server cannot listen where the settings say; the message names the address and the remedy."""


class MetricsServer:
    """Serves what `exposition` returns. Build and use it inside one event loop."""

    def __init__(
        self,
        exposition: Callable[[], str],
        is_healthy: Callable[[], bool],
        *,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        """Make the server.

        Args:
            exposition: the answer of `/metrics`; called for each request, in the event loop.
            is_healthy: whether `/healthz` answers 200, else 503.
            allowed_hosts: names that it is asked by, beside addresses, `localhost` and the names of this machine, in small
                letters; `.name` allows all names below it, `*` any.
        """
        self._exposition = exposition
        self._is_healthy = is_healthy
        machine = socket.gethostname().lower()
        self._allowed_hosts = {*allowed_hosts, machine, machine.partition(".")[0]}
        self._has_told_refusal = False
        self._http = web.Server(
            self._answer,
            access_log=None,
            logger=_SILENT,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            max_headers=_MAX_HEADERS,
        )
        self._listening: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> str:
        """Listen; return the address as a URL. Port 0 takes any free one.

        Raises:
            MetricsAddressError: the port is in use or not allowed, or the host is no address of this machine.
        """
        loop = asyncio.get_running_loop()
        try:
            # One address, so that port 0 is one port: `localhost` may be two.
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, _, _, _, address = found[0]
            listener = socket.create_server((address[0], port), family=family, backlog=_MOST_CONNECTIONS)
        except (OSError, UnicodeError) as error:
            raise MetricsAddressError(_trouble(error, host, port)) from error
        self._allowed_hosts.add(host.lower())
        self._listening = await loop.create_server(self._connection, sock=listener)
        in_url = f"[{host}]" if ":" in host else host
        return f"http://{in_url}:{listener.getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        if self._listening is not None:
            self._listening.close()
        await self._http.shutdown(timeout=0.5)

    def _connection(self) -> asyncio.Protocol:
        if len(self._http.connections) >= _MOST_CONNECTIONS:
            return _Refusal()
        connection = self._http()
        asyncio.get_running_loop().call_later(_CONNECTION_S, _abort, connection)
        return connection

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = self._response(request)
        except Exception:
            log.exception("metrics cannot be told", remedy="report this line; the worker goes on")
            response = web.Response(status=500, text="see the worker's log\n")
        response.force_close()
        return response

    def _response(self, request: web.BaseRequest) -> web.Response:
        if is_for_another_page(request.headers):
            return web.Response(status=403, text="not for web pages of other sites\n")
        host = request.headers.get("Host", "")
        if host and not self._is_allowed(host_name(host)):
            self._tell_refusal(host_name(host))
            return web.Response(
                status=403, text="ask by an address, or add this name to the setting metrics.allowed_hosts\n"
            )
        if request.path not in ("/metrics", "/healthz"):
            return web.Response(status=404, text="there are /metrics and /healthz\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": _METHODS}, text=f"only {_METHODS}\n")
        if request.path == "/metrics":
            return web.Response(body=self._exposition().encode(), headers={"Content-Type": CONTENT_TYPE})
        return web.Response(text="ok\n") if self._is_healthy() else web.Response(status=503, text="ending\n")

    def _is_allowed(self, name: str) -> bool:
        """A name that is none of ours may be one that a page's owner has pointed here."""
        allowed = self._allowed_hosts
        return (
            is_local_name(name)
            or name in allowed
            or "*" in allowed
            or any(entry.startswith(".") and name.endswith(entry) for entry in allowed)
        )

    def _tell_refusal(self, name: str) -> None:
        if not self._has_told_refusal:
            self._has_told_refusal = True
            log.warning(
                "metrics were asked by a name that is not allowed",
                host=name if _PLAIN_NAME.fullmatch(name) else "(no name)",
                remedy="if it is Prometheus that asks, add the name to metrics.allowed_hosts; said once",
            )


class _Refusal(asyncio.Protocol):
    """A connection too many: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _abort(connection: web.RequestHandler) -> None:
    if isinstance(connection.transport, asyncio.Transport):
        connection.transport.abort()


def _trouble(error: OSError | UnicodeError, host: str, port: int) -> str:
    where = f"metrics cannot be served on {host}:{port}"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"{where}: the host has no address; set metrics.host to one of this machine, such as 127.0.0.1"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where}: another program listens there; set metrics.port to another port, or to 0 for any free one"
        case errno.EACCES | errno.EPERM:
            return f"{where}: this user may not use the port; set metrics.port to one above 1023"
        case errno.EADDRNOTAVAIL:
            return f"{where}: it is no address of this machine; set metrics.host to one, such as 127.0.0.1"
        case _:
            return f"{where} ({type(error).__name__} {error.errno}); mend metrics.host or metrics.port"
