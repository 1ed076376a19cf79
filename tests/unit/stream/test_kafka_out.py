from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest

from tests.support.partials import Partial, partial_table
from tokentide.schemas.aggregates import AGGREGATES
from tokentide.schemas.arrow import WINDOW_ROWS
from tokentide.schemas.limits import MAX_RECORD_BYTES
from tokentide.schemas.rejects import DeadLetter, RejectReason
from tokentide.schemas.sketch import LOWEST_KEY, bucket_key
from tokentide.stream.detect.measures import Counts
from tokentide.stream.kafka_out import (
    PARTIALS_PER_RECORD,
    RECORD_BYTES,
    KafkaOut,
    decode_partials,
    packed,
)


def partials(services: Iterable[str], minutes: int = 1) -> pa.Table:
    return partial_table(
        Partial(minute, Counts(1), series={"service": service})
        for service in services
        for minute in range(minutes)
    )


def identities(table: pa.Table) -> list[tuple[Any, ...]]:
    return sorted(zip(table["service"].to_pylist(), table["window_start"].to_pylist(), strict=True))


# --- packing


def test_all_partials_of_a_service_go_to_one_partition_in_every_call() -> None:
    services = [f"service-{n}" for n in range(40)]
    place: dict[str, int] = {}
    for table in (partials(services), partials(reversed(services), minutes=3), partials(services[5:9])):
        for partition, value in packed(table, [0, 1, 2, 7]):
            for service in decode_partials(value)["service"].to_pylist():
                assert place.setdefault(service, partition) == partition
    assert set(place.values()) == {0, 1, 2, 7}


def test_the_environment_is_part_of_what_is_kept_together() -> None:
    table = partial_table(
        Partial(0, Counts(1), series={"service": "s", "environment": f"e{n}"}) for n in range(30)
    )
    assert len({partition for partition, _ in packed(table, range(8))}) > 1


def test_what_was_packed_comes_back_as_it_was() -> None:
    table = partials([f"service-{n}" for n in range(20)], minutes=5)
    records = [decode_partials(value) for _, value in packed(table, [0, 1, 2])]
    assert all(record.schema == WINDOW_ROWS for record in records)
    together = pa.concat_tables(records)
    assert identities(together) == identities(table)
    columns = ["service", "window_start", *(aggregate.name for aggregate in AGGREGATES)]
    key = lambda row: (row["service"], row["window_start"])  # noqa: E731
    assert sorted(together.select(columns).to_pylist(), key=key) == sorted(
        table.select(columns).to_pylist(), key=key
    )


def test_many_small_partials_share_a_record() -> None:
    table = partials(["s"], minutes=PARTIALS_PER_RECORD + 1)
    assert [decode_partials(value).num_rows for _, value in packed(table, [0])] == [PARTIALS_PER_RECORD, 1]


def with_sketches(rows: int, buckets: int) -> pa.Table:
    table = partials(["s"], minutes=rows)
    sketch = pa.array([[(key, 1) for key in range(buckets)]] * rows, pa.map_(pa.int16(), pa.int64()))
    for aggregate in AGGREGATES:
        if aggregate.key_type == "bucket":
            table = table.set_column(
                table.column_names.index(aggregate.name), WINDOW_ROWS.field(aggregate.name), sketch
            )
    return table


def test_partials_with_full_sketches_are_spread_over_more_records_so_that_each_is_taken() -> None:
    """600 partials with 13 sketches of 100 buckets are 8 MB: as one record, no broker would take it, ever."""
    records = list(packed(with_sketches(600, 100), [0]))
    assert max(len(value) for _, value in records) <= RECORD_BYTES < MAX_RECORD_BYTES
    assert sum(decode_partials(value).num_rows for _, value in records) == 600
    assert [partition for partition, _ in records] == [0] * len(records)


def test_the_largest_partial_that_the_contract_allows_fits_a_record() -> None:
    most = bucket_key(1e10) - LOWEST_KEY + 2
    ((_, value),) = packed(with_sketches(1, most), [0])
    assert len(value) < RECORD_BYTES


# --- sending


class Sent:
    """What a producer returns for a record."""

    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    def get(self) -> None:
        if self._failure is not None:
            raise self._failure


class Producer:
    """kafka-python's producer in small: keeps what it is given; the second record fails if a failure is given."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.sent: list[tuple[str, bytes, bytes | None, int | None]] = []
        self.closed = False
        self._failure = failure

    def partitions_for(self, topic: str) -> set[int]:
        assert topic == "llm.windows"
        return {2, 0, 1}

    def send(self, topic: str, value: bytes, key: bytes | None = None, partition: int | None = None) -> Sent:
        self.sent.append((topic, value, key, partition))
        return Sent(self._failure if len(self.sent) == 2 else None)

    def close(self) -> None:
        self.closed = True


def letter(offset: int) -> DeadLetter:
    return DeadLetter(
        reason=RejectReason.EMPTY, step="decode", error="e", source="s", topic="t", partition=1, offset=offset, index=-1,
        record_timestamp_ms=5, value_base64=None, value_bytes=None, value_sha256=None,
    )  # fmt: skip


def out(producer: Producer) -> KafkaOut:
    return KafkaOut(lambda: producer, rejected_topic="llm.rejected", windows_topic="llm.windows")  # type: ignore[arg-type]


def test_letters_are_sent_in_order_under_their_identity() -> None:
    producer = Producer()

    async def send() -> None:
        kafka = out(producer)
        await kafka.send_letters([letter(5), letter(6)])
        await kafka.close()

    asyncio.run(send())
    assert producer.sent == [
        ("llm.rejected", letter(5).model_dump_json().encode(), b"t/1/5/-1", None),
        ("llm.rejected", letter(6).model_dump_json().encode(), b"t/1/6/-1", None),
    ]
    assert producer.closed


def test_partials_are_sent_to_the_partition_of_their_service() -> None:
    producer = Producer()
    table = partials([f"service-{n}" for n in range(30)])
    asyncio.run(out(producer).send_partials(table))
    assert [(topic, partition, value) for topic, value, _, partition in producer.sent] == [
        ("llm.windows", partition, value) for partition, value in packed(table, [0, 1, 2])
    ]


def test_a_send_that_fails_is_told() -> None:
    for send in (
        lambda kafka: kafka.send_letters([letter(1), letter(2)]),
        lambda kafka: kafka.send_partials(partials([f"service-{n}" for n in range(30)])),
    ):
        with pytest.raises(ConnectionError):
            asyncio.run(send(out(Producer(ConnectionError()))))


def test_nothing_to_send_opens_no_connection() -> None:
    def connect() -> Any:
        raise AssertionError("connected")

    async def send() -> None:
        kafka = KafkaOut(connect, rejected_topic="llm.rejected", windows_topic="llm.windows")
        await kafka.send_letters([])
        await kafka.send_partials(WINDOW_ROWS.empty_table())
        await kafka.close()

    asyncio.run(send())
