"""Ends this process when the one that started it is gone, SIGKILL included.

Linux tells by a signal; everywhere the parent's process id is watched too, because the signal is bound to the
thread that started us, and because a guard between us and the parent may be the one that dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h."""
_WATCH_S: Final = 0.5


def die_with_parent(parent_pid: int | None) -> None:
    """Ask the kernel for SIGTERM at the parent's death; without effect on other systems than Linux."""
    if parent_pid is None or sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # a sandbox may forbid it; the watch remains
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


async def parent_gone(parent_pid: int) -> None:
    """Return when that process is gone, or when the one that started us is."""
    started_by = os.getppid()
    while os.getppid() == started_by and _is_alive(parent_pid):  # noqa: ASYNC110 - nobody sets an event for it
        await asyncio.sleep(_WATCH_S)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
