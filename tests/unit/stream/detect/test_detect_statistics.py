from __future__ import annotations

import math

import pytest

from tokentide.stream.detect.statistics import Z_95, median, median_absolute_deviation, wilson_bound


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize(("hits", "samples"), [(5, 20), (137, 401), (1, 2), (1, 1000), (999, 1000)])
def test_the_bound_is_the_share_from_which_the_found_one_is_z_standard_errors_away(hits, samples, side):
    """That is how Wilson's interval is defined; the bound is the root of the equation."""
    bound = wilson_bound(hits, samples, z=Z_95, side=side)
    standard_error = math.sqrt(bound * (1 - bound) / samples)
    distance = hits / samples - bound if side == "lower" else bound - hits / samples
    assert distance == pytest.approx(Z_95 * standard_error, rel=1e-9)


def test_none_or_all_of_few_calls_leave_a_wide_interval():
    """With no hit the upper bound is z² / (n + z²): 3.8415 / 23.8415."""
    assert wilson_bound(0, 20, z=Z_95, side="lower") == pytest.approx(0, abs=1e-12)
    assert wilson_bound(0, 20, z=Z_95, side="upper") == pytest.approx(0.161125, abs=1e-6)
    assert wilson_bound(20, 20, z=Z_95, side="lower") == pytest.approx(1 - 0.161125, abs=1e-6)
    assert wilson_bound(20, 20, z=Z_95, side="upper") == pytest.approx(1, abs=1e-12)


def test_the_bounds_stay_between_0_and_1():
    for hits, samples in ((0, 1), (1, 1), (10**9, 10**9), (0, 10**9)):
        for side in ("lower", "upper"):
            assert 0.0 <= wilson_bound(hits, samples, z=Z_95, side=side) <= 1.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [([7], 7), ([9, 1, 5], 5), ([4, 1, 2, 9], 3), ([2, 1], 1), ([10**30, 1, 10**31], 10**30)],
)
def test_the_median_is_the_middle_or_the_mean_of_the_two_rounded_down(values, expected):
    assert median(values) == expected


def test_the_deviation_is_the_median_distance_so_one_outlier_does_not_move_it():
    assert median_absolute_deviation([10, 12, 14, 16, 10_000], 14) == 2
