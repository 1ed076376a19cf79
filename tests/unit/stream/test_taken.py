from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tokentide.stream.taken import NO_RUNS, Runs, runs_of

Place = tuple[int, int]


def runs(refused: Sequence[Place], accepted: Sequence[Place]) -> Runs:
    columns = np.array(accepted, dtype=np.int32).reshape(-1, 2)
    return runs_of(refused, columns[:, 0], columns[:, 1])


@pytest.mark.parametrize(
    ("refused", "accepted", "expected"),
    [
        ([], [(0, 0), (1, 0)], NO_RUNS),
        ([(0, 0), (1, 0)], [], Runs(2, 2, 2)),
        ([(0, 0)], [(1, 0)], Runs(1, 1, 0)),
        ([(1, 0)], [(0, 0)], Runs(0, 1, 1)),
        ([(1, 0), (2, 0), (4, 0)], [(0, 0), (3, 0)], Runs(0, 2, 1)),
        ([(0, 1), (0, 2)], [(0, 0), (0, 3)], Runs(0, 2, 0)),
        ([(0, -1), (1, -1)], [(2, 0)], Runs(2, 2, 0)),
    ],
    ids=["none", "all", "first", "last", "between", "in a packed record", "whole records"],
)
def test_runs_begin_and_end_with_accepted_events(
    refused: Sequence[Place], accepted: Sequence[Place], expected: Runs
) -> None:
    assert runs(refused, accepted) == expected
