from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.stream.grouping import combinations, group

LARGE = (1 << 62) - 1


def expected(rows: list[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """One row after the other."""
    numbers: dict[tuple[int, ...], int] = {}
    of_row = [numbers.setdefault(row, len(numbers)) for row in rows]
    return of_row, [of_row.index(number) for number in range(len(numbers))]


def grouped(rows: list[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    groups = group([np.array(column, np.int64) for column in zip(*rows, strict=True)])
    return groups.of_row.tolist(), groups.first_row.tolist()


values = (
    st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 3) | st.sampled_from([LARGE, LARGE + 1, 1 << 31])
)


@given(st.integers(1, 5).flatmap(lambda columns: st.lists(st.tuples(*[values] * columns), min_size=1)))
def test_rows_are_in_one_group_where_all_their_keys_are_equal(rows: list[tuple[int, ...]]) -> None:
    assert grouped(rows) == expected(rows)


def test_keys_whose_combinations_are_more_than_a_number_can_hold_are_kept_apart() -> None:
    """Twelve columns of a hundred values; without numbering anew, their product would run over."""
    random = np.random.default_rng(7)
    rows = [tuple(row) for row in random.integers(0, 100, (300, 12)).tolist()]
    rows += rows[:50]
    assert grouped(rows) == expected(rows)


@pytest.mark.parametrize("columns", [1, 3])
def test_no_rows_are_no_groups(columns: int) -> None:
    groups = group([np.empty(0, np.int64)] * columns)
    assert (groups.of_row.tolist(), groups.first_row.tolist()) == ([], [])


def test_of_text_columns_the_texts_of_each_group_are_known() -> None:
    table = pa.table({"a": ["x", None, "x", "y"], "b": pa.array(["1", "1", "1", ""]).dictionary_encode()})
    groups, texts = combinations(table, ["a", "b", "absent"])
    assert groups.of_row.tolist() == [0, 1, 0, 2]
    assert texts == [("x", "1", ""), ("", "1", ""), ("y", "", "")]
