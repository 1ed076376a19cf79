"""Ctrl-C and its kin, counted: the first asks for an end in order, the second for one at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Final, Self

ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndingSignals:
    """While the `with` block runs, counts signals that ask for the end; the second raises `KeyboardInterrupt`.

    For the main thread, which alone receives signals in Python. The first signal interrupts nothing: whoever
    waits looks at `received` now and then.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.received += 1
        if self.received > 1:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in ENDING_SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
