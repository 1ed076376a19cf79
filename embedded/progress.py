"""What a one-machine run tells those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

ProgressEvent = Literal["starting", "ready", "restarting", "warning", "stopping", "stopped", "failed"]


class Progress(NamedTuple):
    """Something that a user may want to see."""

    stage: str
    """`broker`, `clickhouse`, `prepare`, `worker-1`, …; `run` for all of it."""
    event: ProgressEvent
    seconds: float = 0.0
    """`ready`: since the start; `restarting`: until the next start; `stopped`: since it was asked to."""
    detail: str = ""
    """A sentence for people; may have several lines, with the end of a log."""


Report = Callable[[Progress], None]
