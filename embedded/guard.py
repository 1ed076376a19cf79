"""Runs a program that must not outlive the process that asked for it, not even after its SIGKILL.

    python guard.py --parent PID [--watch] -- PROGRAM ARGUMENT...

Linux: asks the kernel for SIGKILL at the death of the parent (`prctl(PR_SET_PDEATHSIG)`), then becomes the
program, so that nothing is left of this one and the process id stays. Elsewhere, or with `--watch`: stays as the
program's parent, passes signals on, and kills the program when its own parent is gone.

Started by path with `python -I -S` (about 15 ms), so it may import the standard library only. The kernel sends
the signal when the *thread* that started the child ends: `process.py` keeps that thread alive.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h; the setting survives exec, except of set-uid programs."""

PARENT_GONE: Final = 125
CANNOT_RUN: Final = 126
NOT_FOUND: Final = 127
BAD_USAGE: Final = 2

WATCH_INTERVAL_S: Final = 0.2
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Run the program; return its exit code if this process stays beside it."""
    options, _, program = _split(arguments)
    if not program or len(options) < 2 or options[0] != "--parent" or not options[1].isdigit():
        sys.stderr.write("usage: guard.py --parent PID [--watch] -- PROGRAM ARGUMENT...\n")
        return BAD_USAGE
    parent = int(options[1])
    may_become = sys.platform == "linux" and "--watch" not in options
    if may_become and _die_with_parent():
        _become(program, parent)
    return _watch(program, parent)


def _split(arguments: Sequence[str]) -> tuple[list[str], str, list[str]]:
    if "--" not in arguments:
        return list(arguments), "", []
    at = list(arguments).index("--")
    return list(arguments[:at]), "--", list(arguments[at + 1 :])


def _die_with_parent() -> bool:
    """Ask for SIGKILL at the parent's death; False where a sandbox forbids it."""
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)) == 0


def _become(program: list[str], parent: int) -> NoReturn:
    # Checked after prctl: a parent that died before it sends no signal any more.
    if os.getppid() != parent:
        sys.exit(PARENT_GONE)
    # Python ignores these, and exec hands that on; the program shall find the usual state.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(program[0], program)  # noqa: S606 - runs what the caller names; no shell is wanted
    except OSError as error:
        _cannot_run(program[0], error)


def _watch(program: list[str], parent: int) -> int:
    if os.getppid() != parent:
        return PARENT_GONE
    received: list[int] = []
    for number in _PASSED_ON:  # before the start: a signal that comes in between must not be lost
        signal.signal(number, lambda number, _frame: received.append(number))
    try:
        child = subprocess.Popen(program)  # noqa: S603 - runs what the caller names
    except OSError as error:
        _cannot_run(program[0], error)
    while not _has_ended(child):
        while received:
            child.send_signal(received.pop(0))
        if os.getppid() != parent:
            child.kill()
            child.wait()
            return PARENT_GONE
    return _end_like(child.returncode)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Wait a moment for the end; a signal is passed on after that moment at the latest."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=WATCH_INTERVAL_S)
    return child.returncode is not None


def _end_like(exit_status: int) -> int:
    """End as the program ended, so that whoever waits for this process sees the same."""
    if exit_status >= 0:
        return exit_status
    number = -exit_status
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def _cannot_run(program: str, error: OSError) -> NoReturn:
    sys.stderr.write(f"cannot run {program}: {error.strerror}\n")
    sys.exit(NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_RUN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
