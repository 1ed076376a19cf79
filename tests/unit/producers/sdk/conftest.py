"""What the SDK's tests share: a clock that stands still until it is moved, and small makers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tokentide.producers.buffer import EventBuffer
from tokentide.producers.clock import Clock
from tokentide.producers.counts import Counts
from tokentide.producers.dispatcher import Dispatcher
from tokentide.producers.memory_transport import MemoryTransport
from tokentide.producers.options import ProducerOptions
from tokentide.producers.packing import Packed
from tokentide.producers.spool import Spool

START_NS = 1_767_323_045_000_000_000
"""2026-01-02T03:04:05Z"""


class ManualClock:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.now_ns = START_NS

    def monotonic(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.now_ns += round(seconds * 1e9)

    @property
    def clock(self) -> Clock:
        return Clock(self.monotonic, self.time_ns)


@pytest.fixture(autouse=True)
def _usual_level(caplog: pytest.LogCaptureFixture) -> None:
    """Lines of the log are counted here: those that an application sees which has set nothing."""
    caplog.set_level(logging.WARNING, "tokentide")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Rig:
    """A dispatcher with all its parts, stepped by hand."""

    def __init__(
        self, clock: ManualClock, folder: Path | None, options: ProducerOptions, place: str = ""
    ) -> None:
        self.clock = clock
        self.broker = MemoryTransport()
        self.counts = Counts(clock.monotonic)
        self.options = options
        self.buffer = EventBuffer(
            max_events=options.queue_max_events,
            max_bytes=options.queue_max_bytes,
            wake_events=options.record_max_events,
            wake_bytes=options.record_max_bytes,
            monotonic=clock.monotonic,
        )
        self.spool = (
            Spool(folder, max_bytes=options.spool_max_bytes, on_drop=self.counts.drop) if folder else None
        )
        self.dispatcher = Dispatcher(
            buffer=self.buffer,
            transport=self.broker,
            spool=self.spool,
            counts=self.counts,
            options=options,
            monotonic=clock.monotonic,
            place=place,
        )

    def put(self, *numbers: int) -> None:
        for number in numbers:
            assert self.buffer.put(b'{"event_id":"%d"}' % number) == "taken"

    def put_parts(self, *numbers: int) -> None:
        for number in numbers:
            part = b'{"event_id":"%d","event_type":"request","request_id":"r"}' % number
            assert self.buffer.put(part) == "taken"

    def step(self, advance_s: float = 0.0, *, hurry: bool = False) -> float:
        self.clock.advance(advance_s)
        return self.dispatcher.step(hurry=hurry)

    def run(self, seconds: float, *, every_s: float = 0.5) -> None:
        for _ in range(round(seconds / every_s)):
            self.step(every_s)

    @property
    def received(self) -> list[int]:
        return [int(str(event["event_id"])) for event in self.broker.events]


@pytest.fixture
def new_rig(clock: ManualClock, tmp_path: Path) -> Callable[..., Rig]:
    def make(*, spool: bool = True, place: str = "", **options: object) -> Rig:
        chosen = ProducerOptions(sample_checks=False, **options)  # type: ignore[arg-type]
        return Rig(clock, tmp_path / "spool" if spool else None, chosen, place)

    return make


@pytest.fixture
def record() -> Callable[..., Packed]:
    """Make records of one event that says its number, padded to a size."""

    def make(number: int, size: int = 20, events: int = 1) -> Packed:
        return Packed(b'{"event_id":"%d"}' % number + b" " * (size - 16), events)

    return make
