"""Workers with a defect each, which the model of delivery must find: its negative controls. Each breaks the real code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.delivery_model import Defect
from tokentide.stream.decode.batch import Int64s
from tokentide.stream.fold.extent import Extent
from tokentide.stream.fold.segment import SegmentFold
from tokentide.stream.ingest import Ingest
from tokentide.stream.partition import PartitionFold
from tokentide.stream.resume import Start


class CommitsFirst(Ingest):
    """Commits what it is about to store."""

    async def _store(self, taken: Mapping[Any, Any]) -> None:
        await self._outside.commit({place: checkpoint.position for place, (_, checkpoint) in taken.items()})
        await super()._store(taken)


class SkipsTheLedger(Ingest):
    """Writes no ledger row for a checkpoint of one partition alone."""

    async def _store(self, taken: Mapping[Any, Any]) -> None:
        if len(taken) == 1:
            taken = {
                place: (assigned, checkpoint._replace(ledger=checkpoint.ledger.slice(0, 0)))
                for place, (assigned, checkpoint) in taken.items()
            }
        await super()._store(taken)


class GoesOnAfterAFailure(Ingest):
    """Keeps the state of partitions whose checkpoint failed, although its rows are given away."""

    async def checkpoint(self) -> None:
        kept = dict(self._assigned), dict(self._starts)
        try:
            await super().checkpoint()
        except BaseException:
            self._assigned, self._starts = kept
            raise


class TakesAnyGeneration(Ingest):
    """Takes batches that were fetched in another generation."""

    async def take(self, fetched: Any, generation: int) -> None:
        of_now = max((begun for _, begun in self._starts.values()), default=generation)
        await super().take(fetched, of_now)


class _EndsWithTheBatch(Extent):
    def end(self, offsets: Int64s, cost_ns: Int64s, read_to: int) -> int:
        super().end(offsets, cost_ns, read_to)
        return min(read_to, self._latest)


class EndsSpansWithBatches(PartitionFold):
    """Ends a span that is full with the batch in hand."""

    def _open_span(self) -> SegmentFold:
        span = super()._open_span()
        span.extent.__class__ = _EndsWithTheBatch
        return span


def _from_the_commit(start: Start, committed: int | None) -> Start:
    return start if committed is None else start._replace(read_from=committed)


def _all_again(start: Start, committed: int | None) -> Start:
    del committed
    return start._replace(stored_to=start.read_from)


def _without_what_waits(start: Start, committed: int | None) -> Start:
    del committed
    return start._replace(waiting=())


def _as_if_known(start: Start, committed: int | None) -> Start:
    del committed
    return start._replace(is_provisional=False)


DEFECTS_OF_PARTS = {
    "what waits is forgotten": Defect(plan=_without_what_waits),
    "stored without the ledger": Defect(plan=_as_if_known),
}
"""Found only where calls come in parts."""

DEFECTS = {
    "commit first": Defect(CommitsFirst),
    "no ledger": Defect(SkipsTheLedger),
    "goes on after a failure": Defect(GoesOnAfterAFailure),
    "any generation": Defect(TakesAnyGeneration),
    "no seek back": Defect(plan=_from_the_commit),
    "stored_to forgotten": Defect(plan=_all_again),
    "spans end with batches": Defect(partition=EndsSpansWithBatches),
}
