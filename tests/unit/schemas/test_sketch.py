from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.schemas.limits import MAX_COUNT, MAX_DURATION_MS
from tokentide.schemas.sketch import (
    LOWEST_KEY,
    SUB_BUCKETS,
    ZERO_KEY,
    bucket_bounds,
    bucket_key,
    bucket_value,
    quantile,
)
from tokentide.stream.fold.measures import bucket_keys

LARGEST = max(MAX_COUNT, MAX_DURATION_MS)
SMALLEST = 2.0**-20
"""Milliseconds: a nanosecond. Less shares the lowest bucket."""

values = st.floats(min_value=0, max_value=LARGEST)
measurable = st.floats(min_value=SMALLEST, max_value=LARGEST)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (1.0, 0),
        (1.0 + 1 / 64, 1),
        (math.nextafter(1.0 + 1 / 64, 0), 0),
        (math.nextafter(1.0, 0), -1),
        (2.0, 64),
        (1024.0, 640),
        (0.5, -64),
        (0.0, ZERO_KEY),
        (-0.0, ZERO_KEY),
        (SMALLEST, LOWEST_KEY),
        (math.nextafter(SMALLEST, 0), LOWEST_KEY),
        (5e-324, LOWEST_KEY),
    ],
)
def test_buckets_begin_at_powers_of_two_and_their_sixty_fourths(value: float, key: int) -> None:
    assert bucket_key(value) == key


@given(measurable)
def test_a_value_lies_within_the_bounds_of_its_bucket(value: float) -> None:
    lower, upper = bucket_bounds(bucket_key(value))
    assert lower <= value < upper


@given(st.integers(LOWEST_KEY, 2_500))
def test_buckets_touch_without_a_gap(key: int) -> None:
    assert bucket_bounds(key)[1] == bucket_bounds(key + 1)[0]
    assert bucket_key(bucket_bounds(key)[0]) == key


@given(measurable)
def test_a_bucket_stands_for_its_values_to_within_0_78_percent(value: float) -> None:
    error = abs(Fraction(bucket_value(bucket_key(value))) - Fraction(value)) / Fraction(value)
    assert error <= Fraction(78, 10_000)


def test_the_error_is_the_same_to_either_side_and_no_smaller_one_is_possible() -> None:
    lower, upper = bucket_bounds(0)
    assert (bucket_value(0) - lower) / lower == pytest.approx((upper - bucket_value(0)) / upper, rel=1e-12)


@given(values, values)
def test_keys_are_ordered_as_their_values(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert bucket_key(low) <= bucket_key(high)


@given(st.lists(values, max_size=30))
def test_the_worker_s_arrays_give_the_same_keys(some: list[float]) -> None:
    assert bucket_keys(np.asarray(some, np.float64)).tolist() == [bucket_key(value) for value in some]


def test_the_worker_s_arrays_agree_at_every_edge() -> None:
    edges = [bucket_bounds(key)[0] for key in range(LOWEST_KEY, 2_600)]
    around = [*edges, *(math.nextafter(edge, 0) for edge in edges), 0.0, -0.0, 5e-324, LARGEST]
    assert bucket_keys(np.asarray(around)).tolist() == [bucket_key(value) for value in around]


def test_all_values_of_the_contract_fit_three_thousand_keys_of_16_bits() -> None:
    """So that the sketches of one partial stay within a record of the windows topic, whatever was sent."""
    keys = bucket_key(LARGEST) - bucket_key(5e-324) + 2
    assert keys < 3_500
    assert -(2**15) <= ZERO_KEY < LOWEST_KEY
    assert bucket_key(LARGEST) < 2**15


def exact_quantile(some: list[float], share: Fraction) -> float:
    """The smallest value up to which at least that share of all values lies."""
    return sorted(some)[max(1, math.ceil(share * len(some))) - 1]


@given(st.lists(measurable, min_size=1, max_size=60), st.integers(0, 64))
def test_a_quantile_is_that_of_the_values_to_within_the_error(some: list[float], sixty_fourths: int) -> None:
    counts = Counter(bucket_key(value) for value in some)
    exact = exact_quantile(some, Fraction(sixty_fourths, 64))
    assert quantile(counts, sixty_fourths / 64) == pytest.approx(exact, rel=0.0078)


@given(st.lists(st.lists(values, max_size=20), max_size=5), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_merged_sketches_are_the_sketch_of_all_values(parts: list[list[float]], share: float) -> None:
    merged: Counter[int] = Counter()
    for part in parts:
        merged.update(Counter(bucket_key(value) for value in part))
    together = Counter(bucket_key(value) for part in parts for value in part)
    assert merged == together
    assert quantile(merged, share) == quantile(together, share)


def test_ranks_are_the_nearest_ones() -> None:
    counts = {0: 50, 64: 45, 128: 4, 192: 1}
    one, two, four, eight = (bucket_value(key) for key in counts)
    expected = {0.0: one, 0.5: one, 0.501: two, 0.95: two, 0.951: four, 0.99: four, 0.991: eight, 1.0: eight}
    assert {share: quantile(counts, share) for share in expected} == expected


def test_zeros_count_and_are_exact() -> None:
    assert quantile({ZERO_KEY: 3, 0: 1}, 0.75) == 0.0
    assert bucket_value(ZERO_KEY) == 0.0


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="0 … 1"):
        quantile({0: 1}, share)


def test_a_bucket_is_a_sixty_fourth_of_an_octave() -> None:
    assert SUB_BUCKETS == 64
    assert [bucket_key(2.0**octave) for octave in range(-3, 4)] == [64 * octave for octave in range(-3, 4)]
