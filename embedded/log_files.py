"""Log files of child processes: read their end, keep their size in bounds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

MAX_LOG_BYTES: Final = 10 * 1024 * 1024
"""Size at which a log moves to `NAME.1`; with one older file kept, a child costs 20 MB of disk at most."""

TAIL_LINES: Final = 15
_TAIL_BYTES: Final = 8192
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def tail(log_file: Path, *, since: int = 0, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, without terminal colours.

    Args:
        log_file: the file; a missing one counts as empty.
        since: byte position where this run of the process began, so that an older run is not quoted.
        lines: how many lines at most.
    """
    try:
        with log_file.open("rb") as file:
            size = file.seek(0, 2)
            begin = since if since <= size else 0  # a smaller file was capped meanwhile
            file.seek(max(begin, size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(_ANSI.sub("", text).strip().splitlines()[-lines:])


def cap(log_file: Path, *, max_bytes: int = MAX_LOG_BYTES) -> bool:
    """Move a log that is too large to `NAME.1` and empty it; return whether that was done.

    The file is copied and emptied in place, since the process writes on through the handle that it has: it must
    have been opened for appending. Lines written between the copy and the emptying are lost; that is a matter
    of microseconds, and of logs.
    """
    try:
        if log_file.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(log_file, log_file.with_name(log_file.name + ".1"))
    with log_file.open("r+b") as file:
        file.truncate(0)
    return True
