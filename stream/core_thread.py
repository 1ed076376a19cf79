"""Where the state of partitions is worked on: one piece of work after the other, in a thread of its own.

What takes the processor for long never runs in the event loop, so that heartbeats, health and metrics are answered at any
load; and as there is one thread, and it works in the order in which it was asked, nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

_Result = TypeVar("_Result")


class Serial(Protocol):
    """Does one piece of work after the other."""

    async def run(self, name: str, work: Callable[[], _Result]) -> _Result:
        """Do it and return what it returns, or raise what it raises.

        Who is cancelled while it waits does not hear of it: the work is left out if it has not begun, else it is done.
        """
        ...


class Inline:
    """Does it at once, in the event loop: for tests, and where there is little to do."""

    async def run(self, name: str, work: Callable[[], _Result]) -> _Result:
        """See `Serial`."""
        del name
        return work()


class Doing(NamedTuple):
    """A piece of work under way."""

    number: int
    """Of all since the start."""
    name: str
    cpu_s: float
    """What the thread has used of the processor since its start; where the system does not tell, what the process has."""


class _Job(NamedTuple):
    name: str
    work: Callable[[], Any]
    done: Future[Any]


class CoreThread:
    """The thread. It does not keep the process alive."""

    def __init__(self) -> None:
        """Start it."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._begun = 0
        self._doing: tuple[int, str] | None = None
        self._cpu_clock: int | None = None
        self._thread = threading.Thread(target=self._work, name="core", daemon=True)
        self._thread.start()

    async def run(self, name: str, work: Callable[[], _Result]) -> _Result:
        """See `Serial`."""
        job = _Job(name, work, Future())
        self._jobs.put(job)
        result: _Result = await asyncio.wrap_future(job.done)
        return result

    @property
    def begun(self) -> int:
        """Pieces of work begun since the start."""
        return self._begun

    @property
    def doing(self) -> Doing | None:
        """What is under way; any thread may ask."""
        doing = self._doing
        return None if doing is None else Doing(*doing, self._cpu_s())

    def close(self, *, patience_s: float) -> bool:
        """End the thread after what it was asked for; return whether it has ended within so long."""
        self._jobs.put(None)
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _cpu_s(self) -> float:
        return time.process_time() if self._cpu_clock is None else time.clock_gettime(self._cpu_clock)

    def _work(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # some systems have no such clock
            self._cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        while (job := self._jobs.get()) is not None:
            if not job.done.set_running_or_notify_cancel():
                continue
            self._begun += 1
            self._doing = self._begun, job.name
            try:
                result = job.work()
            except BaseException as error:  # noqa: BLE001 - handed to who asked
                self._doing = None
                job.done.set_exception(error)
            else:
                self._doing = None
                job.done.set_result(result)
            del job  # nor its batch, until the next comes
