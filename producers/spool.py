"""The spool: packed records on disk while Kafka is away, bounded, sent in order when it is back.

One folder serves any number of processes; each writes a lane of its own (`spool_lane`) and takes over
the lanes of processes that are gone. When the folder is full the oldest segments are dropped first, and
their events counted. The sender's thread is the only caller: nothing here is locked.

What survives what: a record survives the end of its process, also by SIGKILL, as soon as `append` has
returned; a crash of the machine once `sync` has (the sender calls it about once a second).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from tokentide.producers.counts import Drop
from tokentide.producers.errors import SpoolError
from tokentide.producers.packing import Packed
from tokentide.producers.spool_lane import Lane, new_lane, take_over
from tokentide.producers.spool_segment import (
    HEADER_BYTES,
    Frame,
    Segment,
    SegmentWriter,
    existing,
    frame_size,
)

SEGMENT_BYTES: Final = 1_048_576
LEAST_SEGMENTS: Final = 8
"""The bound is kept by dropping whole segments, so one may not be a large part of it."""


class Spooled(NamedTuple):
    """A record handed out for sending; `settle` or `give_back` it."""

    record: Packed
    segment: Segment
    frame: Frame


class Spool:
    """Records on disk, first in, first out.

    Args:
        folder: shared by all processes that send to the same topic; made when it is needed.
        max_bytes: size of all files in the folder, at most.
        on_drop: told how many events were given up, and why.
    """

    def __init__(self, folder: Path, *, max_bytes: int, on_drop: Callable[[Drop, int], None]) -> None:
        self.folder = folder
        self.recovered = 0
        """Events taken over from processes that are gone."""
        self._max_bytes = max_bytes
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // LEAST_SEGMENTS)
        self._on_drop = on_drop
        self._own: Lane | None = None
        self._adopted: list[Lane] = []
        self._writer: SegmentWriter | None = None
        self._segments: list[Segment] = []

    @property
    def events(self) -> int:
        """Events that are not settled, of this process and of those it took over."""
        return sum(segment.events for segment in self._segments) + (
            self._writer.events if self._writer else 0
        )

    @property
    def bytes(self) -> int:
        """Bytes of the files that hold them."""
        return sum(segment.size for segment in self._segments) + (self._writer.size if self._writer else 0)

    @property
    def has_more(self) -> bool:
        """Whether `next` may have a record to hand out."""
        return bool(self._writer and self._writer.events) or any(s.has_more for s in self._segments)

    def append(self, record: Packed) -> None:
        """Write one record.

        Raises:
            SpoolError: it could not be written and is not in the spool.
        """
        if self._writer and self._writer.size + frame_size(record) > self._segment_bytes:
            self._finish_writer()
        if self._writer is None:
            self._make_room(max(self._segment_bytes, HEADER_BYTES + frame_size(record)))
            self._writer = SegmentWriter(self._lane().next_path())
        self._writer.append(record)

    def sync(self) -> None:
        """Make what was written survive a crash of the machine.

        Raises:
            SpoolError: the disk refuses; the records may or may not survive one.
        """
        if self._writer:
            self._writer.sync()

    def next(self) -> Spooled | None:
        """Hand out the oldest record that is not out yet.

        Raises:
            SpoolError: the disk refuses to be read.
        """
        if self._writer and self._writer.events and not any(s.has_more for s in self._segments):
            self._finish_writer()
        for segment in self._segments:
            if segment.has_more and (found := segment.next()) is not None:
                frame, record = found
                return Spooled(record, segment, frame)
        self._delete_settled()
        return None

    def settle(self, spooled: Spooled) -> None:
        """Forget a record that Kafka has, or that was given up."""
        spooled.segment.settle(spooled.frame)
        self._delete_settled()

    def give_back(self, spooled: Spooled) -> None:
        """Take a record back that could not be sent; it is the next one again."""
        spooled.segment.give_back(spooled.frame)

    def adopt(self) -> int:
        """Take over what processes that are gone left behind; return the number of events.

        Raises:
            SpoolError: the folder cannot be read.
        """
        if not self.folder.is_dir():
            return 0
        own = frozenset(lane.name for lane in self._lanes())
        before = self.recovered
        for lane in take_over(self.folder, own):
            self._adopted.append(lane)
            for path in lane.segments():
                with suppress(SpoolError):  # of a newer version: left to a process that knows it
                    segment = existing(path, on_damage=self._damaged)
                    self._segments.append(segment)
                    self.recovered += segment.events
        self._segments.sort(key=_age)
        self._delete_settled()
        self._remove_empty_lanes()
        return self.recovered - before

    def close(self) -> None:
        """Leave what is there to the next process."""
        if self._writer:
            self._finish_writer()
        self._delete_settled()
        for segment in self._segments:
            segment.close()
        for lane in self._lanes():
            if lane.segments():
                lane.leave()
            else:
                lane.remove()
        self._forget()

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's files, and touch nothing of the parent's."""
        if self._writer:
            self._writer.close()
        for segment in self._segments:
            segment.close()
        for lane in self._lanes():
            lane.leave()  # the lock itself stays with the parent's copy
        self._forget()

    def _forget(self) -> None:
        self._own = None
        self._adopted = []
        self._writer = None
        self._segments = []

    def _lanes(self) -> Iterator[Lane]:
        yield from self._adopted
        if self._own:
            yield self._own

    def _lane(self) -> Lane:
        if self._own and not self._own.is_intact:  # somebody has cleaned up
            self._own.leave()
            self._own = None
        if self._own is None:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise SpoolError(f"cannot make the spool's folder: {error.strerror}") from error
            self._own = new_lane(self.folder)
        return self._own

    def _damaged(self, events: int) -> None:
        self._on_drop(Drop.SPOOL_DAMAGED, events)

    def _finish_writer(self) -> None:
        writer, self._writer = self._writer, None
        assert writer is not None
        with suppress(SpoolError):  # the records are written, only less safe from a crash of the machine
            writer.sync()
        writer.close()
        segment = Segment(writer.path, size=writer.size, events=writer.events, on_damage=self._damaged)
        self._segments.append(segment)
        self._segments.sort(key=_age)

    def _delete_settled(self) -> None:
        rest = []
        for segment in self._segments:
            if segment.has_more or segment.is_out:
                rest.append(segment)
            else:
                segment.delete()
        if len(rest) < len(self._segments):
            self._segments = rest
            self._remove_empty_lanes()

    def _remove_empty_lanes(self) -> None:
        for lane in list(self._adopted):
            if not lane.segments():
                lane.remove()
                self._adopted.remove(lane)

    def _make_room(self, needed: int) -> None:
        if self._used() + needed <= self._max_bytes:
            return
        self.adopt()  # what nobody sends any more is the first to go
        excess = self._used() + needed - self._max_bytes
        for segment in list(self._segments):
            if excess <= 0:
                return
            if not segment.is_out:  # those on their way are still wanted
                self._on_drop(Drop.SPOOL_FULL, segment.events)
                excess -= segment.size
                self._segments.remove(segment)
                segment.delete()
        if excess > 0:
            raise SpoolError("the spool is full")

    def _used(self) -> int:
        total = 0
        for path in self.folder.glob("*.seg"):
            with suppress(OSError):  # deleted by its owner meanwhile
                total += path.stat().st_size
        return total


def _age(segment: Segment) -> str:
    return segment.path.name
