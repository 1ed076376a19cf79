"""Runs of refused events, found by bisection, are those of a walk through the batch."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokentide.stream.taken import Runs, runs_of

Place = tuple[int, int]


def runs(refused: list[Place], accepted: list[Place]) -> Runs:
    columns = np.array(accepted, dtype=np.int32).reshape(-1, 2)
    return runs_of(refused, columns[:, 0], columns[:, 1])


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_runs_are_those_of_a_walk_through_the_batch(steps: list[tuple[int, bool]]) -> None:
    """Each step says how many records on the next item stands, and whether it is refused."""
    record = item = 0
    items: list[tuple[Place, bool]] = []
    for records_on, is_refused in steps:
        record, item = (record, item + 1) if records_on == 0 else (record + records_on, 0)
        items.append(((record, item), is_refused))
    lengths = [
        (is_refused, len(list(group))) for is_refused, group in groupby(items, key=lambda pair: pair[1])
    ]
    refused = [length for is_refused, length in lengths if is_refused]
    expected = Runs(
        lengths[0][1] if lengths and lengths[0][0] else 0,
        max(refused, default=0),
        lengths[-1][1] if lengths and lengths[-1][0] else 0,
    )
    assert (
        runs([place for place, bad in items if bad], [place for place, bad in items if not bad]) == expected
    )
