"""One response: its beginning held back, then sent piece by piece; an error with a status, or in the stream.

As a ClickHouse server does it: until `buffer_bytes` of the result are there nothing is sent, so an early error has
an HTTP status and a body of its own. An error after that goes into the body, between marks that carry the tag
which the header announced (`X-ClickHouse-Exception-Tag`), and the connection is closed without the last chunk,
so that no client takes the result for complete.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import string
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from aiohttp import web

from tokentide.embedded.clickhouse.block_compression import BlockEncoder
from tokentide.embedded.clickhouse.body import ClientGoneError
from tokentide.embedded.clickhouse.codecs import Encoder, encoder
from tokentide.embedded.clickhouse.engine import Outcome
from tokentide.embedded.clickhouse.errors import ServerError

_IN_MEMORY_BYTES: Final = 16 << 20
"""Of a result that is held back whole; more goes to disk."""
_OFF_LOOP_BYTES: Final = 1 << 16
"""Pieces from this size on are compressed outside of the event loop."""
_MAX_ERROR_BYTES: Final = 16 << 10
"""ClickHouse's limit for an exception in the stream; clients look no further."""


class Answer:
    """The response to one statement."""

    def __init__(
        self,
        request: web.Request,
        *,
        headers: Mapping[str, str],
        block_method: str | None,
        encoding: str | None,
        buffer_bytes: int,
        wait_end: bool,
        send_timeout_s: float,
        spool_folder: Path,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            request: to be answered.
            headers: of a successful response.
            block_method: LZ4 or ZSTD for `compress=1`.
            encoding: content encoding that the client accepts.
            buffer_bytes: how much is held back before anything is sent.
            wait_end: whether all of it is.
            send_timeout_s: how long the client may take nothing.
            spool_folder: for what is held back and large.
        """
        self._request = request
        self._tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
        self._headers = {**headers, "X-ClickHouse-Exception-Tag": self._tag}
        self._stages: list[Encoder] = [BlockEncoder(block_method)] if block_method else []
        self._content = encoder(encoding) if encoding else None
        if encoding:
            self._headers["Content-Encoding"] = encoding
        self._buffer_bytes = buffer_bytes
        self._wait_end = wait_end
        self._send_timeout_s = send_timeout_s
        self._held: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(spool_folder))  # noqa: SIM115 - closed by `close`
        self._held_bytes = 0
        self._response: web.StreamResponse | None = None

    async def write(self, data: bytes) -> None:
        """Add to the result.

        Raises:
            ClientGoneError: the client left, or takes nothing any more.
        """
        encoded = await self._encode(data)
        if not encoded:
            return
        if self._response is None:
            self._held.write(encoded)
            self._held_bytes += len(encoded)
            if not self._wait_end and self._held_bytes >= self._buffer_bytes:
                await self._begin()
        else:
            await self._send(self._response, encoded)

    async def finish(self, outcome: Outcome) -> web.StreamResponse:
        """Send the rest; the statement succeeded."""
        end = await self._flush()
        if self._response is not None:
            if end:
                await self._send(self._response, end)
            return self._response
        self._headers["X-ClickHouse-Summary"] = summary(outcome)
        self._held.write(end)
        self._held_bytes += len(end)
        if self._held_bytes > _IN_MEMORY_BYTES:
            return await self._begin(length=self._held_bytes)
        self._held.seek(0)
        body = self._held.read()
        if not body:
            self._headers.pop("Content-Encoding", None)
        return web.Response(body=body, headers=self._headers)

    async def fail(self, error: ServerError, version: str) -> web.StreamResponse:
        """End with an error: as the whole response, or behind what was sent already.

        Raises:
            ClientGoneError: it was the latter; the connection must be closed now.
        """
        if self._response is None:
            kept = {name: value for name, value in self._headers.items() if name not in _SUCCESS_ONLY}
            return error_response(error, version, kept)
        raw = error.text(version).encode()[:_MAX_ERROR_BYTES]
        tag = self._tag.encode()
        block = b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (tag, raw, len(raw), tag)
        pending = b"".join(stage.flush() for stage in self._stages) + block
        if self._content:
            pending = self._content.compress(pending) + self._content.flush()
        await self._send(self._response, pending)
        raise ClientGoneError("the response was broken off")

    def abort(self) -> None:
        """Close the connection, so that the client cannot take the result for complete."""
        if self._request.transport is not None:
            self._request.transport.close()

    def close(self) -> None:
        """Give back what is held."""
        self._held.close()

    async def _encode(self, data: bytes) -> bytes:
        for stage in (*self._stages, *([self._content] if self._content else [])):
            data = await _off_loop(stage, data)
        return data

    async def _flush(self) -> bytes:
        data = b"".join(stage.flush() for stage in self._stages)
        if self._content is None:
            return data
        return self._content.compress(data) + self._content.flush()

    async def _begin(self, length: int | None = None) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers)
        response.content_length = length
        try:
            await response.prepare(self._request)
        except ConnectionError as error:
            raise ClientGoneError(str(error)) from error
        self._response = response
        self._held.seek(0)
        while piece := self._held.read(1 << 18):
            await self._send(response, piece)
        return response

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await response.write(data)
        except (TimeoutError, ConnectionError) as error:
            self.abort()
            raise ClientGoneError(str(error)) from error


_SUCCESS_ONLY: Final = frozenset({"Content-Type", "Content-Encoding", "X-ClickHouse-Format"})


def error_response(error: ServerError, version: str, headers: Mapping[str, str]) -> web.Response:
    """An error as the whole response."""
    extra = {"X-ClickHouse-Exception-Code": str(error.code)}
    return web.Response(
        status=error.status,
        body=error.text(version).encode(),
        headers={**headers, **extra, "Content-Type": "text/plain; charset=UTF-8"},
    )


def summary(outcome: Outcome) -> str:
    """The value of `X-ClickHouse-Summary`."""
    return json.dumps(
        {
            "read_rows": str(outcome.read_rows),
            "read_bytes": str(outcome.read_bytes),
            "written_rows": str(outcome.written_rows),
            "written_bytes": str(outcome.written_bytes),
            "total_rows_to_read": "0",
            "result_rows": str(outcome.result_rows or outcome.written_rows),
            "result_bytes": str(outcome.result_bytes or outcome.written_bytes),
            "elapsed_ns": str(int(outcome.elapsed_s * 1e9)),
        },
        separators=(",", ":"),
    )


async def _off_loop(stage: Encoder, data: bytes) -> bytes:
    if len(data) < _OFF_LOOP_BYTES:
        return stage.compress(data)
    return await asyncio.to_thread(stage.compress, data)
