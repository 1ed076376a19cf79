"""Progress of long work on standard error: one refreshed line on a terminal, a plain line every few seconds else.

Owns how progress looks. Does not own what is counted, and never writes to standard output, which may
carry the data itself. The clock and the stream are parameters.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Protocol, Self

Style = Literal["terminal", "lines", "quiet"]

TERMINAL_EVERY_S: Final = 0.2
LINES_EVERY_S: Final = 5.0
RATE_OVER_S: Final = 5.0
"""The rate shown is the one of the last seconds, so that a stall is seen at once."""
CLEAR_LINE: Final = "\r\x1b[K"


class TextStream(Protocol):
    """What progress is written to: standard error, or a test's buffer."""

    def write(self, text: str, /) -> int:
        """Write text."""

    def flush(self) -> None:
        """Make it visible."""

    def isatty(self) -> bool:
        """A person looks at it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one line of progress says."""

    label: str
    events: int
    size_bytes: int
    elapsed_s: float
    events_per_s: float
    total_events: int | None = None
    fraction_done: float | None = None
    """0 … 1; by events where a total is known, else as the caller measures it, such as bytes read."""


def describe(snapshot: Snapshot) -> str:
    """One line: label, events of total, percent, size, rates, and the time left where it can be told."""
    parts = [snapshot.label, _count(snapshot)]
    if snapshot.fraction_done is not None:
        parts.append(f"{snapshot.fraction_done:.1%}")
    if snapshot.size_bytes:
        parts.append(describe_bytes(snapshot.size_bytes))
    parts.append(f"{snapshot.events_per_s:,.0f} events/s")
    if snapshot.size_bytes and snapshot.elapsed_s > 0:
        parts.append(f"{describe_bytes(snapshot.size_bytes / snapshot.elapsed_s)}/s")
    left_s = _left_s(snapshot)
    if left_s is not None:
        parts.append(f"{describe_duration(left_s)} left")
    return "  ".join(parts)


def _count(snapshot: Snapshot) -> str:
    if snapshot.total_events is None:
        return f"{snapshot.events:,} events"
    return f"{snapshot.events:,} of {snapshot.total_events:,} events"


def _left_s(snapshot: Snapshot) -> float | None:
    """By the mean rate since the start: steadier than the rate of the last seconds."""
    done = snapshot.fraction_done
    if done is None or done <= 0 or done >= 1:
        return None
    return snapshot.elapsed_s * (1 - done) / done


def describe_bytes(size_bytes: float) -> str:
    """Decimal units, as disks and networks count: `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def describe_duration(duration_s: float) -> str:
    """Minutes and seconds, or hours, minutes and seconds: `2:05`, `1:02:05`."""
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def style_of(stream: TextStream, *, quiet: bool = False) -> Style:
    """How to report to this stream."""
    if quiet:
        return "quiet"
    return "terminal" if stream.isatty() else "lines"


class Progress:
    """Counts what was done and says so now and then; use it as a context manager, which ends with a line of totals, unless
    an error came before anything was done.

    Cheap enough to be told of every event: it looks at the clock, and writes only when a line is due.
    """

    def __init__(
        self,
        label: str,
        *,
        total_events: int | None = None,
        stream: TextStream | None = None,
        style: Style | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._total = total_events
        self._stream: TextStream = stream if stream is not None else sys.stderr
        self._style = style if style is not None else style_of(self._stream)
        self._clock = clock
        self._every_s = TERMINAL_EVERY_S if self._style == "terminal" else LINES_EVERY_S
        self._started = self._next_check = clock()
        self._next_check += self._every_s
        self._events = 0
        self._size_bytes = 0
        self._fraction: float | None = None
        self._samples: deque[tuple[float, int]] = deque([(self._started, 0)])
        self._line_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self._events:
            self.finish()
        elif self._line_open:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()

    def expect(self, total_events: int) -> None:
        """Tell the number of events there will be, once it is known."""
        self._total = total_events

    def advance(self, events: int = 0, size_bytes: int = 0, *, fraction_done: float | None = None) -> None:
        """Count what was done since the last call; `fraction_done` (0 … 1) is of the whole."""
        self._events += events
        self._size_bytes += size_bytes
        if fraction_done is not None:
            self._fraction = fraction_done
        self.tick()

    def tick(self) -> None:
        """Write a line if one is due; call it while waiting, too."""
        now = self._clock()
        if now < self._next_check:
            return
        self._next_check = now + self._every_s
        self._sample(now)
        self._write(describe(self.snapshot(now)), final=False)

    def note(self, text: str) -> None:
        """Write a line of its own, above the refreshed one; also when quiet: notes are for the user."""
        clear = CLEAR_LINE if self._line_open else ""
        self._line_open = False
        self._stream.write(f"{clear}{text}\n")
        self._stream.flush()

    def finish(self) -> None:
        """Write the last line: totals, time taken and the mean rate."""
        elapsed_s = self._clock() - self._started
        parts = [self._label, f"{self._events:,} events"]
        if self._size_bytes:
            parts.append(describe_bytes(self._size_bytes))
        parts.append(f"in {describe_duration(elapsed_s)}")
        if elapsed_s > 0:
            parts.append(f"{self._events / elapsed_s:,.0f} events/s")
        self._write("  ".join(parts), final=True)

    def snapshot(self, now: float) -> Snapshot:
        """What a line written now says."""
        fraction = self._events / self._total if self._total else self._fraction
        return Snapshot(
            label=self._label,
            events=self._events,
            size_bytes=self._size_bytes,
            elapsed_s=now - self._started,
            events_per_s=self._rate(now),
            total_events=self._total,
            fraction_done=None if fraction is None else min(fraction, 1.0),
        )

    def _sample(self, now: float) -> None:
        self._samples.append((now, self._events))
        while len(self._samples) > 2 and self._samples[1][0] <= now - RATE_OVER_S:
            self._samples.popleft()

    def _rate(self, now: float) -> float:
        then, events = self._samples[0]
        return (self._events - events) / (now - then) if now > then else 0.0

    def _write(self, text: str, *, final: bool) -> None:
        if self._style == "quiet":
            return
        if self._style == "lines":
            self._stream.write(f"{text}\n")
        else:
            width = shutil.get_terminal_size().columns
            self._stream.write(f"{CLEAR_LINE}{text[: width - 1]}" + ("\n" if final else ""))
            self._line_open = not final
        self._stream.flush()
