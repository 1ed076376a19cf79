"""A pipe from an engine thread to the event loop.

The engine writes a result to `/dev/fd/N`; the loop reads what is there, when somebody wants it. A reader that does
not keep up fills the pipe, and the engine waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from typing import Final

_PIECE_BYTES: Final = 1 << 20
_F_SETPIPE_SZ: Final = getattr(fcntl, "F_SETPIPE_SZ", None)


class ResultPipe:
    """Both ends; `close_writer` belongs to the engine's side, everything else to the loop."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        if _F_SETPIPE_SZ is not None:
            with contextlib.suppress(OSError):  # a limit of the system for this user
                fcntl.fcntl(self._writer, _F_SETPIPE_SZ, _PIECE_BYTES)

    @property
    def path(self) -> str:
        """What the engine opens for writing."""
        return f"/dev/fd/{self._writer}"

    def close_writer(self) -> None:
        """Let the reader see the end; the engine must have closed its own end."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def close_reader(self) -> None:
        """Stop reading; a writer gets an error from now on."""
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is written, as it comes, to the end."""
        while piece := await self._read():
            yield piece

    async def _read(self) -> bytes:
        while True:
            try:
                return os.read(self._reader, _PIECE_BYTES)
            except BlockingIOError:
                await self._readable()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._reader, wake)
        try:
            await ready
        finally:
            loop.remove_reader(self._reader)
