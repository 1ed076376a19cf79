from __future__ import annotations

import pytest

from tokentide.cli.log_check import LogState, log_states, problems


def state(*, begin: int = 0, end: int = 10, committed: int | None, read_to: int | None) -> LogState:
    (only,) = log_states(
        {0: (begin, end)},
        {} if committed is None else {0: committed},
        {} if read_to is None else {0: read_to},
    )
    return only


@pytest.mark.parametrize(
    ("begin", "committed", "read_to"),
    [
        (0, None, None),  # nothing read yet
        (0, 10, 10),  # all stored
        (0, 4, 4),  # a worker at work
        (0, 4, 7),  # the ledger is written before the commit: a worker died in between
        (0, None, 7),
        (10, None, None),  # all deleted by the broker before a worker came
        (6, 6, None),  # committed at the first offset that is left, nothing read since
        (6, 10, 10),
    ],
)
def test_broker_and_ledger_agree(begin: int, committed: int | None, read_to: int | None) -> None:
    assert state(begin=begin, committed=committed, read_to=read_to).problem is None


@pytest.mark.parametrize(
    ("committed", "read_to", "says"),
    [
        (7, 4, "not in the ledger"),
        (7, None, "not in the ledger"),
        (12, 10, "past the end"),
        (10, 12, "past the end"),
    ],
)
def test_what_cannot_be_is_named(committed: int | None, read_to: int | None, says: str) -> None:
    wrong = state(committed=committed, read_to=read_to)
    assert wrong.problem is not None
    assert says in wrong.problem
    assert problems([wrong, state(committed=10, read_to=10)]) == [wrong]


def test_what_is_not_stored_yet_is_no_difference() -> None:
    behind = state(committed=4, read_to=4)
    assert behind.left == 6
    assert behind.problem is None
