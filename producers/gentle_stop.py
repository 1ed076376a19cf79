"""Ctrl-C between two events, never inside the sending of one.

A `KeyboardInterrupt` can strike between any two instructions, also where an event has left one list and has not
reached the next: it would be lost, and counted as sent. So while an event is handed over the signal
waits; while the program reads or sleeps it strikes at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


class GentleStop:
    """Use as a context manager around the loop, with `begin` and `end` around each hand-over.

    Outside the main thread, where signals do not arrive, it does nothing. A second Ctrl-C strikes at once.
    """

    def __init__(self) -> None:
        self._is_busy = False
        self._is_requested = False
        self._previous: object = None
        self._is_installed = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
            self._is_installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_installed:
            signal.signal(signal.SIGINT, self._previous)  # type: ignore[arg-type] # what signal.signal gave

    def begin(self) -> None:
        """An event is being handed over."""
        self._is_busy = True

    def end(self) -> None:
        """It was.

        Raises:
            KeyboardInterrupt: the signal came meanwhile.
        """
        self._is_busy = False
        if self._is_requested:
            raise KeyboardInterrupt

    def during(self, action: Callable[[], None]) -> None:
        """Run an action that must not be cut in two.

        Raises:
            KeyboardInterrupt: the signal came meanwhile.
        """
        self.begin()
        action()
        self.end()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_busy and not self._is_requested:
            self._is_requested = True
            return
        self._is_requested = True
        raise KeyboardInterrupt
