"""The sender: one daemon thread per producer, started by the first event, and its orderly end.

It owns the dispatcher; everyone else talks to it through the queue, `flush` and `close`. Errors of our own
making end in its loop, counted and logged, never in the application.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from tokentide.producers.bell import Bell
from tokentide.producers.buffer import EventBuffer
from tokentide.producers.counts import log
from tokentide.producers.dispatcher import Dispatcher
from tokentide.producers.transport import Transport

THREAD_NAME: Final = "tokentide-sender"
PAUSE_AFTER_ERROR_S: Final = 1.0
BEGIN_S: Final = 0.25
"""How long a thread that was started may take to begin."""
LAST_WORDS_S: Final = 1.0
"""On top of the time given for sending: writing the rest to the spool and disconnecting."""


class _Flush:
    """Somebody who waits until everything emitted before is delivered."""

    def __init__(self) -> None:
        self.is_done = False
        self.over = Bell()


class Sender:
    """Runs a dispatcher in a thread of its own.

    It takes no lock that a thread of the application may hold: a signal handler that waits here for the end
    may have interrupted its own thread anywhere.
    """

    def __init__(
        self,
        *,
        buffer: EventBuffer,
        dispatcher: Dispatcher,
        transport: Transport,
        monotonic: Callable[[], float],
        on_end: Callable[[], None],
    ) -> None:
        self._on_end = on_end
        self._buffer = buffer
        self.dispatcher = dispatcher
        self._transport = transport
        self._monotonic = monotonic
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._claim = threading.Lock()
        """Held for ever by the one who works the dispatcher: the thread, or where there is none `close`."""
        self._claimed_by: int | None = None
        self._flushes: deque[_Flush] = deque()
        self._deadline: float | None = None
        self._ended = threading.Lock()
        """Held until the end."""
        self._ended.acquire()
        self._is_done = False
        self._all_delivered = False

    @property
    def is_started(self) -> bool:
        """Whether the thread was started."""
        return self._thread is not None

    def start(self) -> None:
        """Start the thread, once; at the very end of the interpreter there is none to be had."""
        with self._starting:
            if self._thread is None and not self._is_done:
                # Known before it starts: a signal handler that emits now is not to start another one.
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                try:
                    self._thread.start()
                except (
                    RuntimeError
                ):  # "can't start new thread at interpreter shutdown": close() does the work
                    self._thread = None

    def flush(self, timeout_s: float) -> bool:
        """Wait until Kafka has acknowledged everything emitted before, the spool included."""
        if not self.is_started:
            return self.dispatcher.is_idle
        flush = _Flush()
        self._flushes.append(flush)
        self._buffer.wake.ring()
        if not self._is_done:  # else nobody would answer
            flush.over.wait(timeout_s)
        return flush.is_done or (self._is_done and self._all_delivered)

    def close(self, timeout_s: float) -> bool:
        """Take nothing more, send for so long, spool the rest; return whether Kafka has everything."""
        if self._deadline is None:
            self._deadline = self._monotonic() + timeout_s
        self._buffer.close()
        if not self._has_begun() and self._claimed():
            self._drain()
        elif self._claimed_by != threading.get_ident() and self._ended.acquire(
            timeout=timeout_s + LAST_WORDS_S
        ):
            self._ended.release()
        return self._is_done and self._all_delivered

    def abandon(self) -> None:
        """In a forked child, where the thread does not exist: let go of what is the parent's."""
        self.dispatcher.abandon()

    def _has_begun(self) -> bool:
        """Whether the thread is at work; one that was just started is waited for a little.

        Not longer: whoever interrupted its own thread while that was starting this one may be in its way.
        """
        deadline = time.monotonic() + BEGIN_S
        while self._thread is not None and self._claimed_by is None and time.monotonic() < deadline:
            time.sleep(0.001)
        return self._claimed_by is not None

    def _claimed(self) -> bool:
        if not self._claim.acquire(blocking=False):
            return False
        self._claimed_by = threading.get_ident()
        return True

    def _run(self) -> None:
        if not self._claimed():
            return
        while not self._buffer.is_closed:
            self._buffer.wake.wait(self._step())
        self._drain()

    def _step(self) -> float:
        asked = len(self._flushes)
        try:
            wait_s = self.dispatcher.step(hurry=asked > 0)
        except Exception:  # noqa: BLE001 - the outermost loop: an error of ours costs no application
            log.exception("the sender of events failed; it goes on")
            return PAUSE_AFTER_ERROR_S
        if asked and self.dispatcher.is_idle:
            self._answer(asked, is_done=True)
        return wait_s

    def _answer(self, flushes: int, *, is_done: bool) -> None:
        for _ in range(flushes):
            flush = self._flushes.popleft()
            flush.is_done = is_done
            flush.over.ring()

    def _drain(self) -> None:
        """The end: send while there is time and somebody to send to, then put the rest away."""
        try:
            wait_s = self.dispatcher.step(hurry=True)
            while not self.dispatcher.is_idle and not self._is_late() and not self.dispatcher.is_hopeless:
                self._buffer.wake.wait(min(wait_s, self._time_left()))
                wait_s = self.dispatcher.step(hurry=True)
            self._transport.close(min(self._time_left(), LAST_WORDS_S) if self.dispatcher.is_idle else 0.0)
            self._all_delivered = self.dispatcher.finish()
        except Exception:  # noqa: BLE001 - as above
            log.exception("the sender of events failed while closing")
        finally:
            self._is_done = True
            self._answer(len(self._flushes), is_done=self._all_delivered)
            self._ended.release()
            self._on_end()

    def _time_left(self) -> float:
        return math.inf if self._deadline is None else max(0.0, self._deadline - self._monotonic())

    def _is_late(self) -> bool:
        return self._time_left() == 0.0
