"""The machinery behind one producer: queue, sender, transport and spool, wired together in one place.

It begins with the first event, so that a producer made at import costs nothing, and begins anew in a
forked child.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from tokentide.producers import lifecycle
from tokentide.producers.buffer import EventBuffer
from tokentide.producers.clock import Clock
from tokentide.producers.counts import Counts, Drop, ProducerStats
from tokentide.producers.dispatcher import Dispatcher
from tokentide.producers.errors import SpoolError
from tokentide.producers.options import ProducerOptions
from tokentide.producers.sender import Sender
from tokentide.producers.spool import Spool
from tokentide.producers.spool_folder import left_elsewhere
from tokentide.producers.transport import Transport


class Engine:
    """Takes encoded events and sees to them until they are delivered, spooled or counted as dropped.

    Args:
        transport: the way to Kafka.
        folder: finds the spool's folder when the first event comes, or raises SpoolError; None: no spool.
        place: the addresses of Kafka, for the log.
        options: bounds and times.
        clock: where times come from.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        folder: Callable[[], Path] | None,
        place: str,
        options: ProducerOptions,
        clock: Clock,
    ) -> None:
        self._transport = transport
        self._folder = folder
        self._place = place
        self._options = options
        self._clock = clock
        self._wait_s = threading.TIMEOUT_MAX if options.when_full == "wait" else 0.0
        self._is_closed = False
        self._reset()
        lifecycle.register(self)

    def _reset(self) -> None:
        options, monotonic = self._options, self._clock.monotonic
        self.counts = Counts(monotonic)
        self._starting = threading.RLock()
        self._sender: Sender | None = None
        self._buffer = EventBuffer(
            max_events=options.queue_max_events,
            max_bytes=options.queue_max_bytes,
            wake_events=options.record_max_events,
            wake_bytes=options.record_max_bytes,
            monotonic=monotonic,
        )

    def put(self, event: bytes) -> None:
        """Take one encoded event, or count why not; waits only where `when_full` says so."""
        state = self._buffer.put(event, self._wait_s)
        if state == "full":
            self.counts.drop(Drop.QUEUE_FULL)
        elif state == "closed":
            self.counts.drop(Drop.CLOSED)
        elif self._sender is None or not self._sender.is_started:
            self._start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until Kafka has everything; return whether it has."""
        return self._sender.flush(timeout_s) if self._sender else len(self._buffer) == 0

    def close(self, timeout_s: float) -> bool:
        """Send what is there for so long, spool the rest; return whether Kafka has everything."""
        self._is_closed = True
        self._buffer.close()
        return self._sender.close(timeout_s) if self._sender else True

    def retire(self) -> None:
        """Nobody can emit any more: let the sender finish and end by itself."""
        self._buffer.close()

    def close_at_exit(self) -> None:
        """See `lifecycle`."""
        self.close(self._options.close_timeout_s)

    def renew_after_fork(self) -> None:
        """See `lifecycle`: the parent's thread, queue and connection do not exist here, or are not ours."""
        if self._sender is not None:
            self._sender.abandon()
        if not self._is_closed:
            self._reset()

    def stats(self) -> ProducerStats:
        """Return the counters as they are now."""
        counts, dispatcher = self.counts, self._sender.dispatcher if self._sender else None
        spool = dispatcher.spool if dispatcher else None
        return ProducerStats(
            emitted=self._buffer.offered + counts.dropped[Drop.INVALID],
            delivered=counts.delivered,
            recovered=spool.recovered if spool else 0,
            spooled=counts.spooled,
            dropped={str(reason): count for reason, count in counts.dropped.items()},
            mended=counts.mended,
            suspect=counts.suspect,
            in_queue=len(self._buffer) + (dispatcher.waiting if dispatcher else 0),
            in_flight=dispatcher.in_flight if dispatcher else 0,
            in_spool=spool.events if spool else 0,
            queue_bytes=self._buffer.bytes,
            spool_bytes=spool.bytes if spool else 0,
            connected=dispatcher.is_connected if dispatcher else False,
            problem=dispatcher.problem if dispatcher else None,
        )

    def _start(self) -> None:
        with self._starting:
            # A signal handler may come by here while its own thread makes one: the first that is kept counts.
            # Between the question and the assignment there is nothing at which a handler could run.
            made = self._sender or self._new_sender()
            self._sender = sender = self._sender or made
            lifecycle.started(self)
            sender.start()

    def _new_sender(self) -> Sender:
        dispatcher = Dispatcher(
            buffer=self._buffer,
            transport=self._transport,
            spool=self._new_spool(),
            counts=self.counts,
            options=self._options,
            monotonic=self._clock.monotonic,
            place=self._place,
        )
        return Sender(
            buffer=self._buffer,
            dispatcher=dispatcher,
            transport=self._transport,
            monotonic=self._clock.monotonic,
            on_end=lambda: lifecycle.closed(self),
        )

    def _new_spool(self) -> Spool | None:
        if self._folder is None or not self._options.spool_max_bytes:
            return None
        try:
            folder = self._folder()
        except SpoolError as error:
            self.counts.trouble(f"the spool is off: {error}")
            return None
        if elsewhere := left_elsewhere(folder):
            self.counts.trouble(elsewhere)
        return Spool(folder, max_bytes=self._options.spool_max_bytes, on_drop=self.counts.drop)
