"""Interrupting a thread at every place where Python would run a signal handler.

The interpreter runs handlers between instructions, and only at the beginning of a function, at the end of
a call and on the way back of a loop. Those places are found by tracing, and the handler is called there, so
that each place is tried once instead of waiting for a signal to hit it.
"""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Interruption:
    """Calls `handler` at the place number `at` of what runs inside `run`; `places` counts them."""

    def __init__(self, at: int, handler: Callable[[], None]) -> None:
        self.at = at
        self.where = ""
        """The place that was hit."""
        self.places = 0
        self._handler = handler
        self._last: dict[FrameType, str] = {}

    def run(self, action: Callable[[], None]) -> None:
        """Do it, in the calling thread."""
        # Python 3.12 only traces instructions where some frame asked for that before tracing began.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(self._trace)
        try:
            action()
        finally:
            sys.settrace(None)
            self._last.clear()

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        del argument
        frame.f_trace_opcodes = True
        if event == "opcode":
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            before = self._last.get(frame, "")
            self._last[frame] = name
            if name == "RESUME" or before.startswith(("CALL", "JUMP_BACKWARD")):
                self._place(frame)
        return self._trace

    def _place(self, frame: FrameType) -> None:
        self.places += 1
        if self.places == self.at:
            self.where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
            self._handler()  # nothing is traced while a trace function runs


def ends(action: Callable[[], None], within_s: float) -> bool:
    """Do it in a thread of its own; return whether it came to an end."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(within_s)
    return not thread.is_alive()
