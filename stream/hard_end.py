"""Ends the process for certain: a client that waits for a broker which is away may hold it for minutes, in threads that
nothing can interrupt. Nothing is lost by it: what was not committed is read again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger("tokentide.worker")

END_WITHIN_S: Final = 20.0
"""From the signal, or the failure, to the end; containers are given 30 s as a rule."""


class HardEnd:
    """Ends this process some seconds after it began to end, or at once.

    Args:
        within_s: seconds that an orderly end may take.
        exit_now: ends the process with a code; for tests.
    """

    def __init__(
        self, within_s: float = END_WITHIN_S, *, exit_now: Callable[[int], object] = os._exit
    ) -> None:
        self._within_s = within_s
        self._exit_now = exit_now

    def begin(self, code: int) -> None:
        """The process begins to end; with this code it does, whatever hangs."""
        timer = threading.Timer(self._within_s, self._end, (code, f"longer than {self._within_s:g} s"))
        timer.daemon = True
        timer.start()

    def now(self, code: int) -> None:
        """Somebody asks a second time."""
        self._end(code, "too long for who asked twice")

    def _end(self, code: int, how_long: str) -> None:
        log.warning(
            "ending in order takes too long; the process ends as it is",
            took=how_long,
            remedy="nothing is lost: what was not committed is read again after the next start",
        )
        self._exit_now(code)
