"""Where every accepted event goes next: to Kafka, to the spool, or (counted) nowhere. No thread, no clock
of its own: `step` is called by the sender's thread, or by a test, as often as it likes.

    queue ──pack──▶ record ──▶ Kafka ──acknowledged──▶ done
                      │          │ not acknowledged within the time-out
                      │ Kafka is away, or slow and the queue half full
                      ▼          ▼
                    spool ─────▶ Kafka, oldest first, once it answers again

"Away" means that nothing was acknowledged for a while although something wants to be sent. After a
failure one record at a time is sent as a probe until one is acknowledged.

Records keep their order while Kafka answers: one that comes back is again before those that were packed after it. Those
that travel alone (`routing`) do not overtake the spool either, because their partners may be in it; except where the
spool fills up, since arriving matters more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from tokentide.producers.buffer import EventBuffer
from tokentide.producers.counts import Counts, Drop, log
from tokentide.producers.guarded_spool import GuardedSpool
from tokentide.producers.health import Health
from tokentide.producers.inspector import Inspector
from tokentide.producers.options import ProducerOptions
from tokentide.producers.packing import Packed, halves, packs
from tokentide.producers.routing import travels_alone
from tokentide.producers.spool import Spool, Spooled
from tokentide.producers.transport import Outcome, Result, Transport

IDLE_WAIT_S: Final = 30.0
POLL_S: Final = 0.1
"""How often to look whether a connection has come up."""
LEAST_WAIT_S: Final = 0.005
LEAST_RECORD_BYTES: Final = 1024
OVERDUE_S: Final = 2.0
"""How long after the delivery time-out the transport is taken for stuck, and begun afresh."""
PRESSURE: Final = 0.5
"""Above this fill of the queue a slow Kafka is not waited for: the spool takes over."""
SPOOL_FOLLOWED: Final = 0.5
"""Up to this fill of the spool nothing that travels alone overtakes it."""


class _Queued(NamedTuple):
    """A record that waits to be sent."""

    order: int
    """Of its packing; halves of one record share it."""
    record: Packed
    was_sent: bool = False
    """It has come back, and so is older than what is in the spool."""


class _Flight(NamedTuple):
    """A record on its way."""

    order: int
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
        place: the addresses of Kafka, for the log; empty where there are none.
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
        place: str = "",
    ) -> None:
        self._buffer = buffer
        self._transport = transport
        self._counts = counts
        self._options = options
        self._monotonic = monotonic
        self._kafka = f"Kafka at {place}" if place else "Kafka"
        self._inspector = Inspector(counts) if options.sample_checks else None
        self._packed: deque[_Queued] = deque()
        self._orders = 0
        self._flights: dict[int, _Flight] = {}
        self._flying_bytes = 0
        self._tickets = 0
        self._ends: deque[tuple[int, Result]] = deque()  # filled by the transport's threads
        self._health = Health(patience_s=options.away_after_s, now=monotonic())
        self._was_away = False
        self._resend_at = 0.0
        self._record_max_bytes = options.record_max_bytes
        self.spool: Final = GuardedSpool(spool, counts)

    # what the sender and the statistics ask

    @property
    def in_flight(self) -> int:
        """Events sent and not acknowledged, those sent from the spool aside: these count as in it."""
        return sum(flight.record.events for flight in list(self._flights.values()) if not flight.spooled)

    @property
    def waiting(self) -> int:
        """Events in records that are packed and not sent."""
        return sum(queued.record.events for queued in list(self._packed))

    @property
    def is_connected(self) -> bool:
        """Whether Kafka answers, as far as known."""
        return self._health.is_connected and self._health.answers

    @property
    def problem(self) -> str | None:
        """Why it does not, where known."""
        return self._health.problem or (self._transport.problem if self._was_away else None)

    @property
    def is_hopeless(self) -> bool:
        """Whether nobody is there to send to; a first connection that may still come up is waited for."""
        return self.is_away and self._health.problem is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to send, in memory or in the spool."""
        return not (self._has_memory or self.spool.events)

    @property
    def is_away(self) -> bool:
        """Whether Kafka has not taken anything for a while although something wants to be sent."""
        return self._health.is_away(self._oldest_since, self._monotonic())

    @property
    def _has_memory(self) -> bool:
        return bool(len(self._buffer) or self._packed or self._flights)

    @property
    def _oldest_since(self) -> float | None:
        return next((flight.since for flight in self._flights.values()), None)

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
        self.spool.keep(now)
        self._tell_away()
        self._inspect()
        self._counts.report()
        return self._wait_s(now, hurry=hurry)

    def finish(self) -> bool:
        """Put everything that is left into the spool, or count it as lost; return whether nothing was."""
        now = self._monotonic()
        self._settle_ends(now)
        self._take_all_back()
        all_delivered = self.is_idle
        self.spool.forgive()
        while (queued := self._next_record(now, everything=True)) is not None:
            if not self._to_spool(queued.record, now):
                self._counts.drop(Drop.NOT_DELIVERED, queued.record.events)
        self.spool.close()
        self._inspect()
        self._counts.report(last=True)
        return all_delivered

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent."""
        self._transport.abandon()
        self.spool.abandon()

    def _inspect(self) -> None:
        if self._inspector:
            self._inspector.look()

    # what has come back

    def _settle_ends(self, now: float) -> None:
        refused: list[tuple[_Flight, Result]] = []
        while self._ends:
            ticket, result = self._ends.popleft()
            flight = self._flights.pop(ticket, None)
            if flight is None:
                continue
            self._flying_bytes -= len(flight.record.value)
            if result.outcome is Outcome.UNAVAILABLE:
                self._take_back(flight)
                self._health.failed(result.reason, since=flight.since, now=now)
                continue
            self._health.answered(now)
            if result.outcome is Outcome.ACKED:
                self._counts.delivered += flight.record.events
                self._forget(flight)
            else:
                refused.append((flight, result))
        for flight, result in refused:
            self._refused(flight, result, now)

    def _forget(self, flight: _Flight) -> None:
        if flight.spooled:
            self.spool.settle(flight.spooled)

    def _take_back(self, flight: _Flight) -> None:
        """Make a record that was on its way one of the next to be sent."""
        if flight.spooled:
            self.spool.give_back(flight.spooled)
        else:
            self._queue_again(_Queued(flight.order, flight.record, was_sent=True))

    def _queue_again(self, queued: _Queued) -> None:
        """Put a record before those that were packed after it."""
        self._packed.insert(bisect_left(self._packed, queued.order, key=_order_of), queued)

    def _take_all_back(self) -> None:
        flights, self._flights = list(self._flights.values()), {}
        self._flying_bytes = 0
        for flight in flights:
            self._take_back(flight)

    def _refused(self, flight: _Flight, result: Result, now: float) -> None:
        record = flight.record
        if not flight.is_alone:
            self._health.go_singly()
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
        parts = halves(flight.record)
        self._health.go_singly(len(parts))
        for part in reversed(parts):
            # From the spool, back into the spool: its copy of the whole is given up.
            if not (flight.spooled and self.spool.append(part, now)):
                self._queue_again(_Queued(flight.order, part, was_sent=True))
        self._forget(flight)

    # the connection

    def _renew_transport(self, now: float) -> None:
        """Begin afresh where the client is stuck (seen with kafka-python) or a probe has failed."""
        since = self._oldest_since
        if since is not None and now - since >= self._options.delivery_timeout_s + OVERDUE_S:
            self._take_all_back()
            self._health.failed("the client is stuck", since=since, now=now)
            self._health.is_spent = True
        if self._health.is_spent and not self._flights:
            self._health.reconnecting()
            self._transport.reset()

    def _look_at_connection(self, now: float) -> None:
        was_connected = self._health.is_connected
        if not (self._has_memory or self.spool.has_more(now) or was_connected):
            return  # nobody asks for a connection
        is_up = self._transport.ready()
        if is_up:
            self.spool.adopt(now, at_once=not was_connected)
        self._health.look(is_up=is_up, problem=self._transport.problem, is_wanted=self._has_memory, now=now)

    def _tell_away(self) -> None:
        was_away, self._was_away = self._was_away, self.is_away
        if self._was_away and not was_away:
            where = "wait on disk" if self.spool.exists else "wait in memory, as far as there is room"
            self._counts.trouble(
                f"{self._kafka} does not answer ({self.problem or 'time-out'}); events {where}"
            )
        elif was_away and not self._was_away:
            log.info("%s answers again", self._kafka)

    # sending

    def _can_send(self, now: float) -> bool:
        if not self._health.can_reach(now) or self._flying_bytes >= self._options.in_flight_max_bytes:
            return False
        if self._health.is_one_by_one:
            return not self._flights
        return not self._health.is_stalled(self._oldest_since, now)

    def _send_new(self, now: float, *, hurry: bool) -> None:
        everything = hurry or self._buffer.is_closed or self._is_due(now)
        while True:
            # One by one the spool goes first: a probe is an old record, and who was refused is found.
            is_spool_first = self._health.is_one_by_one and self.spool.has_more(now)
            direct = self._can_send(now) and not (is_spool_first and not self._packed)
            if not direct and not (self.is_away or self._buffer.fill >= PRESSURE):
                return
            queued = self._next_record(now, everything=everything)
            if queued is None:
                return
            if direct and not (self._follows_spool(queued, now) and self._to_spool(queued.record, now)):
                self._send(queued, None, now)
            elif not direct and not self._to_spool(queued.record, now):
                self._queue_again(queued)
                return

    def _follows_spool(self, queued: _Queued, now: float) -> bool:
        return (
            not queued.was_sent
            and self.spool.has_more(now)
            and self.spool.bytes < SPOOL_FOLLOWED * self._options.spool_max_bytes
            and travels_alone(queued.record.value)
        )

    def _is_due(self, now: float) -> bool:
        oldest_at = self._buffer.oldest_at
        return oldest_at is not None and now - oldest_at >= self._options.linger_ms / 1000

    def _next_record(self, now: float, *, everything: bool) -> _Queued | None:
        options = self._options
        if not self._packed and (
            everything
            or len(self._buffer) >= options.record_max_events
            or self._buffer.bytes >= self._record_max_bytes
        ):
            events = self._buffer.take(options.record_max_events)
            if self._inspector:
                self._inspector.choose(events, now)
            for record in packs(
                events, max_events=options.record_max_events, max_bytes=self._record_max_bytes
            ):
                self._orders += 1
                self._packed.append(_Queued(self._orders, record))
        return self._packed.popleft() if self._packed else None

    def _send_spooled(self, now: float, *, hurry: bool) -> None:
        while (
            self.spool.has_more(now)
            and self._can_send(now)
            and (hurry or now >= self._resend_at)
            and self._flying_bytes < self._options.in_flight_max_bytes / 2  # new events have the other half
        ):
            spooled = self.spool.next(now)
            if spooled is None:
                return
            self._send(_Queued(0, spooled.record), spooled, now)
            pace_s = len(spooled.record.value) / self._options.resend_bytes_per_s
            self._resend_at = max(self._resend_at, now - POLL_S) + pace_s

    def _send(self, queued: _Queued, spooled: Spooled | None, now: float) -> None:
        self._tickets += 1
        ticket, record = self._tickets, queued.record
        self._flights[ticket] = _Flight(queued.order, record, now, spooled, self._health.is_one_by_one)
        self._flying_bytes += len(record.value)
        try:
            self._transport.send(record.value, partial(self._ended, ticket))
        except Exception as error:  # noqa: BLE001 - whatever a client library raises, the record is still ours
            self._ended(ticket, Result(Outcome.UNAVAILABLE, type(error).__name__))

    def _ended(self, ticket: int, result: Result) -> None:
        self._ends.append((ticket, result))
        self._buffer.wake.ring()

    def _to_spool(self, record: Packed, now: float) -> bool:
        if not self.spool.append(record, now):
            return False
        self._counts.spooled += record.events
        return True

    # waiting

    def _wait_s(self, now: float, *, hurry: bool) -> float:
        if self._ends:
            return 0.0
        return max(LEAST_WAIT_S, min(self._waits(now, hurry=hurry)))

    def _waits(self, now: float, *, hurry: bool) -> Iterator[float]:
        yield IDLE_WAIT_S
        can_send = self._can_send(now)
        oldest_at = self._buffer.oldest_at
        if oldest_at is not None and can_send:
            yield 0.0 if hurry else max(oldest_at + self._options.linger_ms / 1000 - now, 0.0)
        if self._has_memory:  # a connection may come up, a flight may stall
            yield POLL_S
        if self.spool.has_more(now):
            yield max(self._resend_at - now, 0.0) if can_send else 5 * POLL_S
        elif self.spool.events:  # being sent, or the disk refuses to be read for a while
            yield 5 * POLL_S


def _order_of(queued: _Queued) -> int:
    return queued.order
