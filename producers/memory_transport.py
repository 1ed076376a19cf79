"""A broker in memory: for the tests of applications that emit events, and of the SDK.

    broker = MemoryTransport()
    with Producer(service="shop", transport=broker, strict=True) as producer:
        checkout(producer)
    assert broker.events[0]["prompt_name"] == "checkout"

It can also fail like a real one: away, slow to acknowledge, losing acknowledgements, with a size limit.
"""

from __future__ import annotations

import json
from collections import deque
from threading import Lock
from typing import NamedTuple

from tokentide.producers.transport import ACKED, Done, Outcome, Result


class _Sent(NamedTuple):
    value: bytes
    done: Done


class MemoryTransport:
    """Keeps what is sent; acknowledges at once, or when told to.

    Args:
        max_bytes: larger records are refused as too large.
        holds_acks: True: nothing is written and acknowledged before `acknowledge` or `fail`.
    """

    def __init__(self, *, max_bytes: int = 1_048_576, holds_acks: bool = False) -> None:
        self.max_bytes = max_bytes
        self.holds_acks = holds_acks
        self.is_up = True
        """False: the broker is away; set it as the test goes."""
        self.records: list[bytes] = []
        """Values written, in order."""
        self.is_closed = False
        self.resets = 0
        self._open: deque[_Sent] = deque()
        self._lock = Lock()

    @property
    def events(self) -> list[dict[str, object]]:
        """The events of all records, in order."""
        found: list[dict[str, object]] = []
        for value in self.records:
            parsed = json.loads(value)
            found.extend(parsed if isinstance(parsed, list) else [parsed])
        return found

    @property
    def waiting(self) -> int:
        """Records that are neither acknowledged nor failed yet."""
        return len(self._open)

    def ready(self) -> bool:
        """Return whether the broker is there."""
        return self.is_up

    def send(self, value: bytes, done: Done) -> None:
        """Write a record, or keep it open."""
        with self._lock:
            self._open.append(_Sent(value, done))
        if not self.is_up:
            self.fail()
        elif not self.holds_acks:
            self.acknowledge()

    def acknowledge(self, records: int | None = None) -> None:
        """Write and acknowledge the oldest open records, by default all.

        At one that is too large all open ones end so: that is what kafka-python does.
        """
        taken = self._taken(records)
        for index, sent in enumerate(taken):
            if len(sent.value) > self.max_bytes:
                self._give_up([*taken[index:], *self._taken(None)], Outcome.TOO_LARGE)
                return
            self.records.append(sent.value)
            sent.done(ACKED)

    def fail(self, records: int | None = None, *, written: bool = False) -> None:
        """Let the oldest open records time out; `written`: only the acknowledgement is lost."""
        for sent in self._taken(records):
            if written and len(sent.value) <= self.max_bytes:
                self.records.append(sent.value)
            sent.done(Result(Outcome.UNAVAILABLE, "timed out"))

    def refuse(self) -> None:
        """Refuse the oldest open record for good; all open ones end so, see `acknowledge`."""
        self._give_up(self._taken(None), Outcome.REFUSED)

    def _give_up(self, several: list[_Sent], outcome: Outcome) -> None:
        for sent in several:
            sent.done(Result(outcome, "refused by the test"))

    def _taken(self, records: int | None) -> list[_Sent]:
        with self._lock:
            count = len(self._open) if records is None else min(records, len(self._open))
            return [self._open.popleft() for _ in range(count)]

    def reset(self) -> None:
        """Forget the open records."""
        with self._lock:
            self._open.clear()
        self.resets += 1

    @property
    def problem(self) -> str | None:
        """Why it is away."""
        return None if self.is_up else "switched off by the test"

    def close(self, timeout_s: float) -> None:
        """Forget the open records."""
        del timeout_s
        self.is_closed = True

    def abandon(self) -> None:
        """Begin afresh in a forked child."""
        self.records = []
        self._open = deque()
        self._lock = Lock()
