"""A partition whose rows are let go: windows go on, nothing is stored, memory is bounded."""

from __future__ import annotations

import pytest

from tests.unit.stream.test_partition import FROM_THE_START, SEGMENT, batch, line, partition
from tests.unit.stream.test_partition import small_segments as small_segments  # noqa: PLC0414 - the fixture
from tokentide.stream.partition import PartitionFold


def records(begin: int, end: int) -> dict[int, bytes | None]:
    return {offset: line(f"e{offset}") for offset in range(begin, end)}


def fed(end: int) -> PartitionFold:
    fold = partition(FROM_THE_START)
    fold.ingest(batch(0, end, records(0, end)))
    return fold


def calls(fold: PartitionFold) -> int:
    return int(sum(fold.published()["calls"].to_pylist()))


def test_rows_and_dead_letters_that_were_held_are_gone_and_no_more_are_taken() -> None:
    fold = partition(FROM_THE_START)
    fold.ingest(batch(0, 2, {0: line("a"), 1: b"{"}))
    assert (fold.held_rows, fold.held_bytes > 0) == (1, True)
    fold.let_go()
    assert (fold.held_rows, fold.held_bytes) == (0, 0)
    fold.ingest(batch(2, 4, {2: line("b"), 3: b"{"}))
    assert (fold.held_rows, fold.held_bytes) == (0, 0)


def test_there_is_no_checkpoint_any_more() -> None:
    fold = fed(3)
    assert not fold.has_let_go
    fold.let_go()
    assert fold.has_let_go
    assert fold.checkpoint() is None


def test_windows_are_published_on() -> None:
    fold = fed(3)
    assert calls(fold) == 3
    fold.let_go()
    fold.ingest(batch(3, 5, records(3, 5)))
    assert calls(fold) == 5, "partials are absolute"


@pytest.mark.parametrize("segments", [1, 3])
def test_segments_read_to_their_end_are_forgotten_once_published(segments: int) -> None:
    end = segments * SEGMENT + 2
    fold = fed(end)
    fold.let_go()
    assert calls(fold) == end
    fold.ingest(batch(end, end + 1, records(end, end + 1)))
    assert calls(fold) == 3, "only the segment that is still being read changed"
    assert [span.span.segment for span in fold._spans] == [segments], "memory is bounded"


def test_a_checkpoint_under_way_can_still_be_committed() -> None:
    fold = fed(3)
    under_way = fold.checkpoint()
    assert under_way is not None
    fold.ingest(batch(3, 5, records(3, 5)))
    fold.let_go()
    fold.committed(under_way.position)
    assert fold.checkpoint() is None
