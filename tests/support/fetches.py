"""Fetches as aiokafka's fetcher hands them over, built from record batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import KafkaError
from aiokafka.record._crc32c import crc as crc32c
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

READ_COMMITTED = 1
ABORT_MARKER = b"\x00\x00\x00\x00"
COMMIT_MARKER = b"\x00\x00\x00\x01"

_NO_PRODUCER = -1
_ATTRIBUTES, _BASE_OFFSET, _CRC_BEGIN = 21, 0, 21
_CONTROL = 0x20


def record_batch(
    base_offset: int,
    values: Sequence[bytes | None],
    *,
    compression: int = 0,
    producer_id: int = _NO_PRODUCER,
    is_transactional: bool = False,
    key: bytes | None = None,
    timestamp_ms: int = 1_700_000_000_000,
) -> bytes:
    """A record batch as a broker stores it."""
    builder = DefaultRecordBatchBuilder(2, compression, int(is_transactional), producer_id, 0, 0, 1 << 22)
    for number, value in enumerate(values):
        builder.append(number, timestamp_ms + number, key, value, [])
    batch = bytearray(builder.build())
    batch[0:8] = base_offset.to_bytes(8, "big")
    return bytes(batch)


def marker(offset: int, producer_id: int, key: bytes) -> bytes:
    """The control batch that ends a transaction."""
    batch = bytearray(
        record_batch(offset, [b"\x00" * 6], producer_id=producer_id, is_transactional=True, key=key)
    )
    batch[_ATTRIBUTES + 1] |= _CONTROL
    batch[17:21] = crc32c(bytes(batch[_CRC_BEGIN:])).to_bytes(4, "big")
    return bytes(batch)


class Position:
    """A partition's state in the consumer's assignment."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.paused = False

    def consumed_to(self, position: int) -> None:
        self.position = position


def fetch(
    tp: TopicPartition,
    batches: Sequence[bytes],
    *,
    at: int,
    state: Position | None = None,
    aborted: Sequence[tuple[int, int]] = (),
) -> Any:
    """The result of a fetch from an offset."""
    records = PartitionRecords(
        tp,
        MemoryRecords(b"".join(batches)),
        aborted,
        at,
        key_deserializer=None,
        value_deserializer=None,
        check_crcs=True,
        isolation_level=READ_COMMITTED,
    )
    found = state or Position(at)
    assignment = SimpleNamespace(active=True, state_value=lambda _: found)
    return FetchResult(tp, assignment=assignment, partition_records=records, backoff=0)


class FetchFailed:
    """What the fetcher keeps of a fetch that failed."""

    def __init__(self, error: KafkaError) -> None:
        self._error = error

    def check_raise(self) -> None:
        raise self._error


class Fetcher:
    """As much of aiokafka's fetcher as is asked for."""

    def __init__(self) -> None:
        self._records: dict[TopicPartition, Any] = {}
        self._subscriptions = SimpleNamespace(reassignment_in_progress=False, is_assigned=lambda _: True)
        self._wait_consume_future = None
        self._waiters: list[asyncio.Future[None]] = []
        self.notified = 0
        self.sought: list[tuple[TopicPartition, int]] = []

    def seek_to(self, tp: TopicPartition, offset: int) -> None:
        self.sought.append((tp, offset))

    def _notify(self, _: object) -> None:
        self.notified += 1

    def _create_fetch_waiter(self) -> asyncio.Future[None]:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def arrive(self, tp: TopicPartition, result: Any) -> None:
        """A fetch has come."""
        self._records[tp] = result
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
