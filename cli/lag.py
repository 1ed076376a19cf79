"""How far the workers are behind: committed offsets against the ends of the events topic.

A worker commits only after ClickHouse has the rows, so "committed up to the end" means "stored".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

POLL_SECONDS: Final = 0.2
BEGIN_ANEW: Final = (
    "A worker of the group notices after some seconds, says so in its log, and reads such a partition from its first record; what is "
    "stored already is not stored twice. Is none running? Start one: `tokentide worker`."
)
"""What to do where a group has committed past the end of its partitions."""


class PartitionLag(NamedTuple):
    """One partition of the events topic."""

    partition: int
    begin: int
    end: int
    committed: int | None
    """None: nothing was ever committed."""

    @property
    def lag(self) -> int:
        """Offsets that are not known to be stored."""
        return max(0, self.end - max(self.committed or 0, self.begin))

    @property
    def is_foreign(self) -> bool:
        """The commit is past the end: it belongs to an earlier topic of the same name, if the end is newer than it."""
        return self.committed is not None and self.committed > self.end


class OffsetSource(Protocol):
    """What the broker knows; `tokentide.cli.kafka_access` has the real one."""

    def bounds(self) -> Mapping[int, tuple[int, int]]:
        """First offset still there and the offset after the last record, by partition."""

    def committed(self) -> Mapping[int, int]:
        """Committed offsets of the workers' group; partitions without one are left out."""

    def has_records(self, partition: int, begin: int, end: int) -> bool:
        """Whether any record lies in `[begin, end)`; transactions leave offsets without one."""


@dataclass(frozen=True, slots=True)
class WaitResult:
    """How waiting ended."""

    lags: Sequence[PartitionLag]
    seconds: float
    foreign: Sequence[int] = ()
    """Partitions with a commit past their end of now: it belongs to an earlier topic of the same name. None of their records
    count as stored."""

    @property
    def is_stored(self) -> bool:
        """Everything that was in the topic when waiting began is stored."""
        return not any(lag.lag for lag in self.lags)


def partition_lags(source: OffsetSource) -> list[PartitionLag]:
    """The state now, by partition."""
    committed = source.committed()
    return [
        PartitionLag(partition, begin, end, committed.get(partition))
        for partition, (begin, end) in sorted(source.bounds().items())
    ]


def wait_until_stored(
    source: OffsetSource,
    *,
    timeout_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    report: Callable[[Sequence[PartitionLag]], None],
) -> WaitResult:
    """Wait until the group has committed all that is in the topic now; later arrivals do not count.

    Args:
        source: the broker.
        timeout_s: longest wait; at least one look is taken.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.
        report: told the state after each look.
    """
    started = clock()
    goal = source.bounds()
    tails = _Tails(source)
    while True:
        committed = source.committed()
        lags = [PartitionLag(p, begin, end, committed.get(p)) for p, (begin, end) in sorted(goal.items())]
        lags = [tails.without_empty(lag) for lag in lags]
        report(lags)
        result = WaitResult(lags, clock() - started)
        is_over = result.seconds >= timeout_s
        if result.is_stored or is_over:
            result = _without_foreign(source, result)
            if result.is_stored or is_over:
                return result
        sleep(min(POLL_SECONDS, max(0.01, timeout_s - result.seconds)))


def _without_foreign(source: OffsetSource, result: WaitResult) -> WaitResult:
    """The same; of partitions with a commit that belongs to an earlier topic, nothing is known to be stored."""
    foreign = _foreign(source, result.lags)
    lags = [lag._replace(committed=None) if lag.partition in foreign else lag for lag in result.lags]
    return replace(result, lags=lags, foreign=foreign)


def _foreign(source: OffsetSource, lags: Sequence[PartitionLag]) -> list[int]:
    """Under traffic the workers commit what came after the ends were taken, so the ends of now decide."""
    suspects = [lag for lag in lags if lag.is_foreign]
    bounds = source.bounds() if suspects else {}
    return [
        lag.partition
        for lag in suspects
        if lag.partition in bounds and lag._replace(end=bounds[lag.partition][1]).is_foreign
    ]


class _Tails:
    """Counts offsets behind the commit as stored where no record is left among them.

    The markers of a transaction, and what it took back, have offsets that no consumer gets and so none commits.
    A tail is looked at when its partition has stood still since the last look, and once for each commit.
    """

    def __init__(self, source: OffsetSource) -> None:
        self._source = source
        self._seen: dict[int, int] = {}
        self._full: dict[int, int] = {}

    def without_empty(self, lag: PartitionLag) -> PartitionLag:
        """The partition, as committed to its end where nothing is left to store."""
        start = max(lag.committed or 0, lag.begin)
        stood_still = self._seen.get(lag.partition) == start
        self._seen[lag.partition] = start
        if not lag.lag or not stood_still or self._full.get(lag.partition) == start:
            return lag
        if self._source.has_records(lag.partition, start, lag.end):
            self._full[lag.partition] = start
            return lag
        return lag._replace(committed=lag.end)
