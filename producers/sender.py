"""The sender: one daemon thread per producer, started by the first event, and its orderly end.

It owns the dispatcher; everyone else talks to it through the queue, `flush` and `close`. Errors of our own
making end in its loop, counted and logged, never in the application.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final

from tokentide.producers.buffer import EventBuffer
from tokentide.producers.counts import log
from tokentide.producers.dispatcher import Dispatcher
from tokentide.producers.transport import Transport

THREAD_NAME: Final = "tokentide-sender"
PAUSE_AFTER_ERROR_S: Final = 1.0
LAST_WORDS_S: Final = 1.0
"""On top of the time given for sending: writing the rest to the spool and disconnecting."""


class Sender:
    """Runs a dispatcher in a thread of its own."""

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
        self._dispatcher = dispatcher
        self._transport = transport
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._flush_asked = 0
        self._flush_done = 0
        self._deadline: float | None = None
        self._is_done = False
        self._all_delivered = False

    @property
    def is_started(self) -> bool:
        """Whether the thread was started."""
        return self._thread is not None

    def start(self) -> None:
        """Start the thread, once; at the very end of the interpreter there is none to be had."""
        with self._lock:
            if self._thread is None and not self._is_done:
                thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                try:
                    thread.start()
                except (
                    RuntimeError
                ):  # "can't start new thread at interpreter shutdown": close() does the work
                    return
                self._thread = thread

    def flush(self, timeout_s: float) -> bool:
        """Wait until Kafka has acknowledged everything emitted before, the spool included."""
        if not self.is_started:
            return self._dispatcher.is_idle
        with self._lock:
            self._flush_asked += 1
            asked = self._flush_asked
            self._buffer.wake.set()
            self._changed.wait_for(lambda: self._flush_done >= asked or self._is_done, timeout_s)
            return self._flush_done >= asked

    def close(self, timeout_s: float) -> bool:
        """Take nothing more, send for so long, spool the rest; return whether Kafka has everything."""
        with self._lock:
            if self._deadline is None:
                self._deadline = self._monotonic() + timeout_s
            self._buffer.close()
            thread = self._thread
        if thread is None:
            with self._lock:
                if not self._is_done:
                    self._drain()
        elif thread is not threading.current_thread():
            thread.join(timeout_s + LAST_WORDS_S)
        return self._is_done and self._all_delivered

    def abandon(self) -> None:
        """In a forked child, where the thread does not exist: let go of what is the parent's."""
        self._dispatcher.abandon()

    def _run(self) -> None:
        while not self._buffer.is_closed:
            self._buffer.wake.wait(self._step())
            self._buffer.wake.clear()
        self._drain()

    def _step(self) -> float:
        with self._lock:
            asked = self._flush_asked
            hurry = asked > self._flush_done
        try:
            wait_s = self._dispatcher.step(hurry=hurry)
        except Exception:  # noqa: BLE001 - the outermost loop: an error of ours costs no application
            log.exception("the sender of events failed; it goes on")
            return PAUSE_AFTER_ERROR_S
        if hurry and self._dispatcher.is_idle:
            with self._lock:
                self._flush_done = asked
                self._changed.notify_all()
        return wait_s

    def _drain(self) -> None:
        """The end: send while there is time and somebody to send to, then put the rest away."""
        try:
            wait_s = self._dispatcher.step(hurry=True)
            while not self._dispatcher.is_idle and not self._is_late() and not self._is_hopeless():
                self._buffer.wake.wait(min(wait_s, self._time_left()))
                self._buffer.wake.clear()
                wait_s = self._dispatcher.step(hurry=True)
            self._transport.close(min(self._time_left(), LAST_WORDS_S) if self._dispatcher.is_idle else 0.0)
            self._all_delivered = self._dispatcher.finish()
        except Exception:  # noqa: BLE001 - as above
            log.exception("the sender of events failed while closing")
        finally:
            with self._lock:
                self._is_done = True
                self._changed.notify_all()
            self._on_end()

    def _time_left(self) -> float:
        return math.inf if self._deadline is None else max(0.0, self._deadline - self._monotonic())

    def _is_hopeless(self) -> bool:
        """Nobody is there to send to; a first connection that may still come up is waited for."""
        return self._dispatcher.is_away and self._dispatcher.problem is not None

    def _is_late(self) -> bool:
        return self._time_left() == 0.0
