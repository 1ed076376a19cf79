"""What holds an event loop: a task that sleeps ten milliseconds, again and again, and notes how late it wakes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_NAP_S = 0.01


class LoopProbe:
    """The worst since the start."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """By the wall clock; on a shared machine that says little."""
        self.held_s = 0.0
        """CPU seconds of the loop's own thread from one nap to the next: what it did itself."""
        self.naps = 0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            slept_at_s, used_s = time.monotonic(), time.thread_time()
            await asyncio.sleep(_NAP_S)
            self.delay_s = max(self.delay_s, time.monotonic() - slept_at_s - _NAP_S)
            self.held_s = max(self.held_s, time.thread_time() - used_s)
            self.naps += 1


@asynccontextmanager
async def probed_loop() -> AsyncIterator[LoopProbe]:
    """Probe the running loop for this block."""
    probe = LoopProbe()
    watching = asyncio.create_task(probe.watch())
    await asyncio.sleep(0)
    try:
        yield probe
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
