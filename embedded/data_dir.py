"""The data directory of a one-machine run: its layout, its lock, and the file that tells of the run.

DIR/lock          held (flock) while a run lives; the kernel lets it go with the process, however that ends
DIR/run.json      the run's addresses and process ids; readable by its owner only; gone after an end in order
DIR/clickhouse/   the data of ClickHouse: all that outlives a run
DIR/logs/         one log per process, each capped
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Final, Self

from tokentide.embedded.errors import DataDirError
from tokentide.embedded.run_state import RunState

_TRIES: Final = 5
_TRY_AGAIN_S: Final = 0.05


class DataDir:
    """A data directory that this process holds alone."""

    def __init__(self, root: Path, lock_fd: int) -> None:
        """Use `acquire`."""
        self.root = root
        self._lock_fd = lock_fd

    @classmethod
    def acquire(cls, root: Path) -> Self:
        """Make the directory if need be and take its lock.

        Raises:
            DataDirError: another run holds it, or it cannot be written.
        """
        root = root.expanduser().absolute()
        try:
            (root / "logs").mkdir(parents=True, exist_ok=True)
            lock_fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(
                f"the data directory {root} cannot be used: {error.strerror}. Choose another with --data-dir DIR"
            ) from error
        if not _take(lock_fd):
            os.close(lock_fd)
            raise DataDirError(_who_holds(root))
        return cls(root, lock_fd)

    @property
    def clickhouse(self) -> Path:
        """Where ClickHouse keeps its data."""
        return self.root / "clickhouse"

    def log(self, process: str) -> Path:
        """The log of a process."""
        return self.root / "logs" / f"{process}.log"

    def write_run(self, state: RunState) -> None:
        """Tell of the run; whoever reads sees the old text or the new one, never half of one."""
        scratch = self.root / "run.json.new"
        # Created with its rights: a file that is restricted afterwards was readable for a moment.
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(state.to_dict(), indent=2) + "\n")
        scratch.replace(run_file(self.root))

    def release(self) -> None:
        """Forget the run and let go of the lock. Once is enough; again does nothing."""
        if self._lock_fd < 0:
            return
        run_file(self.root).unlink(missing_ok=True)
        os.close(self._lock_fd)
        self._lock_fd = -1


def _take(lock_fd: int) -> bool:
    """Take the lock; tried for a moment, since whoever only looks (`is_held`) holds it for an instant too."""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_TRY_AGAIN_S)
        with contextlib.suppress(OSError):
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def run_file(root: Path) -> Path:
    """The file that tells of the run in a data directory."""
    return root / "run.json"


def read_run(root: Path) -> RunState | None:
    """Return the run that holds a data directory now; None if there is none.

    A file that a killed run left behind counts for nothing: the lock decides.
    """
    if not is_held(root):
        return None
    try:
        return RunState.from_dict(json.loads(run_file(root).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it is starting or ending just now


def is_held(root: Path) -> bool:
    """Whether a run holds the lock of a data directory."""
    try:
        lock_fd = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock_fd)


def _who_holds(root: Path) -> str:
    run = read_run(root)
    who = (
        f"by process {run.pid}, with Kafka at {run.kafka_bootstrap_servers}"
        if run
        else "by another run that starts or ends just now"
    )
    return f"the data directory {root} is in use {who}. End that run, or choose another with --data-dir DIR"
