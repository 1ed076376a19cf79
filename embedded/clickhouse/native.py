"""Puts results into the Native format as a server sends it to clients that speak the native protocol.

With `client_protocol_version=N`, which clickhouse-go (so Grafana) and clickhouse-connect send, a server writes each
block with a header in front, and from revision 54454 on a byte behind each column's type. The engine in process
writes revision 0 only, in which neither is there and the end of a column cannot be told without knowing its type.
Its format `Buffers` has the same columns with their sizes in front; names and types are asked for separately.

Sources: `src/Formats/NativeWriter.cpp`, `src/Core/BlockInfo.cpp`, `src/Processors/Formats/Impl/BuffersWriter.cpp`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

CUSTOM_SERIALIZATION_REVISION: Final = 54_454
"""From this revision on (`DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION`) a byte says whether a column is sparse."""

_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Field 1: no overflow rows; field 2: bucket -1; end."""
_DENSE: Final = b"\x00"
_U64: Final = Struct("<Q")


class Column(NamedTuple):
    """A result's column."""

    name: str
    type: str


class NativeWriter:
    """Turns a stream of `Buffers` into Native blocks, without holding a block."""

    def __init__(self, columns: Sequence[Column], revision: int) -> None:
        """Begin.

        Args:
            columns: of the result, in order.
            revision: the client's protocol version, at least 1.
        """
        sparse_flag = _DENSE if revision >= CUSTOM_SERIALIZATION_REVISION else b""
        self._heads = [_string(column.name) + _string(column.type) + sparse_flag for column in columns]
        self._pending = b""
        self._columns_left = 0
        self._bytes_left = 0
        self._wrote_block = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next piece of `Buffers` becomes."""
        view = memoryview(self._pending + data) if self._pending else memoryview(data)
        self._pending = b""
        at = 0
        while True:
            if self._bytes_left:
                piece = view[at : at + self._bytes_left]
                if not piece:
                    return
                yield bytes(piece)
                at += len(piece)
                self._bytes_left -= len(piece)
            elif self._columns_left:
                if len(view) - at < _U64.size:
                    break
                (self._bytes_left,) = _U64.unpack_from(view, at)
                at += _U64.size
                yield self._heads[-self._columns_left]
                self._columns_left -= 1
            else:
                if len(view) - at < 2 * _U64.size:
                    break
                rows = self._begin_block(view, at)
                at += 2 * _U64.size
                yield _BLOCK_INFO + _varint(len(self._heads)) + _varint(rows)
        self._pending = bytes(view[at:])

    def finish(self) -> bytes:
        """For a result without rows: a block that tells its columns."""
        if self._wrote_block:
            return b""
        return _BLOCK_INFO + _varint(len(self._heads)) + _varint(0) + b"".join(self._heads)

    def _begin_block(self, view: memoryview, at: int) -> int:
        columns, rows = _U64.unpack_from(view, at)[0], _U64.unpack_from(view, at + _U64.size)[0]
        if columns != len(self._heads):
            raise ValueError(f"a block has {columns} columns where the result has {len(self._heads)}")
        self._columns_left = columns
        self._wrote_block = True
        return int(rows)


def _string(value: str) -> bytes:
    raw = value.encode()
    return _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
