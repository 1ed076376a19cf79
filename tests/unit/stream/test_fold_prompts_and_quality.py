"""What an event adds to the line of model time over prompt length, to the longest prompt and to the buckets of scores."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from tokentide.schemas.aggregates import (
    DEFAULT_DIMENSIONS,
    LONGEST_COMPARED_PROMPT_TOKENS,
    SEGMENT_OFFSETS,
)
from tokentide.schemas.arrow import EVENT_ROWS
from tokentide.schemas.limits import MAX_COUNT, MAX_DURATION_MS, MAX_ITEMS_PER_RECORD
from tokentide.stream.fold.extent import Extent
from tokentide.stream.fold.measures import WORD_BITS, hundredths, measure, words_of
from tokentide.stream.fold.partials import Span
from tokentide.stream.fold.segment import FoldSettings, SegmentFold

START_US = 1_709_294_400_000_000
PROMPT_TIMES = (
    "prompt_time_calls",
    "prompt_time_input_tokens",
    "prompt_time_model_us",
    "prompt_time_squares",
    "prompt_time_products",
)


def _events(*rows):
    """Event rows with the columns that occur."""
    common = {"timestamp": START_US, "service": "chat", "status": "ok"}
    rows = [common | row for row in rows]
    names = [name for name in EVENT_ROWS.names if any(name in row for row in rows)]
    schema = pa.schema([EVENT_ROWS.field(name) for name in names])
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows], schema=schema)


def _timed(tokens, model_ms, **fields):
    return {"input_tokens": tokens, "stages_model_ms": model_ms} | fields


def _measured(*rows):
    measures = measure(_events(*rows), np.zeros(len(rows), np.bool_))
    return measures.sums | measures.wide | measures.peaks


def _partials(*batches):
    """The partials of a segment whose events came in these batches, as dictionaries."""
    settings = FoldSettings(DEFAULT_DIMENSIONS, 10)
    fold = SegmentFold(Span("log", 0, 0, 0, 7, 0), "llm.events", settings, Extent(SEGMENT_OFFSETS, 0))
    for rows in batches:
        fold.add(_events(*rows), np.zeros(len(rows), np.bool_))
    return fold.dirty_partials("store").to_pylist()


def test_a_call_is_a_point_with_its_tokens_its_microseconds_and_their_products() -> None:
    added = _measured(_timed(200, 1.5), _timed(3, 0.001))
    assert {name: added[name].tolist() for name in PROMPT_TIMES} == {
        "prompt_time_calls": [True, True],
        "prompt_time_input_tokens": [200, 3],
        "prompt_time_model_us": [1_500, 1],
        "prompt_time_squares": [40_000, 9],
        "prompt_time_products": [300_000, 3],
    }


@pytest.mark.parametrize(
    "other",
    [
        _timed(None, 5.0),
        _timed(200, None),
        _timed(0, 5.0),
        _timed(LONGEST_COMPARED_PROMPT_TOKENS + 1, 5.0),
        _timed(200, 5.0, status="error"),
        _timed(200, 5.0, status="cancelled"),
    ],
    ids=["length unknown", "time unknown", "no prompt", "far too long", "failed", "cancelled"],
)
def test_a_call_that_is_no_point_adds_nothing_to_the_line(other) -> None:
    added = _measured(other, _timed(2, 3.0))
    assert [added[name].tolist() for name in PROMPT_TIMES] == [[0, 1], [0, 2], [0, 3_000], [0, 4], [0, 6_000]]


def test_a_call_that_took_no_time_is_a_point() -> None:
    (partial,) = _partials([_timed(200, 0.0)])
    assert [partial[name] for name in PROMPT_TIMES] == [1, 200, 0, Decimal(40_000), Decimal(0)]


@pytest.mark.parametrize("missing", ["input_tokens", "stages_model_ms"])
def test_nothing_is_computed_where_one_of_the_two_is_never_reported(missing) -> None:
    row = _timed(200, 1.5)
    del row[missing]
    assert not set(PROMPT_TIMES) & _measured(row).keys()


def test_the_largest_products_of_the_contract_fit_a_row_and_their_words_a_segment() -> None:
    largest = LONGEST_COMPARED_PROMPT_TOKENS * round(MAX_DURATION_MS * 1_000)
    assert LONGEST_COMPARED_PROMPT_TOKENS**2 <= largest < 2**63
    events = SEGMENT_OFFSETS * MAX_ITEMS_PER_RECORD
    (high,), (low,) = words_of(np.array([largest], np.int64))
    assert max(int(high), 2**WORD_BITS - 1) * events < 2**63
    assert (int(high) << WORD_BITS) + int(low) == largest
    assert largest * events < 10**38


def test_sums_of_products_beyond_64_bits_are_exact() -> None:
    rows = [_timed(LONGEST_COMPARED_PROMPT_TOKENS, MAX_DURATION_MS), _timed(7, 0.003)]
    (partial,) = _partials(*[rows] * 40)
    assert partial["prompt_time_squares"] == 40 * (10**14 + 49)
    assert partial["prompt_time_products"] == 40 * (10**18 + 21) > 2**64


def test_the_longest_prompt_is_of_any_call_whose_tokens_are_known() -> None:
    first = [_timed(200, 1.5), _timed(None, 1.5)]
    second = [_timed(MAX_COUNT, None, status="error"), _timed(900, None)]
    for batches in ([first, second], [second, first], [[*second, *first]]):
        (partial,) = _partials(*batches)
        assert (partial["input_tokens_max"], partial["input_known_calls"]) == (MAX_COUNT, 3)
    (unknown,) = _partials([_timed(None, 1.5)])
    assert (unknown["input_tokens_max"], unknown["input_known_calls"]) == (0, 0)


def test_scores_are_counted_by_hundredth_and_unknown_is_not_zero() -> None:
    scores = (0.0, -0.0, 0.0099, 0.29, 0.5, None, 0.999, 1.0)
    batches = [[{"quality_score": score}] for score in scores]
    (partial,) = _partials(*batches)
    assert dict(partial["quality_buckets"]) == {0: 3, 29: 1, 50: 1, 99: 1, 100: 1}
    assert partial["quality_scored_calls"] == 7
    assert _partials([row for (row,) in reversed(batches)]) == [partial]


def test_a_score_is_in_the_hundredth_of_its_decimal_text() -> None:
    texts = [f"{n / 10_000:.4f}" for n in range(10_001)]
    keys = hundredths(np.array([float(text) for text in texts]))
    assert keys.tolist() == [int(Decimal(text) * 100) for text in texts]


@pytest.mark.parametrize("limit", [0.07, 0.29, 0.57, 0.58, 1.0])
def test_the_keys_below_a_limit_are_the_scores_below_it(limit) -> None:
    scores = [math.nextafter(limit, 0), limit, min(math.nextafter(limit, 1), 1.0)]
    keys = hundredths(np.array(scores))
    assert (keys < round(limit * 100)).tolist() == [score < limit for score in scores] == [True, False, False]
