"""Request bodies: read as they come, decompressed in bounded pieces, kept on disk until they are complete.

An insert is given to the engine when its last byte is here. A client that dies in the middle of sending therefore
leaves nothing behind, and one that sends slowly occupies no engine thread. The file has no name and is gone with
its last reader; the engine opens it as `/dev/fd/N`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
from aiohttp import web

from tokentide.embedded.clickhouse.block_compression import BlockDecoder
from tokentide.embedded.clickhouse.codecs import Decoder
from tokentide.embedded.clickhouse.errors import Code, ServerError

_OFF_LOOP_BYTES: Final = 1 << 18
"""Writes from this size on leave the event loop, in case the disk is slow."""


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete; there is nobody to answer."""


class _Stage(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...
    def finish(self) -> None: ...


class PieceReader(Protocol):
    """Where raw bytes come from: a request's content, or one part of a form."""

    async def __call__(self) -> bytes:
        """The next bytes; empty at the end."""
        ...


async def body_pieces(
    read: PieceReader, *, encoding: str, is_blocks: bool, silence_s: float
) -> AsyncIterator[bytes]:
    """A body's pieces, decompressed.

    Args:
        read: gives the raw bytes.
        encoding: of Content-Encoding; empty or `identity`: none.
        is_blocks: whether ClickHouse's own compression is inside (`decompress=1`).
        silence_s: how long the client may send nothing.

    Raises:
        ServerError: silence, or data that cannot be decompressed.
        ClientGoneError: the connection ended early.
    """
    stages: list[_Stage] = []
    if encoding not in {"", "identity"}:
        stages.append(Decoder(encoding))
    if is_blocks:
        stages.append(BlockDecoder())
    while data := await _next(read, silence_s):
        for piece in _through(stages, data):
            yield piece
    for at, stage in enumerate(stages):
        stage.finish()
        for piece in _through(stages[at + 1 :], b""):
            yield piece


def request_reader(request: web.Request) -> PieceReader:
    """Reads a request's whole body."""

    async def read() -> bytes:
        return await request.content.readany()

    return read


async def _next(read: PieceReader, silence_s: float) -> bytes:
    try:
        async with asyncio.timeout(silence_s):
            return await read()
    except TimeoutError:
        raise ServerError(
            Code.SOCKET_TIMEOUT,
            f"Timeout exceeded while reading from the client: {silence_s:g} s without data",
        ) from None
    except (aiohttp.ClientError, web.RequestPayloadError, ConnectionError) as error:
        raise ClientGoneError(str(error)) from error


def _through(stages: Sequence[_Stage], data: bytes) -> Iterator[bytes]:
    if not stages:
        if data:
            yield data
        return
    for piece in stages[0].feed(data):
        yield from _through(stages[1:], piece)


class Spool:
    """A body on its way to the engine."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by `close`
        self._max_bytes = max_bytes
        self._tail = b""
        self.size = 0
        self.may_call_functions = False
        """Whether rows in the Values format could call a function that reaches out; see `guard.py`."""

    async def add(self, data: bytes) -> None:
        """Append a piece.

        Raises:
            ServerError: the body is larger than allowed.
        """
        self.size += len(data)
        if self.size > self._max_bytes:
            raise ServerError(
                Code.QUERY_IS_TOO_LARGE,
                f"The body is larger than {self._max_bytes} bytes: send it in several inserts, "
                "or start the server with a larger --max-body-mb",
            )
        self._inspect(data)
        if len(data) >= _OFF_LOOP_BYTES:
            await asyncio.to_thread(self._write, data)
        else:
            self._write(data)

    @property
    def path(self) -> str:
        """What the engine reads; from the start, also where opening it shares our position."""
        self._file.seek(0)
        return f"/dev/fd/{self._file.fileno()}"

    def close(self) -> None:
        """Give the space back."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file.fileno(), view) :]

    def _inspect(self, data: bytes) -> None:
        if self.may_call_functions:
            return
        seen = (self._tail + data).lower()
        can_escape = b"\\" in seen and (b"`" in seen or b'"' in seen)
        self.may_call_functions = can_escape or b"file" in seen or b"eval" in seen or b"python" in seen
        self._tail = data[-16:]
