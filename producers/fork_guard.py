"""Keeping forks out of the moments in which a background thread of ours loads modules.

A module that is being loaded is locked by its thread. In a child forked at that moment the thread does not
exist, the lock stays locked for ever, and whoever loads the same module there waits for ever. So a
fork waits for the loading to end: a quarter of a second at most, once in the life of a process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

LONGEST_WAIT_S: Final = 2.0
"""A fork is not held up for longer, whatever hangs."""


class _Guard:
    def __init__(self) -> None:
        self.lock = Lock()
        self._is_held = False

    def before_fork(self) -> None:
        self._is_held = self.lock.acquire(timeout=LONGEST_WAIT_S)

    def after_fork_in_parent(self) -> None:
        if self._is_held:
            self._is_held = False
            self.lock.release()

    def after_fork_in_child(self) -> None:
        self._is_held = False
        self.lock = Lock()


_guard: Final = _Guard()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_guard.before_fork,
        after_in_parent=_guard.after_fork_in_parent,
        after_in_child=_guard.after_fork_in_child,
    )


@contextmanager
def no_fork() -> Iterator[None]:
    """Let no fork happen inside; for loading modules in a thread. Not to be nested."""
    with _guard.lock:
        yield
