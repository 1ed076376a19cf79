"""How the process asks the system for memory.

A worker allocates and frees arrays of some hundred kilobytes, thousands a second. By default both allocators hand
such blocks back at once and get them again as fresh pages, which the system has to clear: a third of the
CPU of a batch (encoding the rows of an insert: 3.4 µs a row, 0.2 with this).
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Final

import pyarrow as pa

_YOUNG_OBJECTS: Final = 100_000
"""A fetch makes some ten thousand objects, which all die together and by reference counts."""

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_KEEP_BYTES: Final = 134_217_728
"""Freed memory kept at the top of the heap; more goes back to the system."""
_PAD_BYTES: Final = 16_777_216
_MMAP_BYTES: Final = 33_554_432
"""The most that glibc allows."""


def collect_seldom() -> None:
    """Look for garbage in cycles after 100,000 new objects instead of 700, and never among what lives since the start.

    By default a tenth of the CPU under load goes into looking at records that are not garbage yet.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


def give_back_freed_memory() -> None:
    """Free what hangs together in cycles, and give the system all pages that are free (with glibc). To be called now and then.

    Without it a worker stays as large as in its worst minute: errors of an outage hold what was to be inserted, and what was freed below
    something that lives on never goes back.
    """
    gc.collect()
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)


def keep_freed_memory() -> None:
    """Keep freed blocks for the next batch, with glibc; elsewhere do nothing. Call it once, early."""
    if (mallopt := _of_glibc("mallopt")) is None:
        return
    for option, value in (
        (_M_MMAP_THRESHOLD, _MMAP_BYTES),
        (_M_TRIM_THRESHOLD, _KEEP_BYTES),
        (_M_TOP_PAD, _PAD_BYTES),
        (_M_ARENA_MAX, 2),
    ):
        mallopt(option, value)
    pa.set_memory_pool(pa.system_memory_pool())


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it is another one, whose own policy stands."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return found
