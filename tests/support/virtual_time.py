"""An event loop whose clock jumps to the next timer instead of waiting: hours of a scenario take no time.

For code that reads the loop's own clock and does no real I/O. Where every task waits and no timer is left, nothing could
ever wake one: that is an error here, not a test that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 0 seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined] # asyncio's own, set by its constructor
        really_select = selector.select

        def select(timeout_s: float | None) -> Any:
            if timeout_s is None and not (found := really_select(0)):
                raise RuntimeError("every task waits, and no timer is left to wake one")
            if timeout_s is None:
                return found
            self._now_s += max(0.0, timeout_s)
            return really_select(0)

        selector.select = select

    def time(self) -> float:
        """Seconds of the scenario."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Something that is not awaited takes so long."""
        self._now_s += seconds


def run_virtually(scenario: Coroutine[Any, Any, _Result]) -> _Result:
    """As `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(scenario)
