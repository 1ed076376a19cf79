"""One segment of the spool: a file of packed records, appended in order, read in order, then deleted.

Layout, little-endian:

    header   8 bytes `TTSPOOL1`, 8 bytes: offset up to which all records have been settled
    frame    4 bytes CRC-32 of the rest of the frame, 4 bytes length of the value, 4 bytes events, value

The header's offset moves while a segment is sent, so that a process that takes it over does not send
again what was acknowledged. The end of a file may be torn (a process killed while writing, a full
disk): whatever does not pass the length and the checksum was never promised and ends the segment.

Offsets are explicit (`pwrite`), because a file opened for appending would put the header's update at
its end.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from tokentide.producers.errors import SpoolError
from tokentide.producers.packing import Packed

MAGIC: Final = b"TTSPOOL1"
_SETTLED: Final = struct.Struct("<Q")
_SETTLED_AT: Final = len(MAGIC)
HEADER_BYTES: Final = len(MAGIC) + _SETTLED.size
_FRAME: Final = struct.Struct("<III")
_CHECKED: Final = struct.Struct("<II")
FRAME_BYTES: Final = _FRAME.size


def frame_size(record: Packed) -> int:
    """Bytes that a record takes in a segment."""
    return FRAME_BYTES + len(record.value)


class Frame(NamedTuple):
    """Where one record lies."""

    start: int
    end: int
    events: int


class SegmentWriter:
    """Appends records to a new file.

    Raises:
        SpoolError: the file cannot be made or written; after a failed `append` the file is as before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = HEADER_BYTES
        self.events = 0
        self._dirty = False
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolError(f"cannot make a file in the spool: {error.strerror}") from error
        try:
            self._write(MAGIC + _SETTLED.pack(HEADER_BYTES), 0)
        except SpoolError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def append(self, record: Packed) -> None:
        """Write one record at the end. It survives the process; the machine's crash only after `sync`."""
        checked = _CHECKED.pack(len(record.value), record.events)
        crc = zlib.crc32(record.value, zlib.crc32(checked))
        self._write(crc.to_bytes(4, "little") + checked + record.value, self.size)
        self.size += frame_size(record)
        self.events += record.events

    def _write(self, data: bytes, at: int) -> None:
        try:
            _write_all(self._fd, data, at)
        except OSError as error:
            with suppress(OSError):  # what stays behind looks torn, and is
                os.ftruncate(self._fd, at)
            raise SpoolError(f"cannot write to the spool: {error.strerror}") from error
        self._dirty = True

    def sync(self) -> None:
        """Make the file survive a crash of the machine."""
        if self._dirty:
            self._dirty = False
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise SpoolError(f"cannot sync the spool: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Segment:
    """A finished file: records are handed out in order and settled in any order.

    The file is open only while its records are being sent; a full spool has hundreds of segments.

    Args:
        path: the file.
        size: its bytes.
        events: its events that are not settled.
        on_damage: told how many events cannot be read any more.
    """

    def __init__(self, path: Path, *, size: int, events: int, on_damage: Callable[[int], None]) -> None:
        self.path = path
        self.size = size
        self.events = events
        self._on_damage = on_damage
        self._fd: int | None = None
        self._position = 0
        self._pending: deque[Frame] = deque()
        self._out: set[Frame] = set()
        self._settled: dict[int, int] = {}

    def next(self) -> tuple[Frame, Packed] | None:
        """Hand out the next record, or None when all are out.

        Raises:
            SpoolError: the file cannot be read now.
        """
        if self._fd is None and not self.path.exists():  # somebody has cleaned up
            self._on_damage(self.events)
            self.events = 0
            return None
        fd = self._opened()
        while self._pending:
            frame = self._pending.popleft()
            try:
                data = os.pread(fd, frame.end - frame.start, frame.start)
            except OSError as error:
                self._pending.appendleft(frame)
                raise SpoolError(f"cannot read the spool: {error.strerror}") from error
            self._out.add(frame)
            if len(data) > FRAME_BYTES and zlib.crc32(data[4:]) == int.from_bytes(data[:4], "little"):
                return frame, Packed(data[FRAME_BYTES:], frame.events)
            self._on_damage(frame.events)
            self.settle(frame)
        return None

    def settle(self, frame: Frame) -> None:
        """Note that a record needs no more sending."""
        assert self._fd is not None
        self._out.remove(frame)
        self.events -= frame.events
        self._settled[frame.start] = frame.end
        before = self._position
        while self._position in self._settled:
            self._position = self._settled.pop(self._position)
        if self._position != before:
            with suppress(OSError):  # at worst a successor sends again what Kafka already has
                os.pwrite(self._fd, _SETTLED.pack(self._position), _SETTLED_AT)

    def give_back(self, frame: Frame) -> None:
        """Put a record back, to be handed out again before those after it."""
        self._out.remove(frame)
        index = next((i for i, other in enumerate(self._pending) if other.start > frame.start), None)
        self._pending.insert(len(self._pending) if index is None else index, frame)

    @property
    def has_more(self) -> bool:
        """Whether `next` may have something to hand out."""
        return bool(self._pending) if self._fd is not None else self.events > 0

    @property
    def is_out(self) -> bool:
        """Whether records are handed out and not settled."""
        return bool(self._out)

    def delete(self) -> None:
        """Delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file and leave it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _opened(self) -> int:
        if self._fd is None:
            self._fd = _open(self.path)
            self._position, frames = _scan(self._fd)
            self._pending.extend(frames)
            found = sum(frame.events for frame in frames)
            if found < self.events:
                self._on_damage(self.events - found)
            self.events = found
        return self._fd


def _write_all(fd: int, data: bytes, at: int) -> None:
    if os.pwrite(fd, data, at) < len(data):  # a full disk may take a part
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def existing(path: Path, *, on_damage: Callable[[int], None]) -> Segment:
    """Return the segment of another process's file.

    Raises:
        SpoolError: it cannot be read, or is of another format.
    """
    fd = _open(path)
    try:
        _, frames = _scan(fd)
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    return Segment(path, size=size, events=sum(frame.events for frame in frames), on_damage=on_damage)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise SpoolError(f"cannot open a file of the spool: {error.strerror}") from error


def _scan(fd: int) -> tuple[int, list[Frame]]:
    """Return where the unsettled records begin, and where each lies; reads the frames' headers only."""
    try:
        size = os.fstat(fd).st_size
        header = os.pread(fd, HEADER_BYTES, 0)
        if len(header) < HEADER_BYTES:
            return size, []  # killed before the header was complete: nothing was promised
        if not header.startswith(MAGIC):
            raise SpoolError("a file of the spool is of another format")
        position = start = int(_SETTLED.unpack_from(header, _SETTLED_AT)[0])
        frames = []
        while start + FRAME_BYTES <= size:
            _, length, events = _FRAME.unpack(os.pread(fd, FRAME_BYTES, start))
            end = start + FRAME_BYTES + length
            if not length or not events or end > size:
                break  # torn
            frames.append(Frame(start, end, events))
            start = end
    except OSError as error:
        raise SpoolError(f"cannot read the spool: {error.strerror}") from error
    return position, frames
