"""What of a partition waits for its checkpoint: rows, evaluations and dead letters, of which nothing is durable yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from tokentide.schemas.rejects import DeadLetter
from tokentide.stream.decode.batch import Other, Refusal
from tokentide.stream.evaluations import evaluation_rows
from tokentide.stream.letters import LetterPolicy, RecordPlace, dead_letter
from tokentide.stream.record_batch import RecordBatch, Source

_LETTER_BYTES = 2_000
"""About what a dead letter takes beside the refused bytes."""


class Parcel(NamedTuple):
    """What a checkpoint takes."""

    rows: Sequence[pa.Table] = ()
    evaluations: Sequence[pa.Table] = ()
    letters: Sequence[DeadLetter] = ()


class Held:
    """Grows batch by batch until a checkpoint takes it, or it is let go."""

    def __init__(self, source: Source, policy: LetterPolicy) -> None:
        self._source = source
        self._policy = policy
        self._rows: list[pa.Table] = []
        self._evaluations: list[pa.Table] = []
        self._letters: list[DeadLetter] = []
        self.bytes = 0
        """Memory of all of it."""
        self.has_let_go = False

    @property
    def row_count(self) -> int:
        """Event rows."""
        return sum(table.num_rows for table in self._rows)

    def rows(self, table: pa.Table) -> None:
        """Hold event rows."""
        if table.num_rows and not self.has_let_go:
            self._rows.append(table)
            self.bytes += table.nbytes

    def evaluations(self, others: Sequence[Other], batch: RecordBatch, stored_to: int) -> None:
        """Hold those of the events that are evaluations and not durable."""
        rows = evaluation_rows(others, self._source, batch, stored_to)
        if rows.num_rows and not self.has_let_go:
            self._evaluations.append(rows)
            self.bytes += rows.nbytes

    def letters(self, refusals: Sequence[Refusal], batch: RecordBatch, stored_to: int) -> None:
        """Hold the dead letters of what was refused, as far as they are not durable."""
        if self.has_let_go:
            return
        for refusal in refusals:
            offset = int(batch.offsets[refusal.record])
            if offset < stored_to:
                continue
            place = RecordPlace(
                source=self._source.name,
                topic=self._source.topic,
                partition=self._source.partition,
                offset=offset,
                timestamp_ms=int(batch.timestamps_ms[refusal.record]),
                key=batch.keys[refusal.record],
            )
            letter = dead_letter(refusal, place, self._policy)
            self._letters.append(letter)
            self.bytes += len(letter.value_base64 or "") + _LETTER_BYTES

    def take(self) -> Parcel:
        """Give everything away."""
        taken = Parcel(self._rows, self._evaluations, self._letters)
        self._rows, self._evaluations, self._letters, self.bytes = [], [], [], 0
        return taken

    def let_go(self) -> None:
        """Forget everything, and hold nothing from now on."""
        self.take()
        self.has_let_go = True
