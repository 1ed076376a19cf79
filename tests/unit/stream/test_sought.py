"""Which fetches are folded once a partition has been sought: what had been fetched before may still come, in any mixture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentide.stream.sought import ON_THEIR_WAY, Sought


def folded(sought: Sought, fetches: list[tuple[int, int]]) -> list[int] | None:
    """The offsets that are folded of these fetches; None where the log is taken for another one."""
    position, offsets = sought.start, list[int]()
    for begin, end in fetches:
        if sought.is_stale(begin, end):
            continue
        wanted = sought.wanted_from(begin, end, position)
        if wanted is None:
            return None
        if wanted < end:
            assert not offsets or wanted == position, "a hole"
            offsets += range(wanted, end)
            position = end
    return offsets


def cut(begin: int, sizes: list[int]) -> list[tuple[int, int]]:
    """Fetches of these sizes, one after the other."""
    ends = [begin + sum(sizes[: place + 1]) for place in range(len(sizes))]
    return list(zip([begin, *ends], ends, strict=False))


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=6)


@given(
    before=SIZES,
    on_their_way=st.lists(st.integers(1, 4), max_size=ON_THEIR_WAY - 1),
    after=SIZES,
    data=st.data(),
)
def test_wherever_it_is_sought_each_offset_from_there_on_is_folded_once(
    before: list[int], on_their_way: list[int], after: list[int], data: st.DataObject
) -> None:
    sought = Sought(0)
    first = cut(0, before)
    assert folded(sought, first) == list(range(sum(before)))
    start = data.draw(st.integers(0, sum(before)))
    is_to_be_sought = sought.seek(start)
    assert is_to_be_sought == (start != sum(before))
    late = cut(sum(before), on_their_way)
    if is_to_be_sought:
        assert folded(sought, [*late, *cut(start, after)]) == list(range(start, start + sum(after)))
    else:
        assert folded(sought, late) == list(range(start, start + sum(on_their_way)))


@pytest.mark.parametrize("others", range(ON_THEIR_WAY + 2))
def test_what_was_sought_may_come_again_only_for_a_while(others: int) -> None:
    sought = Sought(0)
    assert sought.seek(9)
    fetches = [(9, 10), *((10 + place, 11 + place) for place in range(others))]
    offsets = list(range(9, 10 + others))
    assert folded(sought, fetches) == offsets
    again = sought.wanted_from(9, 12, 10 + others)
    assert (again is None) == (len(fetches) > ON_THEIR_WAY)


def test_a_log_that_goes_back_without_a_seek_is_another_one() -> None:
    assert folded(Sought(0), [(0, 5), (0, 3)]) is None
