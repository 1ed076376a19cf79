"""Sending many events, blocking: every event is acknowledged, or an error is raised; nothing is dropped.

For tools that read a file or make traffic and can wait. Applications use `Producer`, which never waits.
The sink for Kafka is in `kafka_sink`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import BinaryIO, Protocol

from tokentide.producers.compact_json import encode_event

Event = Mapping[str, object]


class EventSink(Protocol):
    """Where events go. Not for several threads."""

    @property
    def acknowledged(self) -> int:
        """Events that are stored for certain."""

    def send(self, event: Event | bytes, event_id: str | None = None) -> None:
        """Take one event: a mapping, or one line of JSON with one object in it. May wait.

        `event_id` places an event given as bytes: equal ids go the same way, so that a repetition meets
        the first one. A mapping's own id is used.
        """

    def send_alone(self, value: bytes) -> None:
        """Take bytes that need not be an event, as a record of their own: neighbours stay readable."""

    def push(self) -> None:
        """Send what is held back for packing; does not wait for acknowledgement."""

    def flush(self) -> None:
        """Return when everything taken so far is acknowledged."""

    def close(self) -> None:
        """Flush and release; taking more is an error."""


class MemorySink:
    """Keeps what it is given: for dry runs and tests."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        """Events as bytes, in the order given."""
        self.alone: list[bytes] = []
        """What came by `send_alone`."""
        self.pushes = 0
        self.is_flushed = True

    @property
    def acknowledged(self) -> int:
        """Everything taken before the last flush."""
        return len(self.lines) + len(self.alone) if self.is_flushed else 0

    @property
    def events(self) -> list[dict[str, object]]:
        """The events, read again from their bytes."""
        return [json.loads(line) for line in self.lines]

    def send(self, event: Event | bytes, event_id: str | None = None) -> None:  # noqa: ARG002 - one place only
        """Keep one event."""
        self.lines.append(event if isinstance(event, bytes) else encode_event(event))
        self.is_flushed = False

    def send_alone(self, value: bytes) -> None:
        """Keep bytes."""
        self.alone.append(value)
        self.is_flushed = False

    def push(self) -> None:
        """Count it."""
        self.pushes += 1

    def flush(self) -> None:
        """Everything is stored."""
        self.is_flushed = True

    def close(self) -> None:
        """Everything is stored."""
        self.is_flushed = True


class NdjsonSink:
    """Events as lines of JSON, to a file or standard output."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._acknowledged = 0

    @property
    def acknowledged(self) -> int:
        """Lines written."""
        return self._acknowledged

    def send(self, event: Event | bytes, event_id: str | None = None) -> None:  # noqa: ARG002 - a line has no place to choose
        """Write one line."""
        self.send_alone(event if isinstance(event, bytes) else encode_event(event))

    def send_alone(self, value: bytes) -> None:
        """Write one line, whatever it is."""
        self._stream.write(value + b"\n")
        self._acknowledged += 1

    def push(self) -> None:
        """Make the lines visible to a reader of the pipe."""
        self._stream.flush()

    def flush(self) -> None:
        """Make the lines visible to a reader of the pipe."""
        self._stream.flush()

    def close(self) -> None:
        """Flush; the stream stays open, it is the caller's."""
        self._stream.flush()
