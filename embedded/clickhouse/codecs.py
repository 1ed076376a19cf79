"""Content encodings of requests and responses: gzip, deflate, lz4, zstd.

Requests may hold several frames or members in a row: clickhouse-connect compresses each block on its own.
Output is produced in bounded pieces, so a small request cannot become a large one in memory.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import lz4.frame

from tokentide.embedded.clickhouse.errors import Code, ServerError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES: Final = 1 << 20
"""Most that one step of decompression gives."""


class Encoder(Protocol):
    """Compresses a response, piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """What is ready so far; may be empty."""
        ...

    def flush(self) -> bytes:
        """The end of the stream."""
        ...


class _Lz4Encoder:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes, /) -> bytes:
        begin = b"" if self._begun else self._frame.begin()
        self._begun = True
        return bytes(begin + self._frame.compress(data))

    def flush(self) -> bytes:
        begin = b"" if self._begun else self._frame.begin()
        return bytes(begin + self._frame.flush())


_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    # In order of preference: on one machine time matters, not size. Level 3 is ClickHouse's for gzip and deflate.
    "lz4": _Lz4Encoder,
    "zstd": lambda: zstd.ZstdCompressor(level=1),
    "gzip": lambda: zlib.compressobj(3, wbits=31),
    "deflate": lambda: zlib.compressobj(3),
}


def choose_encoding(accepted: str) -> str | None:
    """The encoding for a response, from the request's Accept-Encoding; None for as it is."""
    wanted = set()
    for item in accepted.split(","):
        name, _, quality = item.partition(";")
        if quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            wanted.add(name.strip().lower())
    return next((name for name in _ENCODERS if name in wanted), None)


def encoder(encoding: str) -> Encoder:
    """A new encoder for one response."""
    return _ENCODERS[encoding]()


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _ZlibFrame:
    """zlib's object with the interface of the others; keeps its own unread input."""

    def __init__(self, wbits: int) -> None:
        self._object = zlib.decompressobj(wbits=wbits)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes | None:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


_DECODERS: Final[dict[str, Callable[[], _Decompressor]]] = {
    "gzip": lambda: _ZlibFrame(31),
    "deflate": lambda: _ZlibFrame(15),
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
}


class Decoder:
    """Decompresses a request's body, piece by piece."""

    def __init__(self, encoding: str) -> None:
        """Begin; an empty encoding passes data through.

        Raises:
            ServerError: the encoding is not supported.
        """
        if encoding not in _DECODERS:
            raise ServerError(
                Code.NOT_IMPLEMENTED,
                f"Content-Encoding {encoding} is not supported: use one of {', '.join(_DECODERS)}",
            )
        self._encoding = encoding
        self._new = _DECODERS[encoding]
        self._frame: _Decompressor | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out of the next piece of the body, at most `PIECE_BYTES` at a time.

        Raises:
            ServerError: it is not of this encoding.
        """
        while data or self._frame is not None:
            frame = self._frame = self._frame or self._new()
            try:
                piece = frame.decompress(data, PIECE_BYTES)
            except (zlib.error, zstd.ZstdError, RuntimeError) as error:
                raise ServerError(
                    Code.CANNOT_DECOMPRESS, f"The body is not valid {self._encoding}: {error}"
                ) from error
            if piece:
                yield piece
            data = b""
            if frame.eof:
                data, self._frame = frame.unused_data or b"", None
            elif len(piece) < PIECE_BYTES:
                return

    def finish(self) -> None:
        """Check that the last frame was whole.

        Raises:
            ServerError: the body ended in the middle of one.
        """
        if self._frame is not None:
            raise ServerError(
                Code.CANNOT_DECOMPRESS, f"The body ends in the middle of its {self._encoding} data"
            )
