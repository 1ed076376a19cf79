"""A place for one child process that is started again when it dies.

    new ──start──▶ starting ──healthy──▶ running ──dies──▶ waiting ──delay over──▶ starting …
                        └──────dies or too slow──────▶ waiting           stopped ◀── asked to stop

Driven by `look`, which the supervisor calls several times a second; no thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tokentide.embedded.process import ManagedProcess, never
from tokentide.embedded.progress import Progress, Report
from tokentide.embedded.restarts import RestartHistory, RestartPolicy
from tokentide.embedded.run_state import ProcessState, describe

SlotState = Literal["new", "starting", "running", "waiting", "stopped"]


class Slot:
    """One child and its successors."""

    def __init__(self, make: Callable[[], ManagedProcess], *, policy: RestartPolicy, report: Report) -> None:
        """Prepare; `make` is called for each start and must return a process of the same name."""
        self._make = make
        self._history = RestartHistory(policy)
        self._report = report
        self._since_s = 0.0
        self._due_s = 0.0
        self.process = make()
        self.state: SlotState = "new"
        self.restarts = 0

    @property
    def name(self) -> str:
        """The name of the process."""
        return self.process.spec.name

    def start(self, now_s: float) -> None:
        """Start the first process; return at once."""
        self._report(Progress(self.name, "starting"))
        self._begin(now_s)

    def adopt(self, process: ManagedProcess) -> None:
        """Take a process that runs and is ready as the first one."""
        self.process = process
        self.state = "running"

    def wait_ready(self, *, is_cancelled: Callable[[], bool] = never) -> None:
        """Wait for the first process; errors as of `ManagedProcess.wait_ready`."""
        seconds = self.process.wait_ready(is_cancelled=is_cancelled)
        self.state = "running"
        self._report(Progress(self.name, "ready", seconds))

    def look(self, now_s: float) -> bool:
        """Do what is due.

        Args:
            now_s: seconds of a clock that only goes forward.

        Returns:
            Whether the process is another one than before, so that what is known of it must be told anew.

        Raises:
            ProcessFailedError: it died too often; it is not started again.
        """
        if self.state == "waiting" and now_s >= self._due_s:
            self.process = self._make()
            self.restarts += 1
            self._begin(now_s)
            return True
        if self.state in ("starting", "running") and not self.process.is_running:
            self._after_death(now_s)
        elif self.state == "starting":
            self._look_at_start(now_s)
        return False

    def mark_stopped(self) -> None:
        """Let the process end for good: it is not started again."""
        self.state = "stopped"

    def describe(self) -> ProcessState:
        """Return what is known of the process for the run's file."""
        return describe(self.process, restarts=self.restarts)

    def _begin(self, now_s: float) -> None:
        self._since_s = now_s
        self.state = "starting"
        self.process.start()

    def _look_at_start(self, now_s: float) -> None:
        if self.process.spec.health_check() is None:
            self.state = "running"
            self._report(Progress(self.name, "ready", now_s - self._since_s))
        elif now_s - self._since_s > self.process.spec.start_timeout_s:
            self.process.kill()  # counts as a death at the next look

    def _after_death(self, now_s: float) -> None:
        delay_s = self._history.delay_after_death(now_s)
        if delay_s is None:
            deaths, window_s = self._history.recent_deaths, self._history.policy.window_s
            raise self.process.failure(
                f" ({deaths} deaths within {window_s:.0f} s, so it is not started again)"
            )
        self._due_s = now_s + delay_s
        self.state = "waiting"
        self._report(Progress(self.name, "restarting", delay_s, str(self.process.failure())))
