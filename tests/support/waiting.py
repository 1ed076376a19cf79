"""Waiting for what another thread or process does.

A wait ends as soon as its condition holds. Its limit is protection against hanging and nothing else: so long that no
machine is too slow for it, however busy with other things. No test measures how long something takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

HANGING_S: Final = 300.0
"""The limit of every wait in the tests, in seconds; also for what takes a time-out of its own, as `wait` and `get` do."""

Found = TypeVar("Found")


def until(condition: Callable[[], Found], what: str = "it", *, every_s: float = 0.05) -> Found:
    """Wait until a condition holds, looking so often; return what it found."""
    end = time.monotonic() + HANGING_S
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {HANGING_S:g} s"
        time.sleep(every_s)
    return found


def wait_until_stopped(pid: int) -> None:
    """Wait until a process that was sent SIGSTOP has stopped in all its threads: some may go on for a moment."""

    def is_stopped(task: Path) -> bool:
        with suppress(OSError):  # a thread that has ended meanwhile
            return task.joinpath("stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"
        return True

    until(lambda: all(map(is_stopped, Path(f"/proc/{pid}/task").iterdir())), what="stopping")


def seconds_of(action: Callable[[], object]) -> float:
    """How long something took, in seconds: for lower bounds alone, which no machine is too slow for."""
    begin = time.monotonic()
    action()
    return time.monotonic() - begin
