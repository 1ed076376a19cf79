"""What one fetch brought of one partition."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from aiokafka.structs import TopicPartition

from tokentide.stream.partition import RecordBatch


class Fetched(NamedTuple):
    """The records that one fetch brought of one partition."""

    topic: str
    partition: int
    batch: RecordBatch


def _plain_record(_: TopicPartition, record: Any) -> Any:
    return record


def drain(tp: TopicPartition, result: Any) -> Fetched | None:
    """Take all records of an aiokafka `FetchResult`, or None if it is stale (rebalanced, paused or sought elsewhere).

    Works on the fetcher's own parts (aiokafka 0.14): decompression, checks of the checksum, aborted transactions and
    control records are its code; only the `ConsumerRecord` for each record is left out, which is half of the cost.
    """
    if not result.check_assignment(tp) or not result.has_more():
        return None
    records = result._partition_records  # noqa: SLF001 - see above
    begin = records.next_fetch_offset
    records._consumer_record = _plain_record  # noqa: SLF001
    taken = list(records)
    result._update_position()  # noqa: SLF001
    batch = RecordBatch(
        begin=begin,
        end=records.next_fetch_offset,
        offsets=np.fromiter((record.offset for record in taken), np.int64, len(taken)),
        timestamps_ms=np.fromiter((record.timestamp or 0 for record in taken), np.int64, len(taken)),
        keys=[record.key for record in taken],
        values=[record.value for record in taken],
    )
    return Fetched(tp.topic, tp.partition, batch)
