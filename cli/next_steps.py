"""Commands to copy: this program as the user who started it can start it again, and what to do with a running Tokentide."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from tokentide.cli.arguments import PROGRAM

INCIDENT_TRAFFIC: Final = (
    "simulate --history 90m --duration 8m "
    "--incident error_burst:service=checkout,start=30,duration=1m,rate=0.9 --quiet"
)
"""Enough past for a baseline, a burst of a minute, and traffic until after the incident is resolved: its span of five minutes
has to pass, and a series that falls silent stays open."""
INCIDENT_COURSE: Final = "it opens within a minute and is resolved five to six minutes later"
"""How the incident above goes, from when the history is stored."""
SPEND: Final = (
    'query "SELECT service, sum(calls), sum(priced_calls), sum(cost_usd) FROM costs GROUP BY service"'
)
"""The view has NULL where no call has a price, which a sum over `windows` shows as 0."""


def program(*, started_as: str | None = None, executable: str | None = None, path: str | None = None) -> str:
    """What to write for `tokentide` in a shell line, quoted where it has to be.

    Its name where PATH leads to this installation; else the path by which it was started, as after `make demo`, or the
    interpreter with `-m`.

    Args:
        started_as: `sys.argv[0]`.
        executable: the interpreter, `sys.executable`.
        path: PATH.
    """
    script = Path(sys.argv[0] if started_as is None else started_as)
    interpreter = Path(sys.executable if executable is None else executable)
    found = shutil.which(PROGRAM, path=path)
    if found is not None and (_is_same(Path(found), script) or Path(found).parent == interpreter.parent):
        return PROGRAM
    if script.name == PROGRAM:
        # A shell looks a bare name up on PATH, where it is not.
        return shlex.quote(str(script) if os.sep in str(script) else f"{os.curdir}{os.sep}{script}")
    return f"{shlex.quote(str(interpreter))} -m {PROGRAM}"


def watch_an_incident() -> list[str]:
    """Shell lines for a terminal beside a running Tokentide: an incident, and what it costs."""
    name = program()
    return [
        f"{name} {INCIDENT_TRAFFIC} &",
        f"{name} tail anomalies    # the incident: {INCIDENT_COURSE}; Ctrl-C",
        f"{name} {SPEND}",
    ]


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
