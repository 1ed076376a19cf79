"""How much memory the machine lets us use, and how much a process holds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process; None when it is gone or the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return _resident_by_ps(pid)
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_to_us_bytes() -> int:
    """Return the machine's memory, or the limit of the container that we run in."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *_container_limits()])


def _container_limits() -> list[int]:
    found = []
    for path in _CGROUP_LIMITS:
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
    return found


def _resident_by_ps(pid: int) -> int | None:
    """For systems without /proc, such as macOS."""
    try:
        said = subprocess.run(  # noqa: S603 - a fixed program, a number as argument
            ["/bin/ps", "-o", "rss=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout
        return int(said) * 1024
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
