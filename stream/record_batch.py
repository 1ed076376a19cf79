"""What the ingest stage gets: the records of one partition that one fetch brought, and which log they are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tokentide.stream.decode.batch import Int64s


class RecordBatch(NamedTuple):
    """The records of one partition from `begin` to `end` (exclusive)."""

    begin: int
    end: int
    """Where the next batch begins. Offsets without a record are gaps: transaction markers, compaction."""
    offsets: Int64s
    timestamps_ms: Int64s
    """Kafka's time of each record."""
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]

    def since(self, position: int) -> RecordBatch:
        """Without what lies below a position; for a log that is read again. `position` is at most `end`."""
        if position <= self.begin:
            return self
        skipped = int(np.searchsorted(self.offsets, position))
        return RecordBatch(
            position,
            self.end,
            self.offsets[skipped:],
            self.timestamps_ms[skipped:],
            self.keys[skipped:],
            self.values[skipped:],
        )

    def part(self, first: int, after: int) -> RecordBatch:
        """The records `first` … `after` (exclusive) by their place in the batch, at least one unless there are none.

        Parts one after the other make up the batch; a gap between two belongs to the second, one at the end to the last.
        """
        return RecordBatch(
            int(self.offsets[first - 1]) + 1 if first else self.begin,
            int(self.offsets[after - 1]) + 1 if after < len(self.offsets) else self.end,
            self.offsets[first:after],
            self.timestamps_ms[first:after],
            self.keys[first:after],
            self.values[first:after],
        )


class Source(NamedTuple):
    """Which log the partition is."""

    name: str
    """Topic and topic id, so that a topic that is deleted and made anew is another source."""
    topic: str
    partition: int
