"""Which files of a shared spool folder belong to whom: one lane per process, held by a lock.

    <lane>.lock             locked (flock) for as long as the process lives, however it ends
    <lane>-<number>.seg     its segments, in order

A lane is named by a UUIDv7, so names sort by age. Whoever gets the lock of a lane owns its files: that
is how the events of a process that died are taken over, by one successor and not by two. Locks are of
the open file, so a forked child that closes its copy does not release its parent's.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from tokentide.producers.errors import SpoolError
from tokentide.producers.uuid7 import uuid7

try:
    import fcntl
except ImportError:  # not POSIX: there is no lock that a killed process releases
    fcntl = None  # type: ignore[assignment] # the name stands for "no locks here"

_LANE_CHARACTERS: Final = 36
_NAME: Final = re.compile(r"(?P<lane>[0-9a-f-]{36})(\.lock|-\d{8}\.seg)")


class Lane:
    """The locked right to a set of segments. Make one with `new_lane` or `take_over`."""

    def __init__(self, folder: Path, name: str, lock: int) -> None:
        self.folder = folder
        self.name = name
        self._lock = lock
        self._count = 0

    def next_path(self) -> Path:
        """Return the path of this lane's next segment."""
        self._count += 1
        return self.folder / f"{self.name}-{self._count:08d}.seg"

    @property
    def is_intact(self) -> bool:
        """Whether the lock is still the one that others look at."""
        try:
            return _lock_path(self.folder, self.name).stat().st_ino == os.fstat(self._lock).st_ino
        except OSError:
            return False

    def segments(self) -> list[Path]:
        """Return the segments that exist, oldest first."""
        return sorted(self.folder.glob(f"{self.name}-*.seg"))

    def remove(self) -> None:
        """Give the lane up for good; its segments are gone or left to nobody."""
        _lock_path(self.folder, self.name).unlink(missing_ok=True)
        os.close(self._lock)

    def leave(self) -> None:
        """Unlock it, so that the next process takes it over."""
        os.close(self._lock)


def new_lane(folder: Path) -> Lane:
    """Make a lane of this process.

    Raises:
        SpoolError: the folder cannot be written, or the platform has no locks.
    """
    name = uuid7()
    lock = _locked(folder, name)
    if lock is None:
        raise SpoolError("a new lane of the spool is locked already")
    return Lane(folder, name, lock)


def take_over(folder: Path, own: frozenset[str]) -> list[Lane]:
    """Return the lanes whose processes are gone, oldest first, now ours; lanes in `own` are left out.

    Raises:
        SpoolError: the folder cannot be read.
    """
    try:
        names = {match["lane"] for entry in folder.iterdir() if (match := _NAME.fullmatch(entry.name))}
    except OSError as error:
        raise SpoolError(f"cannot read the spool's folder: {error.strerror}") from error
    lanes = []
    for name in sorted(names - own):
        lock = _locked(folder, name)
        if lock is not None:
            lanes.append(Lane(folder, name, lock))
    return lanes


def left_behind(folder: Path) -> list[Path]:
    """Return the segments there that no living process holds, oldest first; nothing is taken or made.

    Raises:
        OSError: the folder cannot be read.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix == ".seg" and _NAME.fullmatch(path.name))
    lanes = {path.name[:_LANE_CHARACTERS] for path in found}
    held = {lane for lane in lanes if _is_held(_lock_path(folder, lane))}
    return [path for path in found if path.name[:_LANE_CHARACTERS] not in held]


def _is_held(lock_path: Path) -> bool:
    if fcntl is None or not lock_path.exists():
        return False
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True  # not ours to judge
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _lock_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"


def _locked(folder: Path, name: str) -> int | None:
    """Lock a lane, or return None if another process holds it."""
    if fcntl is None:
        raise SpoolError("this platform has no file locks")
    path = _lock_path(folder, name)
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolError(f"cannot make a lock in the spool: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its owner may have removed the file between our opening and our locking it.
        if path.stat().st_ino == os.fstat(lock).st_ino:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None
