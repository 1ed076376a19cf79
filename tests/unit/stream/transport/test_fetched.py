"""What is taken out of a fetch: the same records that aiokafka itself would hand out one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fetches import ABORT_MARKER, COMMIT_MARKER, Position, fetch, marker, record_batch
from tokentide.stream.transport.fetched import Fetched, Sift, drain, size_in_bytes

TP = TopicPartition("llm.events", 2)


def taken(*batches: bytes, at: int, **rest: Any) -> Fetched:
    found = drain(TP, fetch(TP, batches, at=at, **rest))
    assert found is not None
    return found


def values(found: Fetched) -> list[tuple[int, bytes | None]]:
    return list(zip(found.batch.offsets.tolist(), found.batch.values, strict=True))


def test_records_of_all_batches_with_offsets_times_and_keys() -> None:
    found = taken(record_batch(7, [b"a", None], key=b"k"), record_batch(9, [b"c"]), at=7)
    assert (found.topic, found.partition) == ("llm.events", 2)
    assert values(found) == [(7, b"a"), (8, None), (9, b"c")]
    assert found.batch.timestamps_ms.tolist() == [1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_000]
    assert found.batch.keys == [b"k", b"k", None]
    assert (found.batch.begin, found.batch.end) == (7, 10)


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4], ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression(compression: int) -> None:
    assert values(taken(record_batch(0, [b"a" * 500], compression=compression), at=0)) == [(0, b"a" * 500)]


def test_a_fetch_from_the_middle_of_a_batch_begins_there() -> None:
    found = taken(record_batch(5, [b"a", b"b", b"c"]), at=6)
    assert values(found) == [(6, b"b"), (7, b"c")]
    assert (found.batch.begin, found.batch.end) == (6, 8)


def test_offsets_that_compaction_took_are_gaps() -> None:
    found = taken(record_batch(5, [b"a"]), record_batch(20, [b"b"]), at=2)
    assert values(found) == [(5, b"a"), (20, b"b")]
    assert (found.batch.begin, found.batch.end) == (2, 21)


def test_markers_are_gaps_and_committed_transactions_are_read() -> None:
    found = taken(
        record_batch(0, [b"a"], producer_id=9, is_transactional=True),
        marker(1, 9, COMMIT_MARKER),
        record_batch(2, [b"b"]),
        at=0,
    )
    assert values(found) == [(0, b"a"), (2, b"b")]
    assert found.batch.end == 3


def test_what_a_transaction_took_back_is_a_gap_and_what_comes_after_its_end_is_not() -> None:
    found = taken(
        record_batch(0, [b"a"], producer_id=9, is_transactional=True),
        marker(1, 9, ABORT_MARKER),
        record_batch(2, [b"b"], producer_id=9, is_transactional=True),
        marker(3, 9, COMMIT_MARKER),
        at=0,
        aborted=[(9, 0)],
    )
    assert values(found) == [(2, b"b")]
    assert (found.batch.begin, found.batch.end) == (0, 4)


def test_with_a_sift_only_batches_with_something_wanted_are_unpacked() -> None:
    batches = [record_batch(n, [b"%d" % n, b"%d" % (n + 1)]) for n in (0, 2, 4, 6, 8)]
    found = drain(TP, fetch(TP, batches, at=1), Sift(np.array([3, 9]), until=7))
    assert found is not None
    # Those that stand beside a wanted one come too; whoever reads them leaves them out.
    assert values(found) == [(n, b"%d" % n) for n in (2, 3, 6, 7, 8, 9)]
    assert (found.batch.begin, found.batch.end) == (1, 10)


def test_a_sift_wants_some_and_then_all() -> None:
    sift = Sift(np.array([3, 5]), until=8)
    assert [sift.next(position) for position in (0, 3, 4, 6, 8, 11)] == [3, 3, 5, 8, 8, 11]
    assert Sift(np.array([9], np.int64), until=8).next(2) == 8


def test_a_damaged_batch_is_an_error() -> None:
    damaged = bytearray(record_batch(0, [b"abc"]))
    damaged[-2] ^= 1
    with pytest.raises(CorruptRecordException):
        taken(bytes(damaged), at=0)


def test_the_consumer_goes_on_behind_what_was_taken() -> None:
    state = Position(3)
    taken(record_batch(3, [b"a", b"b"]), at=3, state=state)
    assert state.position == 5


@pytest.mark.parametrize("change", ["sought", "paused"])
def test_a_fetch_from_before_a_seek_or_a_pause_is_stale(change: str) -> None:
    state = Position(3)
    result = fetch(TP, [record_batch(3, [b"a"])], at=3, state=state)
    if change == "sought":
        state.position = 0
    else:
        state.paused = True
    assert drain(TP, result) is None
    assert size_in_bytes(result) == 0


def test_the_size_is_that_of_the_compressed_bytes() -> None:
    batch = record_batch(0, [b"a" * 50_000], compression=3)
    assert size_in_bytes(fetch(TP, [batch, batch], at=0)) == 2 * len(batch) < 50_000


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.binary(max_size=20), min_size=1, max_size=5)), max_size=6
    ),
    st.integers(0, 30),
)
def test_it_is_what_aiokafka_hands_out_one_by_one(spec: list[tuple[int, list[bytes]]], at: int) -> None:
    batches, offset = [], 0
    for gap, contents in spec:
        batches.append(record_batch(offset + gap, contents))
        offset += gap + len(contents)
    records = fetch(TP, batches, at=at)._partition_records
    expected = [(record.offset, record.value) for record in records if record.offset >= at]
    found = drain(TP, fetch(TP, batches, at=at))
    assert found is not None
    assert values(found) == expected
    assert found.batch.end == records.next_fetch_offset
