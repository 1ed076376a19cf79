"""Ends processes in order: all are asked at once, and share one grace time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tokentide.embedded.process import ManagedProcess
from tokentide.embedded.progress import Progress, Report


def end_together(processes: Sequence[ManagedProcess], *, report: Report) -> None:
    """Ask processes to end, wait for all of them, kill those that are late; return when none is left.

    Each has the grace time of its own description, counted from now.
    """
    begin = time.monotonic()
    running = [process for process in processes if process.is_running]
    for process in running:
        report(Progress(process.spec.name, "stopping"))
        process.terminate()
    for process in running:
        grace_s = process.spec.stop_grace_s
        is_late = process.wait(max(0.0, begin + grace_s - time.monotonic())) is None
        if is_late:
            process.kill()
        detail = f"it did not end within {grace_s:.0f} s and was killed" if is_late else ""
        report(Progress(process.spec.name, "stopped", time.monotonic() - begin, detail))
