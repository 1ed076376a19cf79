"""Keeping the Kafka client's own log lines out of the application's log.

kafka-python reports every failed attempt to connect as an error, many times a minute, and at DEBUG it
writes whole requests, prompts included. The SDK says once a minute what matters, so lines from its own
threads are dropped. Other users of kafka-python in the same process keep theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable


class _FromOurThreads(logging.Filter):
    """Refuses records of the named threads."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str | None] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record may pass."""
        return record.threadName not in self.threads


_filter = _FromOurThreads()


def quiet(threads: Iterable[str]) -> None:
    """Drop what kafka-python logs in these threads from now on; call it once its modules are loaded."""
    _filter.threads.update(threads)
    # A filter works on the logger that a line is written to, not on those below it.
    for name in list(logging.root.manager.loggerDict):
        if name == "kafka" or name.startswith("kafka."):
            logging.getLogger(name).addFilter(_filter)
