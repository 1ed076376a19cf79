"""A TCP proxy that misbehaves on demand: what a network and a dying server do to clients.

Clients connect to `proxy.port`; bytes go on to the server. Each direction is a `Line` whose faults may be changed at
any time, from any thread, and hold for old and new connections:

    proxy.to_client.delay_s = 0.2          # every piece arrives later
    proxy.to_server.is_stalled = True      # nothing arrives; connections stay open
    proxy.to_client.is_swallowed = True    # the server does the work, the answer is lost
    proxy.to_server.cut = Cut(after_bytes=1000, how="reset")   # each connection, once it has passed so many
    proxy.reset_all()                      # RST on all open connections now
    proxy.is_refusing = True               # new connections are refused with RST
    proxy.heal()                           # no more faults
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from tests.support.waiting import HANGING_S

HOST = "127.0.0.1"
_PIECE_BYTES = 65_536
_LOOK_AGAIN_S = 0.01
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST instead of FIN


@dataclass(frozen=True)
class Cut:
    """What happens to a connection after so many bytes in one direction."""

    after_bytes: int
    how: Literal["reset", "half_close"]
    """`reset`: RST to both sides. `half_close`: the receiver sees the end, the other direction goes on."""


@dataclass
class Line:
    """The faults of one direction, and what went through it."""

    delay_s: float = 0.0
    is_stalled: bool = False
    is_swallowed: bool = False
    cut: Cut | None = None
    passed_bytes: int = 0
    swallowed_bytes: int = 0

    def heal(self) -> None:
        """Remove the faults; the counts stay."""
        self.delay_s, self.is_stalled, self.is_swallowed, self.cut = 0.0, False, False, None


class TcpProxy:
    """Listens on a port of the loopback interface and passes everything on to a server, faults aside."""

    def __init__(self, server_port: int = 0, *, server_host: str = HOST) -> None:
        """Prepare; the server may be set later, and changed while the proxy runs."""
        self.server_host = server_host
        self.server_port = server_port
        self.to_server = Line()
        self.to_client = Line()
        self.is_refusing = False
        self.connections = 0
        """How many clients were let in since the start."""
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.port}"

    def start(self) -> Self:
        """Listen on a free port."""
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        """Drop all connections and end."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def heal(self) -> None:
        """Remove all faults; connections that were cut stay cut."""
        self.to_server.heal()
        self.to_client.heal()
        self.is_refusing = False

    def reset_all(self) -> None:
        """Send RST to both ends of all open connections."""
        self._run(self._reset_all())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=HANGING_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._reset_all()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            _reset(to_client)
            return
        self.connections += 1
        try:
            from_server, to_server = await asyncio.open_connection(self.server_host, self.server_port)
        except OSError:
            _reset(to_client)
            return
        both = {to_client, to_server}
        self._writers |= both
        try:
            # A fault on one direction ends both; a plain end of one lets the other go on.
            await asyncio.gather(
                _pass_on(from_client, to_server, self.to_server),
                _pass_on(from_server, to_client, self.to_client),
            )
        except OSError:
            for writer in both:
                _reset(writer)
        finally:
            self._writers -= both
            for writer in both:
                writer.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> None:
    passed = 0
    while piece := await reader.read(_PIECE_BYTES):
        if line.delay_s:
            await asyncio.sleep(line.delay_s)
        while line.is_stalled:  # noqa: ASYNC110 - set from other threads, where an asyncio.Event cannot be
            await asyncio.sleep(_LOOK_AGAIN_S)
        if line.is_swallowed:
            line.swallowed_bytes += len(piece)
            continue
        cut = line.cut
        allowed = piece if cut is None else piece[: max(0, cut.after_bytes - passed)]
        writer.write(allowed)
        await writer.drain()
        passed += len(allowed)
        line.passed_bytes += len(allowed)
        if cut is not None and passed >= cut.after_bytes:
            if cut.how == "reset":
                raise ConnectionResetError("cut on demand")
            break
    with contextlib.suppress(OSError):  # the other side may be gone already
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    writer.transport.abort()
