"""Waking one waiting thread, from anywhere: from other threads, signal handlers and destructors.

`threading.Event` is not for that: its `set` takes a lock that is not re-entrant, so that a signal handler that
sets an event whose `set` it has interrupted waits for ever. This one is a lock that is held as long as the
bell is silent; letting it go is one step that nothing can interrupt.
"""

from __future__ import annotations

from contextlib import suppress
from threading import TIMEOUT_MAX, Lock


class Bell:
    """Rung by many, heard by one."""

    def __init__(self) -> None:
        self._silence = Lock()
        self._silence.acquire()

    @property
    def is_ringing(self) -> bool:
        """Whether it was rung since the last wait."""
        return not self._silence.locked()

    def ring(self) -> None:
        """End the wait, or the next one; ringing twice is ringing once. Never blocks."""
        if self._silence.locked():
            with suppress(RuntimeError):  # somebody else rang since the last line
                self._silence.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it rings, and silence it; return False when the time was over before."""
        return self._silence.acquire(timeout=min(timeout_s, TIMEOUT_MAX))
