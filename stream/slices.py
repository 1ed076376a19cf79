"""How much of a fetch is folded at once: about a quarter of a second of CPU, whatever the events are and the machine is.

Results do not depend on where the log is cut (docs/delivery.md), so a clock may decide it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np

from tokentide.stream.decode.batch import Int64s
from tokentide.stream.record_batch import RecordBatch

_Result = TypeVar("_Result")

SLICE_S: Final = 0.25
"""Of CPU. What else needs the partitions, a checkpoint above all, waits for one slice; the event loop waits for none. An
ordinary fetch, of up to 20,000 events, takes half of it."""

LEAST_BYTES: Final = 16_384
"""A slice costs a few milliseconds whatever is in it. The heaviest events, parts of calls, take as long for so many bytes."""
MOST_BYTES: Final = 16_777_216
_FIRST_BYTES: Final = 2_097_152

_RECORD_BYTES: Final = 100
"""What a record counts beside its value: a batch may hold nothing but empty ones."""

_GROWTH: Final = 2.0
_SHRINKING: Final = 0.1


class Cut:
    """A batch that is worked off in slices."""

    def __init__(self, batch: RecordBatch) -> None:
        """Nothing of it is done yet."""
        self._batch = batch
        self._ends: Int64s | None = None
        self._done = 0
        self.is_done = False
        """Whether nothing is left."""

    def next(self, most_bytes: int) -> tuple[RecordBatch, int]:
        """Take the next slice, of so many bytes at the most unless it is one record; return it, and its size.

        What is left is cut evenly: a small rest would cost as much as any slice.
        """
        batch, first = self._batch, self._done
        if self._ends is None:
            self._ends = np.cumsum(_sizes(batch.values))
        before = int(self._ends[first - 1]) if first else 0
        left = int(self._ends[-1]) - before if len(self._ends) else 0
        share = -(-left // max(1, -(-left // most_bytes)))
        after = int(np.searchsorted(self._ends, before + share)) + 1
        if after <= len(self._ends) and int(self._ends[after - 1]) - before > most_bytes:
            after -= 1
        after = min(max(after, first + 1), len(batch.values))
        self._done, self.is_done = after, after == len(batch.values)
        size = int(self._ends[after - 1]) - before if after else 0
        return (batch if not first and self.is_done else batch.part(first, after)), size


def _sizes(values: Sequence[bytes | None]) -> Int64s:
    try:
        sizes = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type] # tried
    except TypeError:  # a deletion mark
        sizes = np.fromiter((len(value or b"") for value in values), np.int64, len(values))
    return sizes + _RECORD_BYTES


class Slices:
    """Learns from each slice how large the next may be. All partitions share it: events of one topic are alike."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        """Begin with two megabytes; `clock` gives the CPU seconds of the thread that works."""
        self._clock = clock
        self.most_bytes = _FIRST_BYTES
        """What the next slice may hold; one record may be more."""

    def work_off(self, cut: Cut, work: Callable[[RecordBatch], _Result]) -> _Result:
        """Do the work for the next slice, and return its result."""
        began_s = self._clock()
        part, size = cut.next(self.most_bytes)
        result = work(part)
        self._learn(size, self._clock() - began_s, was_full=not cut.is_done)
        return result

    def _learn(self, size: int, spent_s: float, *, was_full: bool) -> None:
        factor = SLICE_S / spent_s if spent_s > 0 else _GROWTH
        if factor < 1:
            # By what was done, not by what might have been: it may have been one large record, or the end of a fetch.
            aim = int(size * max(_SHRINKING, factor))
            self.most_bytes = min(self.most_bytes, max(LEAST_BYTES, aim))
        elif was_full:
            aim = int(self.most_bytes * min(_GROWTH, factor))
            self.most_bytes = min(MOST_BYTES, aim)
