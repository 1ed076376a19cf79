"""A process that gets a share of a core, without cgroups: it is frozen and let go on in turn."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PERIOD_S = 0.1
"""As the kernel's own CPU quota has it."""


@contextmanager
def held_to(share: float, pid: int) -> Iterator[None]:
    """For this block the process runs for `share` of the time, all its threads together; it may end meanwhile."""
    over = threading.Event()

    def hold() -> None:
        try:
            while not over.wait(PERIOD_S * share):
                os.kill(pid, signal.SIGSTOP)
                over.wait(PERIOD_S * (1 - share))
                os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        yield
    finally:
        over.set()
        holding.join()
