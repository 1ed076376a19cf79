"""Few lines instead of many from a client library that says the same again and again, such as while Kafka is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

QUIET_S: Final = 30.0
"""One line of a logger, level and template in so many seconds. aiokafka alone writes some 70 lines a second in an outage."""
MOST_TEMPLATES: Final = 256
"""That are remembered; the one that was said first is forgotten first."""


@dataclass(slots=True)
class _Told:
    at_s: float
    left_out: int = 0


class FloodFilter(logging.Filter):
    """For a handler: lets one line of each kind through in a while, and says in the next how many were left out.

    A kind is a logger, a level and a template, whatever its arguments. Lines of other loggers and critical ones all go through.
    """

    def __init__(self, loggers: Iterable[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin; `loggers` are names, each with all below it, and `clock` gives seconds that never go backwards."""
        super().__init__()
        self._loggers = tuple(loggers)
        self._clock = clock
        self._told: dict[tuple[str, int, str], _Told] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line goes through; adds to its text what was left out."""
        if record.levelno >= logging.CRITICAL or not self._is_watched(record.name):
            return True
        with self._lock:
            left_out = self._left_out(record)
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out:,} such lines left out since the last)"
            record.args = None
        return left_out is not None

    def _is_watched(self, name: str) -> bool:
        return any(name == logger or name.startswith(f"{logger}.") for logger in self._loggers)

    def _left_out(self, record: logging.LogRecord) -> int | None:
        """How many such lines were left out before this one; None: this one is too."""
        kind, now_s = (record.name, record.levelno, str(record.msg)), self._clock()
        told = self._told.get(kind)
        if told is not None and now_s - told.at_s < QUIET_S:
            told.left_out += 1
            return None
        self._told.pop(kind, None)
        if len(self._told) >= MOST_TEMPLATES:
            del self._told[next(iter(self._told))]
        self._told[kind] = _Told(now_s)
        return told.left_out if told is not None else 0
