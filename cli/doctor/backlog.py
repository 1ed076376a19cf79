"""Whether what waits in the events topic is being stored: a backlog is well while it moves or is young."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tokentide.cli.doctor.findings import Finding, Reporter
from tokentide.cli.lag import BEGIN_ANEW, PartitionLag

if TYPE_CHECKING:
    from tokentide.config.settings import WorkerSettings

YOUNG_S: Final = 15.0
"""Three times the longest that a worker takes from a record to its commit as the settings are by default."""
LONGEST_LOOK_S: Final = 10.0
_LOOK_EVERY_S: Final = 1.0


class Backlog(Protocol):
    """What the broker knows; `tokentide.cli.offsets.KafkaOffsets` is the real one."""

    def committed(self) -> Mapping[int, int]:
        """Committed offsets of the workers' group; partitions without one are left out."""

    def oldest_timestamp_ms(self, starts: Mapping[int, int]) -> int | None:
        """Kafka's time of the oldest record of those from these offsets on, ms since 1970; None: there is none."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a worker may take before it counts as standing still."""

    young_s: float = YOUNG_S
    """Records that wait no longer than this are on their way."""
    look_s: float = 6.0
    """A worker commits at least this often while there is something to commit."""

    @classmethod
    def with_settings(cls, worker: WorkerSettings) -> Patience:
        """Of workers with these settings."""
        longest_s = worker.checkpoint_max_seconds
        return cls(young_s=max(YOUNG_S, 3 * longest_s), look_s=min(LONGEST_LOOK_S, longest_s + 1))


def backlog_finding(
    report: Reporter,
    source: Backlog,
    lags: Sequence[PartitionLag],
    *,
    group: str,
    patience: Patience | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Finding:
    """What to say of the backlog; looks again for some seconds where old records wait.

    Args:
        report: makes the finding.
        source: asked again what is committed.
        lags: the first look.
        group: the workers' group.
        patience: what is old, and how long to look.
        clock: seconds since 1970.
        sleep: waits for so many seconds.
    """
    foreign = [lag.partition for lag in lags if lag.is_foreign]
    if foreign:
        return report.warn(
            "backlog",
            f"{group} has committed past the end of partitions {foreign}: the topic was created anew, or the group was moved",
            BEGIN_ANEW,
        )
    left = sum(lag.lag for lag in lags)
    if left == 0:
        return report.ok("backlog", "everything that was sent is stored")
    worst = max(lags, key=lambda lag: lag.lag)
    text = f"{left:,} records not stored yet, most in partition {worst.partition} ({worst.lag:,})"
    patience = patience or Patience()
    waits_s = _waits_s(source, lags, clock)
    if waits_s is None or waits_s <= patience.young_s or _moves(source, lags, patience.look_s, sleep):
        return report.ok("backlog", text)
    return report.warn(
        "backlog",
        f"{text}; the oldest waits for {waits_s:,.0f} s, and nothing moved in {patience.look_s:.0f} s",
        "No worker stores them: is one running, does it answer, and what do the last lines of its log say?",
    )


def _waits_s(source: Backlog, lags: Sequence[PartitionLag], clock: Callable[[], float]) -> float | None:
    """How long the oldest record waits; None where only offsets without a record are left."""
    oldest_ms = source.oldest_timestamp_ms(
        {lag.partition: max(lag.committed or 0, lag.begin) for lag in lags if lag.lag}
    )
    return None if oldest_ms is None else clock() - oldest_ms / 1000


def _moves(
    source: Backlog, lags: Sequence[PartitionLag], look_s: float, sleep: Callable[[float], None]
) -> bool:
    """Whether anything is committed within so many seconds."""
    before = {lag.partition: lag.committed for lag in lags if lag.committed is not None}
    for _ in range(max(1, round(look_s / _LOOK_EVERY_S))):
        sleep(_LOOK_EVERY_S)
        if dict(source.committed()) != before:
            return True
    return False
