"""The values of the worker's metrics, collected when somebody asks; what they mean stands in `metrics`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from tokentide import __version__
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.counts import FailedTries, IngestCounts, Standing
from tokentide.stream.decoder_choice import ChosenDecoder
from tokentide.stream.detection import Progress as DetectionProgress
from tokentide.stream.metrics import Metric, Sample
from tokentide.stream.reject_alarm import KINDS
from tokentide.stream.transport.fetched import Place

LogEnd = Callable[[Place], int | None]
"""The end of an assigned partition, as far as it is known."""

_STATM: Final = Path("/proc/self/statm")


class Detecting(Protocol):
    """What is asked of the detect stage; see `tokentide.stream.detection.Detection`."""

    @property
    def progress(self) -> DetectionProgress:
        """Totals since the start."""
        ...

    @property
    def has_caught_up(self) -> bool:
        """Whether it has read back what it needs of every partition."""
        ...

    @property
    def broken_partitions(self) -> int:
        """Partitions whose detection a defect has ended."""
        ...

    def positions(self) -> Mapping[Place, int]:
        """The next offset of each partition."""
        ...


def ingest_samples(
    counts: IngestCounts,
    standing: Mapping[Place, Standing],
    partials_sent: int,
    dropped_texts: int = 0,
) -> Iterator[Sample]:
    """The ingest stage."""
    yield Sample(Metric.RECORDS_READ, counts.records)
    yield Sample(Metric.EVENTS_FOLDED, counts.events)
    yield Sample(Metric.EVENTS_READ_AGAIN, counts.events_again)
    yield Sample(Metric.DUPLICATES, counts.duplicates)
    yield Sample(Metric.UNPRICED_EVENTS, counts.unpriced)
    yield Sample(Metric.PARTS, counts.parts)
    yield Sample(Metric.INCOMPLETE_EVENTS, counts.incomplete)
    yield Sample(Metric.CROWDED_OUT_PARTS, counts.crowded_out)
    yield Sample(Metric.WAITING_PARTS, sum(found.waiting_parts for found in standing.values()))
    yield Sample(Metric.SERIES_OVERFLOWS, counts.overflowed)
    yield Sample(Metric.DROPPED_TEXTS, dropped_texts)
    for reason in RejectReason:
        yield Sample(Metric.REJECTS, counts.rejects[reason], (str(reason),))
    for kind in KINDS:
        yield Sample(Metric.REJECT_ALARM, int(counts.alarm.is_on(kind)), (kind,))
        yield Sample(Metric.REJECT_ALARMS, counts.alarm.begun[kind], (kind,))
    held = standing.values()
    yield Sample(Metric.HELD_ROWS, counts.storing_rows + sum(found.held_rows for found in held))
    yield Sample(Metric.HELD_BYTES, counts.storing_bytes + sum(found.held_bytes for found in held))
    yield Sample(Metric.LET_GO_PARTITIONS, sum(found.has_let_go for found in held))
    yield Sample(Metric.CHECKPOINTS, counts.checkpoints)
    yield Sample(Metric.EVENTS_COMMITTED, counts.committed_events)
    yield Sample(Metric.CHECKPOINT_DURATION_SECONDS, round(counts.last_checkpoint_s, 6))
    yield Sample(Metric.LAST_COMMIT_AGE_SECONDS, round(counts.commit_age_s, 3))
    yield Sample(Metric.PARTIALS_PUBLISHED, partials_sent)


def detect_samples(detection: Detecting) -> Iterator[Sample]:
    """The detect stage."""
    progress = detection.progress
    yield Sample(Metric.DETECT_PARTIALS, progress.partials)
    yield Sample(Metric.DETECT_REFUSED_RECORDS, progress.refused_records)
    yield Sample(Metric.INCIDENT_MESSAGES, progress.messages)
    yield Sample(Metric.DETECTION_CAUGHT_UP, int(detection.has_caught_up))
    yield Sample(Metric.DETECTION_BROKEN_PARTITIONS, detection.broken_partitions)


def lag_samples(positions: Mapping[Place, int], log_end: LogEnd) -> Iterator[Sample]:
    """How far behind each partition is."""
    for place, position in sorted(positions.items()):
        if (end := log_end(place)) is not None:
            # A moment after the read, the known end may be the one of the fetch before.
            topic, partition = place
            yield Sample(Metric.LAG_RECORDS, max(0, end - position), (topic, str(partition)))


def sink_samples(tries: FailedTries) -> Iterator[Sample]:
    """ClickHouse; nothing before its first failure."""
    for (table, error), count in sorted(tries.by_table_and_error().items()):
        yield Sample(Metric.CLICKHOUSE_FAILED_TRIES, count, (table, error))


def decoder_samples(decoder: ChosenDecoder) -> Iterator[Sample]:
    """What decodes."""
    yield Sample(Metric.DECODER_INFO, 1, (decoder.name,))
    yield Sample(Metric.DECODER_DEFECTS, decoder.defects)


def process_samples(started_at: float) -> Iterator[Sample]:
    """The process; `started_at` in seconds since 1970."""
    yield Sample(Metric.BUILD_INFO, 1, (__version__,))
    yield Sample(Metric.PROCESS_CPU_SECONDS, round(time.process_time(), 3))
    if (resident := _resident_bytes()) is not None:
        yield Sample(Metric.PROCESS_RESIDENT_MEMORY_BYTES, resident)
    yield Sample(Metric.PROCESS_START_TIME_SECONDS, round(started_at, 3))


def _resident_bytes() -> int | None:
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:  # not on Linux
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
