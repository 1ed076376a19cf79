"""The end of the process and forking: what happens to producers that nobody closed.

At exit every running producer is closed within its own time. After a fork the child's copy begins afresh:
no thread, an empty queue (the parent sends what the parent's held), a connection and a spool lane of its own.
Children of `multiprocessing` leave by `os._exit`, past `atexit`; its own finalizers are used there.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Final, Protocol


class Living(Protocol):
    """What has to be told of forks and of the end."""

    def close_at_exit(self) -> None:
        """Send or spool what is there, within the time set."""
        ...

    def renew_after_fork(self) -> None:
        """Begin afresh in the child."""
        ...


_all: Final[weakref.WeakSet[Living]] = weakref.WeakSet()
_running: Final[set[Living]] = set()
"""Held strongly, so that what a forgotten producer was given is still sent."""


def register(living: Living) -> None:
    """Have it renewed in forked children, for as long as it exists."""
    _all.add(living)


def started(living: Living) -> None:
    """Have it closed at the end of the process."""
    if not _running:
        _register_with_multiprocessing()
    _running.add(living)


def closed(living: Living) -> None:
    """Forget it."""
    _running.discard(living)


def close_all() -> None:
    """Close everything that runs."""
    for living in list(_running):
        living.close_at_exit()


def _register_with_multiprocessing() -> None:
    multiprocessing = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None and util is not None and multiprocessing.parent_process() is not None:
        util.Finalize(None, close_all, exitpriority=100)


def _renew_all() -> None:
    _running.clear()
    for living in list(_all):
        living.renew_after_fork()


# Registered when the SDK is imported, so that it runs after the exit handlers that the application
# registers later: what those emit is sent too.
atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
