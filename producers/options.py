"""What can be set on a producer besides where it sends: bounds, times, the spool. All have defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Final, Literal

from tokentide.schemas.limits import MAX_ITEMS_PER_RECORD, MAX_RECORD_BYTES

WhenFull = Literal["drop", "wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerOptions:
    """Bounds and times of one producer.

    Raises:
        ValueError: a value is outside its range; the message names it.
        TypeError: a value is of the wrong kind; the message names the option, the kind and the remedy.
    """

    queue_max_events: int = 100_000
    """Events waiting in memory, at most: some seconds of a busy loop, which emits faster than one thread can send."""
    queue_max_bytes: int = 67_108_864
    """Their bytes, at most."""
    when_full: WhenFull = "drop"
    """`drop`: `emit` never waits, newest events are dropped and counted. `wait`: for tools that read a
    file, where there is no application to slow down."""
    linger_ms: int = 150
    """How long an event may wait for others to share its record."""
    record_max_events: int = 50
    """Events packed into one record, at most."""
    record_max_bytes: int = 32_768
    """Bytes of one record before compression; a larger event gets a record of its own."""
    event_max_bytes: int = MAX_RECORD_BYTES - 1024
    """Larger events go without `input` and `output`; if that does not help, they are dropped."""
    in_flight_max_bytes: int = 4_194_304
    """Bytes sent and not acknowledged yet, at most."""
    delivery_timeout_s: float = 30.0
    """After so long without acknowledgement a record goes to the spool, and is sent anew from there.
    Shorter failures of the broker are bridged without duplicates."""
    away_after_s: float = 3.0
    """When Kafka has not taken anything for so long, new events go to the spool directly."""
    close_timeout_s: float = 5.0
    """How long `close`, and the end of the process, wait for Kafka."""
    spool_folder: Path | None = None
    """Where events wait on disk; None: a folder of its own in the user's cache folder."""
    spool_max_bytes: int = 268_435_456
    """Size of the spool, for all processes that share the folder; 0 switches it off."""
    resend_bytes_per_s: int = 4_194_304
    """How fast the spool is sent once Kafka is back: catching up may not starve the application."""
    compression: Literal["auto", "gzip", "lz4", "none"] = "auto"
    """`auto`: lz4 where the module `lz4` is installed, else gzip."""
    error_messages: bool = True
    """Whether `producer.call` records the text of exceptions (cut to 500 characters)."""
    sample_checks: bool = True
    """Whether the first events and then one a second are checked against the whole contract in the background."""
    kafka_logs: bool = False
    """Whether the Kafka client's own log lines are let through; they may hold payloads at DEBUG."""

    def __post_init__(self) -> None:
        for name in ("error_messages", "sample_checks", "kafka_logs"):
            _of_kind(name, getattr(self, name), bool, "True or False")
        _of_kind("spool_folder", self.spool_folder, Path | None, "a pathlib.Path or None")
        if self.when_full not in ("drop", "wait"):
            raise ValueError(f"when_full is {self.when_full!r}; must be drop or wait")
        if self.compression not in ("auto", "gzip", "lz4", "none"):
            raise ValueError(f"compression is {self.compression!r}; must be auto, gzip, lz4 or none")
        _between("queue_max_events", self.queue_max_events, 1, 10_000_000)
        _between("queue_max_bytes", self.queue_max_bytes, 1024, 2**34)
        _between("linger_ms", self.linger_ms, 0, 60_000)
        _between("record_max_events", self.record_max_events, 1, MAX_ITEMS_PER_RECORD)
        _between("record_max_bytes", self.record_max_bytes, 1, MAX_RECORD_BYTES)
        _between("event_max_bytes", self.event_max_bytes, 256, MAX_RECORD_BYTES)
        _between("in_flight_max_bytes", self.in_flight_max_bytes, 1, 2**34)
        _between("delivery_timeout_s", self.delivery_timeout_s, 1, 600)
        _between("away_after_s", self.away_after_s, 0, 600)
        _between("close_timeout_s", self.close_timeout_s, 0, 600)
        _between("resend_bytes_per_s", self.resend_bytes_per_s, 1024, 2**34)
        if self.spool_max_bytes != 0:
            _between("spool_max_bytes", self.spool_max_bytes, 65_536, 2**40)


_WHOLE: Final = ("_events", "_bytes", "_per_s")
"""Ends of the names of options that are counts; the others are times, which may be fractions."""


def _of_kind(name: str, value: object, kind: type | UnionType, wanted: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is of the kind {type(value).__name__}; must be {wanted}")


def _between(name: str, value: float, least: float, most: float) -> None:
    is_whole = name.endswith(_WHOLE)
    wanted = f"{'a whole number' if is_whole else 'a number'}, {least:g} … {most:g}"
    _of_kind(name, value, int if is_whole else int | float, wanted)
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; must be {least:g} … {most:g}")
