"""Where spans end: at the same record, however the log is cut into batches."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.fold.extent import Extent, SpanLimits, costs

PRICES = SpanLimits(
    work_ns=0,
    record_ns=1_000_000_000,
    byte_ns=0,
    item_ns=1_000_000,
    other_ns=1_000,
    refused_ns=1,
    counted_byte_ns=0,
    message_byte_ns=0,
)
"""So that the digits of a cost say what it was made of."""
TEXTS = SpanLimits(0, 0, 0, 0, 0, 0, counted_byte_ns=1_000, message_byte_ns=1)


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": name, "timestamp": "2026-01-31T12:00:30Z", "service": "s", **fields}


def cost_of(limits: SpanLimits, *records: Any) -> list[int]:
    values = [
        record if isinstance(record, bytes | None) else json.dumps(record).encode() for record in records
    ]
    found: list[int] = costs(Decoder().decode(values), values, limits).tolist()
    return found


def test_records_items_parts_and_refusals_have_their_prices() -> None:
    part = {"event_type": "request", "request_id": "r"}
    assert cost_of(
        PRICES,
        event("a"),
        [event("b"), event("c"), 5],
        event("d", **part),
        b"poison",
        None,
    ) == [1_001_000_000, 1_002_000_001, 1_000_001_000, 1_000_000_001, 1_000_000_001]
    assert cost_of(PRICES) == []


def test_bytes_are_those_of_the_values() -> None:
    assert cost_of(SpanLimits(0, 0, 1, 0, 0, 0, 0, 0), event("a"), None) == [len(json.dumps(event("a"))), 0]


def test_texts_count_where_their_tokens_are_not_known_in_bytes() -> None:
    assert cost_of(
        TEXTS,
        event("a", input="é" * 10, output="four", input_tokens=None),
        event("b", input="x" * 99, input_tokens=7, output="four"),
        event("c", input_tokens=7),
    ) == [24_000, 4_000, 0]


def test_messages_of_errors_count_since_their_class_is_read_from_them() -> None:
    assert cost_of(TEXTS, event("a", status="error", error={"message": "m" * 12})) == [12]


def test_of_a_record_with_a_part_all_counts_as_text() -> None:
    """The call that it becomes may be counted here; its texts are not looked for."""
    record = event("a", event_type="request", request_id="r", input="long")
    assert cost_of(TEXTS, record) == [1_000 * len(json.dumps(record))]


def ends(
    extent: Extent, offsets: list[int], prices: list[int], cuts: list[int], end: int
) -> tuple[int, bool]:
    """Where the span ends in a log that is read in batches which end at these offsets."""
    begin = 0
    for read_to in [*sorted({cut for cut in cuts if cut < end}), end]:
        inside = [n for n, offset in enumerate(offsets) if begin <= offset < read_to]
        begin = extent.end(
            np.array([offsets[n] for n in inside], np.int64),
            np.array([prices[n] for n in inside], np.int64),
            read_to,
        )
        if extent.is_over:
            break
    return begin, extent.is_over


def limited(latest: int, limit: int, limited_from: int = 0) -> Extent:
    return Extent(latest, limited_from, SpanLimits(work_ns=limit))


@pytest.mark.parametrize(
    ("extent", "expected"),
    [
        (limited(100, 30), (5, True)),  # behind the third record: gaps belong to the next span
        (limited(100, 31), (10, True)),
        (limited(100, 10), (1, True)),
        (limited(4, 30), (4, True)),  # at the latest there, in the middle of a gap too
        (limited(5, 30), (5, True)),
        (limited(100, 20, limited_from=4), (10, True)),
        (limited(100, 20, limited_from=5), (20, False)),
        (limited(20, 1_000), (20, True)),
        (Extent(100, 0), (20, False)),
    ],
)
def test_a_span_ends_behind_the_record_that_fills_it(extent: Extent, expected: tuple[int, bool]) -> None:
    assert ends(extent, [0, 2, 4, 9], [10, 10, 10, 10], [], 20) == expected


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), max_size=30),
    st.integers(1, 200),
    st.integers(0, 60),
    st.integers(1, 70),
    st.lists(st.integers(1, 80)),
)
def test_it_ends_there_however_the_log_is_cut(
    steps: list[tuple[int, int]], limit: int, limited_from: int, latest: int, cuts: list[int]
) -> None:
    offsets = (np.cumsum([step for step, _ in steps], dtype=np.int64) - 1).tolist()
    prices = [price for _, price in steps]
    whole = ends(limited(latest, limit, limited_from), offsets, prices, [], 130)
    assert ends(limited(latest, limit, limited_from), offsets, prices, cuts, 130) == whole
    assert whole[0] <= latest
    held = sum(p for o, p in zip(offsets, prices, strict=True) if limited_from <= o < whole[0] - 1)
    assert held < limit, "it would have been full before"
