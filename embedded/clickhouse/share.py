"""The share of the processor that reading may take, so that the worker's inserts go on beside it.

A statement that reads would use a thread for each core. Measured with inserts of 20,000 rows beside three long SELECTs on two busy
cores: median 305 ms where the readers may do as they like (24 ms alone), 145 ms with one thread each, 46 ms with one thread each at a lower
priority of the system's (`nice`). A lower number than 10 gives no more.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

READER_NICE: Final = 10
_PER_CORE: Final = 2


def reading_threads() -> int:
    """Threads of one statement: half of the cores, and at least one."""
    return max(1, _cores() // 2)


def concurrent_readers() -> int:
    """Statements of the read-only user at once: two for each core, and at least four."""
    return max(4, _PER_CORE * _cores())


def reader_nice() -> int:
    """`nice` of the reader's threads; 0 where this process could not take it back.

    The engine's threads are shared: one that stays low would run an insert next. Only root, or a process with CAP_SYS_NICE or a
    raised limit, may raise a thread again.
    """
    allowed: list[bool] = []

    def attempt() -> None:
        try:
            before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), before + READER_NICE)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), before)
            # The engine goes back to 0, whatever it was before.
            allowed.append(before == 0)
        except OSError:
            allowed.append(False)

    thread = threading.Thread(target=attempt, name="priority")  # which ends with what it has tried
    thread.start()
    thread.join()
    return READER_NICE if allowed == [True] else 0


def raise_lowered_threads() -> None:
    """Give threads of this process that a reader's statement left low the priority of all others.

    The engine gives a thread's priority back when the thread leaves a statement, but not always when the statement was ended from
    outside (KILL QUERY, a limit): such a thread stays in the pool as it is, until another reader happens to get it. To be called when no
    reader's statement runs. Does nothing where the system does not list a process's threads.
    """
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # which has ended meanwhile
                if os.getpriority(os.PRIO_PROCESS, int(task.name)) == READER_NICE:
                    os.setpriority(os.PRIO_PROCESS, int(task.name), 0)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
