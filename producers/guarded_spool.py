"""The spool as the dispatcher uses it: a disk that refuses is left alone for a while, and told about.

Where there is no spool at all, every question has the answer that fits.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tokentide.producers.counts import Counts, log
from tokentide.producers.errors import SpoolError
from tokentide.producers.packing import Packed
from tokentide.producers.spool import Spool, Spooled

RETRY_S: Final = 10.0
"""After the disk refused, how long to leave it alone."""
SYNC_EVERY_S: Final = 1.0
ADOPT_EVERY_S: Final = 60.0


class _Left(NamedTuple):
    """What a closed spool leaves to the next process."""

    events: int
    bytes: int


class GuardedSpool:
    """A spool, or none, whose errors end here."""

    def __init__(self, spool: Spool | None, counts: Counts) -> None:
        self._spool = spool
        self._counts = counts
        self._write_at = 0.0
        self._read_at = 0.0
        self._sync_at = 0.0
        self._adopt_at = 0.0
        self._left: _Left | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a spool."""
        return self._spool is not None

    @property
    def events(self) -> int:
        """Events in it; after closing, those that were left."""
        if self._left:
            return self._left.events
        return self._spool.events if self._spool else 0

    @property
    def bytes(self) -> int:
        """Bytes of the files that hold them."""
        if self._left:
            return self._left.bytes
        return self._spool.bytes if self._spool else 0

    @property
    def recovered(self) -> int:
        """Events taken over from processes that are gone."""
        return self._spool.recovered if self._spool else 0

    def has_more(self, now: float) -> bool:
        """Whether `next` may have a record."""
        return self._spool is not None and now >= self._read_at and self._spool.has_more

    def append(self, record: Packed, now: float) -> bool:
        """Write a record; return whether it is safe now."""
        if self._spool is None or now < self._write_at:
            return False
        try:
            self._spool.append(record)
        except SpoolError as error:
            self._write_at = now + RETRY_S
            self._counts.trouble(str(error))
            return False
        return True

    def next(self, now: float) -> Spooled | None:
        """Hand out the oldest record, if one can be read."""
        if self._spool is None or now < self._read_at:
            return None
        try:
            return self._spool.next()
        except SpoolError as error:
            self._read_at = now + RETRY_S
            self._counts.trouble(str(error))
            return None

    def settle(self, spooled: Spooled) -> None:
        """Forget a record that Kafka has, or that was given up."""
        assert self._spool
        self._spool.settle(spooled)

    def give_back(self, spooled: Spooled) -> None:
        """Take a record back that could not be sent."""
        assert self._spool
        self._spool.give_back(spooled)

    def adopt(self, now: float, *, at_once: bool) -> None:
        """Take over what processes left that are gone: when connected, and then about once a minute."""
        if self._spool is None or (now < self._adopt_at and not at_once):
            return
        self._adopt_at = now + ADOPT_EVERY_S
        try:
            recovered = self._spool.adopt()
        except SpoolError as error:
            self._counts.trouble(str(error))
        else:
            if recovered:
                log.info("%d events of an earlier process found in the spool; sending them", recovered)

    def keep(self, now: float) -> None:
        """Make what was written safe from a crash of the machine, about once a second."""
        if self._spool is None or now < self._sync_at:
            return
        self._sync_at = now + SYNC_EVERY_S
        try:
            self._spool.sync()
        except SpoolError as error:
            self._counts.trouble(str(error))

    def forgive(self) -> None:
        """Try again at once what was refused: it is the last chance."""
        self._write_at = 0.0

    def close(self) -> None:
        """Leave what is there to the next process."""
        if self._spool:
            left = _Left(self._spool.events, self._spool.bytes)
            self._spool.close()
            self._left = left

    def abandon(self) -> None:
        """In a forked child: let go of the parent's files."""
        if self._spool:
            self._spool.abandon()
