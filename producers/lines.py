"""Lines of an input that may be large, compressed, or endless: files, standard input, gzip by its magic bytes.

InputError      the file cannot be opened or read, or is no whole gzip file
"""

from __future__ import annotations

import gzip
import io
import os
import select
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self, cast

from tokentide.producers.traffic_errors import InputError
from tokentide.schemas.limits import MAX_RECORD_BYTES

GZIP_MAGIC: Final = b"\x1f\x8b"
UTF8_BOM: Final = b"\xef\xbb\xbf"
FIRST_IDLE_S: Final = 0.1
IDLE_S: Final = 0.5


class Line(NamedTuple):
    """One line without its end."""

    number: int
    """From 1."""
    content: bytes
    is_cut: bool
    """The line is longer than the limit; `content` is its beginning."""


class Input:
    """An opened input; use it as a context manager.

    Args:
        source: a path, or a stream such as standard input (which stays open).
        on_idle: called while a pipe or terminal has nothing to read: the time to send what is held back.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, source: Path | BinaryIO, *, on_idle: Callable[[], None] | None = None) -> None:
        self.name = source.name if isinstance(source, Path) else "standard input"
        self._owns = isinstance(source, Path)
        self._stored = _open(source, on_idle)
        self._size_bytes = source.stat().st_size if isinstance(source, Path) and source.is_file() else None
        self.stream: BinaryIO = self._stored
        if self._stored.peek(2)[:2] == GZIP_MAGIC:
            self.stream = cast("BinaryIO", gzip.GzipFile(fileobj=self._stored))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owns:
            self._stored.close()

    def fraction_read(self) -> float | None:
        """0 … 1 of the stored (compressed) bytes; None where the size is not known."""
        if not self._size_bytes:
            return None
        return min(self._stored.tell() / self._size_bytes, 1.0)

    def lines(
        self, limit_bytes: int = MAX_RECORD_BYTES, *, first_limit_bytes: int | None = None
    ) -> Iterator[Line]:
        r"""Lines without `\n` or `\r\n`; a byte order mark before the first is dropped.

        Args:
            limit_bytes: what is longer is cut.
            first_limit_bytes: the same for the first line, which may be a whole document.

        Raises:
            InputError: the input ends in the middle of its compressed data, or cannot be read.
        """
        number = 0
        limit = limit_bytes if first_limit_bytes is None else first_limit_bytes
        while raw := self.read_line(limit + 2):
            number += 1
            if number == 1:
                raw = raw.removeprefix(UTF8_BOM)
            whole = raw.endswith(b"\n")
            is_cut = not whole and len(raw) > limit
            yield Line(number, raw.removesuffix(b"\n").removesuffix(b"\r")[:limit], is_cut)
            limit = limit_bytes
            while is_cut and not whole:
                rest = self.read_line(1 << 20)
                whole = not rest or rest.endswith(b"\n")

    def read_line(self, limit_bytes: int) -> bytes:
        """Up to and including the next newline, at most `limit_bytes`; empty at the end.

        Raises:
            InputError: as `lines`.
        """
        try:
            return self.stream.readline(limit_bytes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{self.name} is no whole gzip file ({error}); fetch it again") from error
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}") from error

    def read_all(self, limit_bytes: int) -> bytes:
        """The rest, or as much of it as shows that it is longer than the limit.

        Raises:
            InputError: as `lines`.
        """
        pieces: list[bytes] = []
        left = limit_bytes + 1
        while left > 0 and (piece := self.read_line(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def _open(source: Path | BinaryIO, on_idle: Callable[[], None] | None) -> io.BufferedReader:
    if isinstance(source, Path):
        try:
            return source.open("rb")
        except OSError as error:
            raise InputError(f"{source} cannot be opened: {error.strerror}") from error
    if on_idle is not None and (descriptor := _waiting_descriptor(source)) is not None:
        return io.BufferedReader(_Pipe(descriptor, on_idle))
    return source if isinstance(source, io.BufferedReader) else io.BufferedReader(_Raw(source))


def _waiting_descriptor(stream: BinaryIO) -> int | None:
    """The descriptor of a stream that may keep its reader waiting: a pipe, a terminal, a socket."""
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):
        return None
    return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else descriptor


class _Pipe(io.RawIOBase):
    """A descriptor that says when there is nothing to read. It is not closed here: it is the caller's."""

    def __init__(self, descriptor: int, on_idle: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_idle = on_idle

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # the base says Buffer, always a memoryview here
        wait_s = FIRST_IDLE_S
        while not select.select([self._descriptor], [], [], wait_s)[0]:
            self._on_idle()
            wait_s = IDLE_S
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Raw(io.RawIOBase):
    """Any readable stream as a raw one, so that it can be buffered and looked into."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # as above
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
