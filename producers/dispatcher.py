"""Where every accepted event goes next: to Kafka, to the spool, or (counted) nowhere. No thread, no clock
of its own: `step` is called by the sender's thread, or by a test, as often as it likes.

    queue ──pack──▶ record ──▶ Kafka ──acknowledged──▶ done
                      │          │ not acknowledged within the time-out
                      │ Kafka is away, or slow and the queue half full
                      ▼          ▼
                    spool ─────▶ Kafka, oldest first, once it answers again

"Away" means that nothing was acknowledged for a while although something wants to be sent. After a
failure one record at a time is sent as a probe until one is acknowledged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from tokentide.producers.buffer import EventBuffer
from tokentide.producers.counts import Counts, Drop, log
from tokentide.producers.errors import SpoolError
from tokentide.producers.inspector import Inspector
from tokentide.producers.options import ProducerOptions
from tokentide.producers.packing import Packed, halves, packs
from tokentide.producers.spool import Spool, Spooled
from tokentide.producers.transport import Outcome, Result, Transport

FIRST_BACKOFF_S: Final = 0.25
LAST_BACKOFF_S: Final = 15.0
SPOOL_RETRY_S: Final = 10.0
"""After the disk refused, how long to leave it alone."""
SYNC_EVERY_S: Final = 1.0
ADOPT_EVERY_S: Final = 60.0
IDLE_WAIT_S: Final = 30.0
POLL_S: Final = 0.1
"""How often to look whether a connection has come up."""
LEAST_RECORD_BYTES: Final = 1024
LEAST_WAIT_S: Final = 0.005
OVERDUE_S: Final = 2.0
"""How long after the delivery time-out the transport is taken for stuck, and begun afresh."""
PRESSURE: Final = 0.5
"""Above this fill of the queue a slow Kafka is not waited for: the spool takes over."""


class _Flight(NamedTuple):
    """A record on its way."""

    record: Packed
    since: float
    spooled: Spooled | None
    is_alone: bool
    """Nothing else is on its way with it, so that a refusal means this one."""


class Dispatcher:
    """Moves events along; all methods are called from one thread, the sender's.

    Args:
        buffer: where the application's events come from.
        transport: the way to Kafka.
        spool: None where it is switched off; then events wait in memory as far as there is room.
        counts: told what became of each event.
        monotonic: seconds.
    """

    def __init__(
        self,
        *,
        buffer: EventBuffer,
        transport: Transport,
        spool: Spool | None,
        counts: Counts,
        options: ProducerOptions,
        monotonic: Callable[[], float],
    ) -> None:
        self._buffer = buffer
        self._transport = transport
        self._spool = spool
        self._counts = counts
        self._options = options
        self._monotonic = monotonic
        self._inspector = Inspector(counts, monotonic) if options.sample_checks else None
        self._packed: deque[Packed] = deque()
        self._flights: dict[int, _Flight] = {}
        self._ends: deque[tuple[int, Result]] = deque()  # filled by the transport's threads
        self._tickets = 0
        self._flying_bytes = 0
        self._connected = False
        self._answers = True
        self._last_answer = monotonic()
        self._blocked_since: float | None = None
        self._retry_at = 0.0
        self._backoff_s = FIRST_BACKOFF_S
        self._spool_retry_at = 0.0
        self._sync_at = 0.0
        self._adopt_at = 0.0
        self._resend_at = 0.0
        self._was_away = False
        self._singly = 0
        """How many more records to send one by one."""
        self._is_spent = False
        """A probe failed: the connection is to be made anew."""
        self._record_max_bytes = options.record_max_bytes
        self.problem: str | None = None
        """The last reason why Kafka did not take something; None after it did."""

    # what the sender and the statistics ask

    @property
    def in_flight(self) -> int:
        """Events sent and not acknowledged, those sent from the spool aside: these count as in it."""
        return sum(flight.record.events for flight in list(self._flights.values()) if not flight.spooled)

    @property
    def waiting(self) -> int:
        """Events in records that are packed and not sent."""
        return sum(record.events for record in list(self._packed))

    @property
    def spool(self) -> Spool | None:
        """The spool, for the statistics."""
        return self._spool

    @property
    def connected(self) -> bool:
        """Whether Kafka answers, as far as known."""
        return self._connected and self._answers

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to send, in memory or in the spool."""
        return not (self._has_memory or (self._spool and self._spool.events))

    @property
    def _has_memory(self) -> bool:
        return bool(len(self._buffer) or self._packed or self._flights)

    def is_away(self) -> bool:
        """Whether Kafka has not taken anything for a while although something wants to be sent."""
        now = self._monotonic()
        patience_s = self._options.away_after_s
        if self._blocked_since is not None and now - self._blocked_since >= patience_s:
            return True
        return self._is_stalled(now)

    # the work

    def step(self, *, hurry: bool = False) -> float:
        """Do what can be done now; return the seconds after which to come again at the latest.

        With `hurry` (flush, close) nothing waits for more events to share its record.
        """
        now = self._monotonic()
        self._settle_ends(now)
        self._renew_transport(now)
        self._look_at_connection(now)
        self._send_new(now, hurry=hurry)
        self._send_spooled(now, hurry=hurry)
        self._settle_ends(now)
        self._keep_spool(now)
        self._tell_away()
        self._counts.report()
        return self._wait_s(now, hurry=hurry)

    def finish(self) -> bool:
        """Put everything that is left into the spool, or count it as lost; return whether nothing was."""
        now = self._monotonic()
        self._settle_ends(now)
        for flight in reversed(self._flights.values()):
            self._take_back(flight)
        self._flights.clear()
        self._flying_bytes = 0
        self._spool_retry_at = 0.0
        all_delivered = self.is_idle
        while (record := self._next_record(now, everything=True)) is not None:
            if not self._to_spool(record, now):
                self._counts.drop(Drop.NOT_DELIVERED, record.events)
        if self._spool:
            self._spool.close()
        self._counts.report(last=True)
        return all_delivered

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent."""
        self._transport.abandon()
        if self._spool:
            self._spool.abandon()

    def _settle_ends(self, now: float) -> None:
        refused: list[tuple[_Flight, Result]] = []
        while self._ends:
            ticket, result = self._ends.popleft()
            flight = self._flights.pop(ticket, None)
            if flight is None:
                continue
            self._flying_bytes -= len(flight.record.value)
            if result.outcome is Outcome.UNAVAILABLE:
                self._failed(flight, result.reason, now)
                continue
            self._answered(now)
            self._singly = max(0, self._singly - 1)
            if result.outcome is Outcome.ACKED:
                self._counts.delivered += flight.record.events
                self._forget(flight)
            else:
                refused.append((flight, result))
        for flight, result in reversed(refused):  # the first of them is to be the first again
            self._refused(flight, result, now)

    def _answered(self, now: float) -> None:
        self._answers = True
        self._last_answer = now
        self._blocked_since = None
        self._backoff_s = FIRST_BACKOFF_S
        self._retry_at = 0.0
        self.problem = None

    def _failed(self, flight: _Flight, reason: str | None, now: float) -> None:
        self._take_back(flight)
        if self._blocked_since is None:
            self._blocked_since = flight.since
        self.problem = reason or "not acknowledged"
        self._is_spent = not self._answers
        if self._answers or now >= self._retry_at:  # one failure of many flights is one failure
            self._retry_at = now + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, LAST_BACKOFF_S)
        self._answers = False

    def _take_back(self, flight: _Flight) -> None:
        """Make a record that was on its way one of the next to be sent."""
        if flight.spooled:
            assert self._spool
            self._spool.give_back(flight.spooled)
        else:
            self._packed.appendleft(flight.record)

    def _refused(self, flight: _Flight, result: Result, now: float) -> None:
        record = flight.record
        if not flight.is_alone:
            self._singly += 1
            self._take_back(flight)
        elif record.events == 1:
            reason = Drop.TOO_LARGE if result.outcome is Outcome.TOO_LARGE else Drop.REFUSED
            self._counts.drop(reason, detail=result.reason)
            self._forget(flight)
        else:
            self._split(flight, now)
            if result.outcome is Outcome.TOO_LARGE:  # the next ones need not be found out one by one
                smaller = max(len(record.value) // 2, LEAST_RECORD_BYTES)
                self._record_max_bytes = min(self._record_max_bytes, smaller)

    def _split(self, flight: _Flight, now: float) -> None:
        for part in reversed(halves(flight.record)):
            self._singly += 1
            # From the spool, back into the spool: its copy of the whole is given up.
            if not (flight.spooled and self._to_spool(part, now, is_new=False)):
                self._packed.appendleft(part)
        self._forget(flight)

    def _renew_transport(self, now: float) -> None:
        """Begin afresh where the client is stuck (seen with kafka-python) or a probe has failed."""
        oldest = next(iter(self._flights.values()), None)
        overdue_s = self._options.delivery_timeout_s + OVERDUE_S
        if oldest is not None and now - oldest.since >= overdue_s:
            flights, self._flights = list(self._flights.values()), {}
            for flight in reversed(flights):
                self._flying_bytes -= len(flight.record.value)
                self._failed(flight, "the client is stuck", now)
            self._is_spent = True
        if self._is_spent and not self._flights:
            self._is_spent = False
            self._connected = False
            self._transport.reset()

    def _forget(self, flight: _Flight) -> None:
        if flight.spooled:
            assert self._spool
            self._spool.settle(flight.spooled)

    def _look_at_connection(self, now: float) -> None:
        if not (self._has_memory or (self._spool and self._spool.has_more) or self._connected):
            return  # nobody asks for a connection
        was_connected, self._connected = self._connected, self._transport.ready()
        if self._connected:
            if not was_connected or now >= self._adopt_at:
                self._adopt(now)
        else:
            self.problem = self._transport.problem or self.problem
        if not self._can_reach(now) and self._has_memory and self._blocked_since is None:
            self._blocked_since = now
        elif self._connected and self._answers:
            self._blocked_since = None

    def _adopt(self, now: float) -> None:
        self._adopt_at = now + ADOPT_EVERY_S
        if self._spool:
            try:
                recovered = self._spool.adopt()
            except SpoolError as error:
                self._spool_fails(error, now)
            else:
                if recovered:
                    log.info("%d events of an earlier process found in the spool; sending them", recovered)

    def _can_reach(self, now: float) -> bool:
        return self._connected and now >= self._retry_at

    def _is_stalled(self, now: float) -> bool:
        oldest = next(iter(self._flights.values()), None)
        if oldest is None:
            return False
        return now - max(oldest.since, self._last_answer) >= self._options.away_after_s

    @property
    def _is_one_by_one(self) -> bool:
        """Whether the next record is a probe, or one of several that may be the refused one."""
        return not self._answers or self._singly > 0

    def _can_send(self, now: float) -> bool:
        if not self._can_reach(now) or self._flying_bytes >= self._options.in_flight_max_bytes:
            return False
        if self._is_one_by_one:
            return not self._flights
        return not self._is_stalled(now)

    def _send_new(self, now: float, *, hurry: bool) -> None:
        everything = hurry or self._buffer.is_closed or self._is_due(now)
        while True:
            # One by one the spool goes first: a probe is an old record, and who was refused is found.
            is_spool_first = self._is_one_by_one and self._spool is not None and self._spool.has_more
            direct = self._can_send(now) and not (is_spool_first and not self._packed)
            if not direct and not (self.is_away() or self._buffer.fill >= PRESSURE):
                return
            record = self._next_record(now, everything=everything)
            if record is None:
                return
            if direct:
                self._send(record, None, now)
            elif not self._to_spool(record, now):
                self._packed.appendleft(record)
                return

    def _is_due(self, now: float) -> bool:
        oldest_at = self._buffer.oldest_at
        return oldest_at is not None and now - oldest_at >= self._options.linger_ms / 1000

    def _next_record(self, now: float, *, everything: bool) -> Packed | None:
        options = self._options
        if not self._packed and (
            everything
            or len(self._buffer) >= options.record_max_events
            or self._buffer.bytes >= self._record_max_bytes
        ):
            events = self._buffer.take(options.record_max_events)
            if self._inspector and events:
                self._inspector.look(events[0], now)
            self._packed.extend(
                packs(events, max_events=options.record_max_events, max_bytes=self._record_max_bytes)
            )
        return self._packed.popleft() if self._packed else None

    def _send_spooled(self, now: float, *, hurry: bool) -> None:
        spool = self._spool
        while (
            spool is not None
            and spool.has_more
            and self._can_send(now)
            and (hurry or now >= self._resend_at)
            and self._flying_bytes < self._options.in_flight_max_bytes / 2  # new events have the other half
        ):
            try:
                spooled = spool.next()
            except SpoolError as error:
                self._spool_fails(error, now)
                self._resend_at = now + SPOOL_RETRY_S
                return
            if spooled is None:
                return
            self._send(spooled.record, spooled, now)
            pace_s = len(spooled.record.value) / self._options.resend_bytes_per_s
            self._resend_at = max(self._resend_at, now - POLL_S) + pace_s

    def _send(self, record: Packed, spooled: Spooled | None, now: float) -> None:
        self._tickets += 1
        ticket = self._tickets
        self._flights[ticket] = _Flight(record, now, spooled, self._is_one_by_one)
        self._flying_bytes += len(record.value)
        try:
            self._transport.send(record.value, partial(self._ended, ticket))
        except Exception as error:  # noqa: BLE001 - whatever a client library raises, the record is still ours
            self._ended(ticket, Result(Outcome.UNAVAILABLE, type(error).__name__))

    def _ended(self, ticket: int, result: Result) -> None:
        self._ends.append((ticket, result))
        self._buffer.wake.set()

    def _to_spool(self, record: Packed, now: float, *, is_new: bool = True) -> bool:
        if self._spool is None or now < self._spool_retry_at:
            return False
        try:
            self._spool.append(record)
        except SpoolError as error:
            self._spool_fails(error, now)
            return False
        if is_new:
            self._counts.spooled += record.events
        return True

    def _spool_fails(self, error: SpoolError, now: float) -> None:
        self._spool_retry_at = now + SPOOL_RETRY_S
        self._counts.trouble(str(error))

    def _keep_spool(self, now: float) -> None:
        if self._spool and now >= self._sync_at:
            self._sync_at = now + SYNC_EVERY_S
            try:
                self._spool.sync()
            except SpoolError as error:
                self._spool_fails(error, now)

    def _tell_away(self) -> None:
        was_away, self._was_away = self._was_away, self.is_away()
        if self._was_away and not was_away:
            where = "wait on disk" if self._spool else "wait in memory, as far as there is room"
            self._counts.trouble(f"Kafka does not answer ({self.problem or 'time-out'}); events {where}")
        elif was_away and not self._was_away:
            log.info("Kafka answers again")

    def _wait_s(self, now: float, *, hurry: bool) -> float:
        if self._ends:
            return 0.0
        return max(LEAST_WAIT_S, min(self._waits(now, hurry=hurry)))

    def _waits(self, now: float, *, hurry: bool) -> Iterator[float]:
        yield IDLE_WAIT_S
        oldest_at = self._buffer.oldest_at
        if oldest_at is not None:
            yield 0.0 if hurry else max(oldest_at + self._options.linger_ms / 1000 - now, 0.0)
        if self._has_memory:  # a connection may come up, a flight may stall
            yield POLL_S
        if self._spool and self._spool.has_more:
            yield max(self._resend_at - now, 0.0) if self._can_send(now) else 5 * POLL_S
