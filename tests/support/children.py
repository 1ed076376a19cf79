"""Starts programs that do not outlive the tests, however these end: Ctrl-C, a limit of time, SIGKILL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokentide.embedded import guard


def bound(argv: Sequence[str | Path]) -> list[str]:
    """Arguments that run the same program, with the same process id, ended by the kernel when this process ends."""
    assert threading.current_thread() is threading.main_thread(), "the kernel binds a child to a thread"
    return [sys.executable, "-I", "-S", guard.__file__, "--parent", str(os.getpid()), "--", *map(str, argv)]


def start(argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen` of a program that ends with this process."""
    return subprocess.Popen(bound(argv), **options)
