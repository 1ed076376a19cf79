"""One child process: its start, its health check, its end, its log file.

A child never outlives this process, not even when this one is ended by SIGKILL (see `guard.py`). It runs in a
session of its own: Ctrl-C in the terminal reaches only this process, which then ends its children in order, and
what the child itself starts can be ended with it.

Nothing here knows what the child is; `broker.py`, `services.py` and `supervisor.py` do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tokentide.embedded import guard, log_files
from tokentide.embedded.errors import (
    EmbeddedError,
    ProcessFailedError,
    ProcessNotReadyError,
    StoppedWhileStartingError,
)

HealthCheck = Callable[[], str | None]
"""Returns None when the process serves, else what it still lacks. Called often; it must answer within seconds."""


def never() -> bool:
    """Answer whether to stop waiting, for those who never do."""
    return False


_POLL_S: Final = 0.05
"""How late an end is noticed at most."""
_HEALTH_INTERVAL_S: Final = 0.05
_KILL_WAIT_S: Final = 10.0
"""After SIGKILL only a process in an uninterruptible system call remains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSpec:
    """What to run, and how to see that it serves."""

    name: str
    argv: Sequence[str]
    log_file: Path
    """Standard output and error go here, appended."""
    health_check: HealthCheck = field(default=lambda: None)
    environment: Mapping[str, str] | None = None
    """The whole environment; None: that of this process."""
    start_timeout_s: float = 30.0
    stop_grace_s: float = 10.0
    """Time from SIGTERM to SIGKILL."""


class ManagedProcess:
    """A child process that is started once and ended once. All methods may be called from any thread."""

    def __init__(self, spec: ProcessSpec, *, watch: bool = False) -> None:
        """Prepare; `watch` takes the guard of systems without a death signal, for tests of it."""
        self.spec = spec
        self._watch = watch
        # Reentrant: a signal handler may end the process while the same thread is sending it a signal.
        self._lock = threading.RLock()
        self._started = threading.Event()
        self._exited = threading.Event()
        self._popen: subprocess.Popen[bytes] | None = None
        self._start_error: OSError | None = None
        self._log_begin = 0
        self._stop_asked = False
        self.started_at: float | None = None
        """Unix time of the start, in seconds."""

    @property
    def pid(self) -> int:
        """The process id; the process must have been started."""
        if self._popen is None:
            raise EmbeddedError(f"{self.spec.name} was not started")
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and not self._exited.is_set()

    @property
    def exit_status(self) -> int | None:
        """Exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._popen.returncode if self._popen is not None and self._exited.is_set() else None

    def start(self) -> None:
        """Start the process; return at once.

        Raises:
            EmbeddedError: no process can be created, or no log file.
        """
        thread = threading.Thread(target=self._live, name=f"child {self.spec.name}", daemon=True)
        thread.start()
        self._started.wait()
        if self._start_error is not None:
            raise EmbeddedError(
                f"cannot start {self.spec.name}: {self._start_error.strerror or self._start_error}"
            ) from self._start_error

    def wait_ready(self, *, is_cancelled: Callable[[], bool] = never) -> float:
        """Wait until the health check passes; return the seconds since the start.

        Raises:
            ProcessFailedError: the process ended before.
            ProcessNotReadyError: the time-out passed; the process was killed.
            StoppedWhileStartingError: `is_cancelled` said so; the process goes on.
        """
        begin = time.monotonic()
        reason: str | None = "its health was not checked yet"
        while time.monotonic() - begin < self.spec.start_timeout_s:
            if self._exited.is_set():
                raise self.failure(" before it was ready")
            reason = self.spec.health_check()
            # Asked again after the check: another program may have answered it in the place of a dead child.
            if reason is None and self.is_running:
                return time.monotonic() - begin
            self._exited.wait(_HEALTH_INTERVAL_S)
            if is_cancelled():
                raise StoppedWhileStartingError(f"the start was interrupted at {self.spec.name}")
        waited_s = time.monotonic() - begin
        self.kill()
        raise ProcessNotReadyError(
            self.spec.name,
            waited_s=waited_s,
            reason=reason or "it ended",
            log_file=self.spec.log_file,
            log_tail=self.log_tail(),
        )

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end; return the exit status, or None when the time passed first."""
        self._exited.wait(timeout_s)
        return self.exit_status

    def stop(self, *, grace_s: float | None = None) -> int | None:
        """Ask the process to end (SIGTERM), kill it after the grace time, and wait.

        Returns:
            The exit status; None if it was never started, or hangs in the kernel even after SIGKILL.
        """
        self.terminate()
        if self.wait(self.spec.stop_grace_s if grace_s is None else grace_s) is None:
            self.kill()
        return self.exit_status

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM) and return at once."""
        self._stop_asked = True
        self.send_signal(signal.SIGTERM)
        # A stopped process sees SIGTERM only when it goes on.
        self.send_signal(signal.SIGCONT)

    def kill(self) -> int | None:
        """End the process and what it started at once (SIGKILL), and wait for that."""
        self._stop_asked = True
        if self._popen is None:
            return None
        with self._lock:
            if self._popen.returncode is None:
                _signal_group(self._popen.pid, signal.SIGKILL)
        return self.wait(_KILL_WAIT_S)

    def send_signal(self, number: int) -> None:
        """Send a signal to the process alone; without effect once it ended."""
        if self._popen is None:
            return
        with self._lock:  # the process id is certainly ours as long as nobody has collected the exit status
            if self._popen.returncode is None:
                os.kill(self._popen.pid, number)

    def log_tail(self) -> str:
        """Return the last lines that this run wrote to its log."""
        return log_files.tail(self.spec.log_file, since=self._log_begin)

    def failure(self, context: str = "") -> ProcessFailedError:
        """Describe the end of the process as an error; it must have ended."""
        status = self.exit_status
        assert status is not None
        return ProcessFailedError(
            self.spec.name,
            exit_status=status,
            log_file=self.spec.log_file,
            log_tail=self.log_tail(),
            context=context,
        )

    def _live(self) -> None:
        """Start the process and stay until it ends: the kernel ties its life to this thread, not to the process."""
        try:
            popen = self._open()
        except OSError as error:
            self._start_error = error
            self._exited.set()
            return
        finally:
            self._started.set()
        while not self._has_ended(popen):
            time.sleep(_POLL_S)
        _signal_group(popen.pid, signal.SIGKILL)  # what it has started and left behind
        self._exited.set()

    def _has_ended(self, popen: subprocess.Popen[bytes]) -> bool:
        with self._lock:
            return popen.poll() is not None

    def _open(self) -> subprocess.Popen[bytes]:
        self.spec.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.spec.log_file.open("ab") as log:
            self._log_begin = log.tell()
            self.started_at = time.time()
            self._popen = subprocess.Popen(  # noqa: S603 - runs what the caller names, without a shell
                self._guarded(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.spec.environment is None else dict(self.spec.environment),
                start_new_session=True,
            )
        return self._popen

    def _guarded(self) -> list[str]:
        watch = ["--watch"] if self._watch else []
        parent = ["--parent", str(os.getpid())]
        return [sys.executable, "-I", "-S", guard.__file__, *parent, *watch, "--", *self.spec.argv]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _signal_group(pid: int, number: int) -> None:
    # EPERM: macOS says so when only a process that has ended is left in the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
