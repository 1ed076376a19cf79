"""Whatever happens, and in whatever order, no event that was accepted is lost without being counted.

The real queue, dispatcher and spool (on a real disk) run under a broker in memory that is away, slow,
loses acknowledgements, finds records too large or refuses them; the process is closed or killed and started
again. Two broken versions of the code are the negative controls: the property has to find them out.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokentide.producers.buffer import EventBuffer
from tokentide.producers.counts import Counts, Drop
from tokentide.producers.dispatcher import Dispatcher
from tokentide.producers.memory_transport import MemoryTransport
from tokentide.producers.options import ProducerOptions
from tokentide.producers.packing import Packed, unpack
from tokentide.producers.spool import Spool

LARGE = 400
"""Bytes from which on the broker finds a record too large."""


class Emit(NamedTuple):
    events: int
    size: int


class Wait(NamedTuple):
    seconds: float
    hurry: bool


class Ack(NamedTuple):
    records: int


class Fail(NamedTuple):
    records: int
    written: bool


class Refuse(NamedTuple):
    """One record is refused; all on their way end so."""


class Broker(NamedTuple):
    is_up: bool


class Restart(NamedTuple):
    kill: bool


Step = Emit | Wait | Ack | Fail | Refuse | Broker | Restart

waits = st.builds(Wait, st.sampled_from([0.0, 0.05, 0.2, 1.0, 5.0, 20.0, 61.0]), st.booleans())
few = st.integers(1, 4)
steps = st.one_of(
    st.builds(Emit, st.integers(1, 12), st.sampled_from([0, 0, 0, 100, 500])),
    waits,
    waits,
    st.builds(Ack, few),
    st.builds(Fail, few, st.booleans()),
    st.just(Refuse()),
    st.builds(Broker, st.booleans()),
    st.builds(Restart, st.booleans()),
)
options = st.builds(
    ProducerOptions,
    queue_max_events=st.sampled_from([5, 40, 1000]),
    record_max_events=st.sampled_from([1, 3, 10]),
    record_max_bytes=st.sampled_from([80, 300, 32_768]),
    in_flight_max_bytes=st.sampled_from([1, 200, 100_000]),
    away_after_s=st.sampled_from([0.0, 1.0, 10.0]),
    spool_max_bytes=st.sampled_from([0, 65_536]),
    resend_bytes_per_s=st.sampled_from([1024, 2**20]),
    sample_checks=st.just(value=False),
)


class NotingSpool(Spool):
    """Notes what was once safe on disk: that may not be lost by being killed."""

    def __init__(self, folder: Path, *, max_bytes: int, on_drop: Callable[[Drop, int], None]) -> None:
        super().__init__(folder, max_bytes=max_bytes, on_drop=on_drop)
        self.was_safe: set[int] = set()

    def append(self, record: Packed) -> None:
        super().append(record)
        self.was_safe |= {number_of(event) for event in unpack(record)}


def number_of(event: bytes) -> int:
    return int(event.split(b'"')[3])


class World:
    """One broker, one disk, one process after the other."""

    def __init__(self, folder: Path, chosen: ProducerOptions) -> None:
        self.folder = folder
        self.options = chosen
        self.now_s = 1000.0
        self.broker = MemoryTransport(holds_acks=True, max_bytes=LARGE)
        self.accepted: set[int] = set()
        self.dropped: Counter[Drop] = Counter()
        self.at_risk: set[int] = set()
        """What a killed process had in memory and never on disk."""
        self.written_unasked: set[int] = set()
        """Written, though the process could not know."""
        self.start()

    def start(self) -> None:
        self.counts = Counts(lambda: self.now_s)
        self.buffer = EventBuffer(
            max_events=self.options.queue_max_events,
            max_bytes=1_000_000,
            wake_events=self.options.record_max_events,
            wake_bytes=self.options.record_max_bytes,
            monotonic=lambda: self.now_s,
        )
        self.spool: NotingSpool | None = None
        if self.options.spool_max_bytes:
            self.spool = NotingSpool(
                self.folder, max_bytes=self.options.spool_max_bytes, on_drop=self.counts.drop
            )
        self.dispatcher = Dispatcher(
            buffer=self.buffer,
            transport=self.broker,
            spool=self.spool,
            counts=self.counts,
            options=self.options,
            monotonic=lambda: self.now_s,
        )

    def play(self, step: Step) -> None:
        match step:
            case Emit(events, size):
                self.emit(events, size)
            case Wait(seconds, hurry):
                self.now_s += seconds
                self.dispatcher.step(hurry=hurry)
            case Ack(records):
                self.broker.acknowledge(records)
            case Fail(records, written):
                if written:
                    self.written_unasked |= self.open_ids(records)
                self.broker.fail(records, written=written)
            case Refuse():
                self.broker.refuse()
            case Broker(is_up):
                self.broker.is_up = is_up
                if not is_up:
                    self.broker.fail()
            case Restart(kill):
                self.restart(kill=kill)
        self.books_balance()

    def emit(self, events: int, size: int) -> None:
        for _ in range(events):
            number = len(self.accepted) + self.counts.dropped[Drop.QUEUE_FULL] + self.dropped[Drop.QUEUE_FULL]
            event = b'{"event_id":"%d","input":"%s"}' % (number, b"x" * size)
            if self.buffer.put(event) == "taken":
                assert number not in self.accepted
                self.accepted.add(number)
            else:
                self.counts.drop(Drop.QUEUE_FULL)

    def restart(self, *, kill: bool) -> None:
        self.written_unasked |= self.open_ids(None)
        if kill:
            self.at_risk |= self.in_memory() - (self.spool.was_safe if self.spool else set())
            if self.spool:
                self.spool.abandon()
        else:
            self.dispatcher.finish()
        self.broker.acknowledge(len(self.broker._open) // 2)  # some of what was on its way arrives
        self.broker._open.clear()
        self.dropped += self.counts.dropped
        self.start()

    def open_ids(self, records: int | None) -> set[int]:
        values = [sent.value for sent in self.broker._open][:records]
        return {int(text) for value in values for text in value.split(b'"')[3::8]}

    def in_memory(self) -> set[int]:
        events = list(self.buffer._events)
        for queued in self.dispatcher._packed:
            events += unpack(queued.record)
        for flight in self.dispatcher._flights.values():
            events += [] if flight.spooled else unpack(flight.record)
        return {number_of(event) for event in events}

    def books_balance(self) -> None:
        recovered = self.spool.recovered if self.spool else 0
        in_spool = self.spool.events if self.spool else 0
        held = len(self.buffer) + self.dispatcher.waiting + self.dispatcher.in_flight + in_spool
        given_up = sum(self.counts.dropped.values())
        assert self.buffer.offered + recovered == self.counts.delivered + given_up + held

    def heal(self) -> None:
        self.broker.is_up = True
        self.broker.holds_acks = False
        self.broker.acknowledge()
        for _ in range(2000):
            self.now_s += 1.0
            self.dispatcher.step(hurry=True)
            self.books_balance()
            if self.dispatcher.is_idle and not (self.spool and any(self.folder.glob("*.seg"))):
                break
            if self.dispatcher.is_idle:  # what a killed process left is found when there is a connection
                self.emit(1, 0)
        assert self.dispatcher.is_idle
        self.dropped += self.counts.dropped

    def nothing_is_lost_uncounted(self) -> None:
        received = Counter(int(str(event["event_id"])) for event in self.broker.events)
        assert received.keys() <= self.accepted
        missing = self.accepted - received.keys() - self.at_risk
        counted = sum(self.dropped.values()) - self.dropped[Drop.QUEUE_FULL]
        assert len(missing) <= counted
        # Counted as dropped, and yet there: only what was written without an acknowledgement.
        assert counted <= len(self.accepted - received.keys()) + len(self.written_unasked)
        twice = {number for number, times in received.items() if times > 1}
        assert twice <= self.written_unasked
        assert self.dropped[Drop.SPOOL_DAMAGED] == 0


def live(folder: Path, chosen: ProducerOptions, played: list[Step]) -> None:
    world = World(folder, chosen)
    for step in played:
        world.play(step)
    world.heal()
    world.nothing_is_lost_uncounted()


@pytest.fixture
def disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=options, played=st.lists(steps, max_size=60))
def test_no_interleaving_loses_an_accepted_event_uncounted(disk, chosen, played):
    folder = Path(tempfile.mkdtemp(dir=disk))
    live(folder / "spool", chosen, played)


BAD_DAY: list[Step] = [
    Emit(10, 0), Wait(1.0, hurry=False), Fail(4, written=False), Emit(10, 0), Wait(5.0, hurry=False),
    Broker(is_up=False), Emit(10, 0), Wait(20.0, hurry=False), Emit(10, 0), Wait(20.0, hurry=False),
    Broker(is_up=True), Wait(20.0, hurry=False), Fail(1, written=False), Wait(20.0, hurry=False),
    Wait(20.0, hurry=False), Restart(kill=True), Emit(3, 0), Wait(61.0, hurry=False),
]  # fmt: skip
USUAL = ProducerOptions(record_max_events=3, away_after_s=1.0, sample_checks=False, spool_max_bytes=65_536)


def test_the_day_of_the_negative_controls_is_survived_by_the_real_code(disk):
    live(disk / "spool", USUAL, BAD_DAY)


@pytest.mark.parametrize("broken", ["forgets what timed out", "settles before it is acknowledged"])
def test_negative_control_a_dispatcher_that_loses_events_is_found_out(disk, monkeypatch, broken):
    if broken == "forgets what timed out":

        def forget(self, flight):
            if flight.spooled:
                self.spool.give_back(flight.spooled)

        monkeypatch.setattr(Dispatcher, "_take_back", forget)
    else:
        real = Dispatcher._send

        def settle_first(self, record, spooled, now):
            if spooled:
                self.spool.settle(spooled)
            real(self, record, None, now)

        monkeypatch.setattr(Dispatcher, "_send", settle_first)
    with pytest.raises(AssertionError):
        live(disk / "spool", USUAL, BAD_DAY)
