"""What the ingest stage counts for metrics, once a batch or a checkpoint; and what it says when too much is refused."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import pyarrow as pa
import structlog

from tokentide.schemas.rejects import RejectReason
from tokentide.sinks.clickhouse import FailedTry
from tokentide.sinks.codes import CODES
from tokentide.sinks.errors import RetriableSinkError
from tokentide.stream.reject_alarm import SPAN_S, AlarmKind, RejectAlarm, Saying
from tokentide.stream.taken import Taken
from tokentide.stream.transport.fetched import Place

log = structlog.get_logger("tokentide.rejects")

_MOST_REASONS: Final = 3


class Standing(NamedTuple):
    """Where an assigned partition stands."""

    position: int
    """The next offset to be read."""
    held_rows: int = 0
    held_bytes: int = 0
    has_let_go: bool = False
    """See `tokentide.stream.partition.PartitionFold.let_go`."""
    waiting_parts: int = 0
    """Requests without answer, and answers without request."""


class IngestCounts:
    """Totals since the start of the process. For the event loop only."""

    def __init__(self, alarm: RejectAlarm[Place], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at 0; `clock` gives seconds, never backwards."""
        self._clock = clock
        self._committed_at_s = clock()
        self.alarm = alarm
        self.records = 0
        self.events = 0
        self.events_again = 0
        self.parts = 0
        self.incomplete = 0
        self.crowded_out = 0
        self.duplicates = 0
        self.unpriced = 0
        self.overflowed = 0
        self.rejects = Counter[RejectReason]()
        self.checkpoints = 0
        self.committed_events = 0
        self.last_checkpoint_s = 0.0
        self.storing_rows = 0
        self.storing_bytes = 0

    def took(self, place: Place, taken: Taken) -> None:
        """A batch of a partition was folded."""
        self.records += taken.records
        self.events += taken.events
        self.events_again += taken.again
        self.parts += taken.parts
        self.incomplete += taken.incomplete
        self.duplicates += taken.duplicates
        self.unpriced += taken.unpriced
        if taken.overflowed:
            self._count_overflow(taken.overflowed)
        if taken.crowded_out:
            self._count_crowded_out(taken.crowded_out)
        if taken.refused:
            self.rejects.update(taken.refused)
        self.alarm.observe(place, taken, self._clock())

    def _count_overflow(self, windows: int) -> None:
        if not self.overflowed:
            log.warning(
                "there are more series than windows.series_cap; further ones are counted as __other__",
                remedy="raise windows.series_cap, or take a dimension out of windows.dimensions; the metric "
                "series_overflows goes on counting, and this line does not come again",
            )
        self.overflowed += windows

    def _count_crowded_out(self, parts: int) -> None:
        if not self.crowded_out:
            log.warning(
                "too many requests wait for their answers in one partition; the oldest are stored as calls of their own",
                remedy="use more partitions, send usage in place of long texts, or whole calls; the metric crowded_out_parts goes on "
                "counting, and this line does not come again",
            )
        self.crowded_out += parts

    def storing(self, tables: Sequence[pa.Table]) -> None:
        """These rows, and no others, are given up by the partitions and not durable yet."""
        self.storing_rows = sum(table.num_rows for table in tables)
        self.storing_bytes = sum(table.nbytes for table in tables)

    def committed(self, *, events: int, seconds: float) -> None:
        """A checkpoint was stored and committed."""
        self.checkpoints += 1
        self.committed_events += events
        self.last_checkpoint_s = seconds
        self._committed_at_s = self._clock()

    @property
    def commit_age_s(self) -> float:
        """Seconds since the last commit, or since the start."""
        return self._clock() - self._committed_at_s

    def say_alarms(self, assigned: Collection[Place]) -> Sequence[Saying]:
        """Log what is due of the alarm, and return it; call it about once a second.

        Args:
            assigned: the partitions of this worker; none while the group assigns anew.
        """
        if assigned:
            self.alarm.keep_only(assigned)
        due = self.alarm.due(self._clock())
        for saying in due:
            _say(saying)
        return due

    def go_on_with(self, raised: Mapping[AlarmKind, int]) -> None:
        """Alarms that were raised about the partitions that are assigned now; see `RejectAlarm.go_on_with`."""
        self.alarm.go_on_with(raised, self._clock())


class FailedTries:
    """Failed tries of inserts, by table and error. Told by the threads that insert."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tries = Counter[tuple[str, str]]()

    def failed(self, failed: FailedTry) -> None:
        """A try failed and is followed by another."""
        self._count(failed.table, failed.name)

    def given_up(self, error: RetriableSinkError) -> None:
        """The last try before a deadline failed; the worker begins again."""
        known = CODES.get(error.code) if error.code is not None else None
        name = "NO_ANSWER" if error.code is None else "UNLISTED" if known is None else known.name
        self._count(error.table, name)

    def by_table_and_error(self) -> Mapping[tuple[str, str], int]:
        """How many there were."""
        with self._lock:
            return dict(self._tries)

    def _count(self, table: str, error: str) -> None:
        with self._lock:
            self._tries[table, error] += 1


def _say(saying: Saying) -> None:
    if saying.is_over:
        log.info("the alarm over refused events is over", alarm=saying.kind, **_figures(saying))
    elif saying.kind == "share":
        log.error(
            "too many events are refused",
            alarm="share",
            **_figures(saying),
            remedy="`tokentide tail rejects` names the field and the remedy of each; mend the producer, then send them "
            "again. The limit is dead_letters.alarm_share",
        )
    else:
        log.error(
            "one refused event follows another",
            alarm="run",
            in_a_row=saying.run,
            **_figures(saying),
            remedy="a producer sends what is no event, or to the wrong topic: `tokentide tail rejects` shows what and why. "
            "The limit is dead_letters.alarm_run",
        )


def _figures(saying: Saying) -> dict[str, object]:
    reasons = Counter(saying.refused).most_common(_MOST_REASONS)
    return {
        "share": f"{saying.share:.1%}",
        "refused": sum(saying.refused.values()),
        "accepted": saying.accepted,
        "over_seconds": SPAN_S,
        "reasons": {str(reason): count for reason, count in reasons},
    }
