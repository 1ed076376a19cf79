"""ClickHouse's own compression: the blocks of `compress=1` responses and `decompress=1` requests.

A block: 16 bytes CityHash128 of what follows, a method byte, two sizes of 4 bytes (compressed with these 9 bytes,
and uncompressed), the data. Source: `src/Compression/CompressedWriteBuffer.cpp`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from struct import Struct
from typing import Final

import lz4.block

from tokentide.embedded.clickhouse.cityhash import cityhash128
from tokentide.embedded.clickhouse.errors import Code, ServerError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_HEADER: Final = Struct("<BII")
_CHECKSUM_BYTES: Final = 16
_NONE: Final = 0x02
_LZ4: Final = 0x82
_ZSTD: Final = 0x90
BLOCK_BYTES: Final = 1 << 20
"""What one block holds at most when we write it: ClickHouse's default."""
_MAX_BLOCK_BYTES: Final = 1 << 30
"""ClickHouse's limit for what it reads (`DBMS_MAX_COMPRESSED_SIZE`)."""


class BlockEncoder:
    """Writes blocks; has the interface of the content encoders."""

    def __init__(self, method: str = "LZ4") -> None:
        self._method = _ZSTD if method.upper() == "ZSTD" else _LZ4
        self._pending = bytearray()

    def compress(self, data: bytes, /) -> bytes:
        """The blocks that are full."""
        self._pending += data
        out = []
        while len(self._pending) >= BLOCK_BYTES:
            out.append(self._block(bytes(self._pending[:BLOCK_BYTES])))
            del self._pending[:BLOCK_BYTES]
        return b"".join(out)

    def flush(self) -> bytes:
        """The last block."""
        rest, self._pending = bytes(self._pending), bytearray()
        return self._block(rest) if rest else b""

    def _block(self, data: bytes) -> bytes:
        packed = (
            zstd.compress(data, 1) if self._method == _ZSTD else lz4.block.compress(data, store_size=False)
        )
        body = _HEADER.pack(self._method, len(packed) + _HEADER.size, len(data)) + packed
        return cityhash128(body) + body


class BlockDecoder:
    """Reads blocks; has the interface of the content decoders."""

    def __init__(self, max_block_bytes: int = _MAX_BLOCK_BYTES) -> None:
        self._pending = bytearray()
        self._max_block_bytes = max_block_bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The contents of the blocks that are complete.

        Raises:
            ServerError: a block is damaged, too large, or of a method that is not supported.
        """
        self._pending += data
        head = _CHECKSUM_BYTES + _HEADER.size
        while len(self._pending) >= head:
            method, packed_bytes, data_bytes = _HEADER.unpack_from(self._pending, _CHECKSUM_BYTES)
            if (
                not _HEADER.size <= packed_bytes <= self._max_block_bytes
                or data_bytes > self._max_block_bytes
            ):
                raise ServerError(Code.CANNOT_DECOMPRESS, "A compressed block has an impossible size")
            end = _CHECKSUM_BYTES + packed_bytes
            if len(self._pending) < end:
                return
            block = bytes(self._pending[:end])
            del self._pending[:end]
            if cityhash128(block[_CHECKSUM_BYTES:]) != block[:_CHECKSUM_BYTES]:
                raise ServerError(
                    Code.CHECKSUM_DOESNT_MATCH, "Checksum doesn't match: a compressed block is damaged"
                )
            yield _unpack(method, block[head:], data_bytes)

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            ServerError: the body ended in the middle of a block.
        """
        if self._pending:
            raise ServerError(Code.CANNOT_DECOMPRESS, "The body ends in the middle of a compressed block")


def _unpack(method: int, packed: bytes, data_bytes: int) -> bytes:
    try:
        if method == _LZ4:
            data = bytes(lz4.block.decompress(packed, uncompressed_size=data_bytes))
        elif method == _ZSTD:
            data = zstd.ZstdDecompressor().decompress(packed, data_bytes + 1)
        elif method == _NONE:
            data = packed
        else:
            raise ServerError(
                Code.UNKNOWN_COMPRESSION_METHOD,
                f"Compression method 0x{method:02x} of a block is not supported",
            )
    except (lz4.block.LZ4BlockError, zstd.ZstdError, ValueError) as error:
        raise ServerError(Code.CANNOT_DECOMPRESS, f"A compressed block cannot be read: {error}") from error
    if len(data) != data_bytes:
        raise ServerError(Code.CANNOT_DECOMPRESS, "A compressed block has another size than it says")
    return data
