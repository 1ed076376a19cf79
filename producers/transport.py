"""What the sender needs of a broker: a `Transport`. `KafkaTransport` is the real one; `MemoryTransport`
in the same package is for tests of applications and of the SDK itself.

A transport never blocks its caller beyond moments: connecting and waiting for acknowledgements are its
own threads' business. It reports each record's end exactly once, from any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, Protocol


class Outcome(Enum):
    """How the sending of one record ended."""

    ACKED = auto()
    """All replicas that have to be in sync have it."""
    UNAVAILABLE = auto()
    """Not acknowledged: time-out, no connection, no permission, no such topic. Worth trying again; the
    record may have been written nevertheless, so trying again may write it twice."""
    TOO_LARGE = auto()
    """The broker does not take records of this size: this one's, or one's that was on its way with it.
    Worth trying alone, and then in parts."""
    REFUSED = auto()
    """The broker refuses a record for good: this one, or one that was on its way with it. Likewise."""


class Result(NamedTuple):
    """The end of one record's sending; `reason` says why it was not acknowledged, without payload."""

    outcome: Outcome
    reason: str | None = None


ACKED = Result(Outcome.ACKED)
Done = Callable[[Result], None]


class Transport(Protocol):
    """The way to the broker. All methods but `done` callbacks are called from one thread at a time."""

    def ready(self) -> bool:
        """Return whether `send` may be called now; begin to connect, in the background, if not."""
        ...

    def send(self, value: bytes, done: Done) -> None:
        """Send one record; `done` is called once, from any thread, possibly before this returns."""
        ...

    def reset(self) -> None:
        """Drop the connection and all that is on its way, and begin afresh when asked for `ready`.

        The `done` of records on their way may still come, or not.
        """
        ...

    @property
    def problem(self) -> str | None:
        """Why it is not ready, in words that hold no secret; None if nothing is known."""
        ...

    def close(self, timeout_s: float) -> None:
        """Disconnect; what is not acknowledged within the time is given up (its `done` may not come)."""
        ...

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without touching it; usable afresh."""
        ...
