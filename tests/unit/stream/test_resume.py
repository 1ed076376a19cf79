from __future__ import annotations

import pytest

from tokentide.schemas.aggregates import SEGMENT_OFFSETS as SEGMENT
from tokentide.stream.resume import (
    KnownSpan,
    LedgerEntry,
    Start,
    plan_start,
    segment_of,
    segments_to_ask,
)

FOLD, OTHER_FOLD = 7, 8


def test_a_segment_is_65_536_offsets() -> None:
    assert [segment_of(offset) for offset in (0, 65_535, 65_536, 131_071, 131_072)] == [0, 0, 1, 1, 2]


# --- nothing stored yet


def test_a_new_group_begins_at_the_first_offset_there_is() -> None:
    assert plan_start(None, 0, [], FOLD) == Start(read_from=0, stored_to=0, resume_at=0)


def test_a_new_group_on_an_old_log_has_lost_nothing_that_was_its_own() -> None:
    assert plan_start(None, 70_000, [], FOLD) == Start(read_from=70_000, stored_to=70_000, resume_at=70_000)


def test_a_commit_without_a_ledger_row_begins_at_the_segment_and_stores_its_rows_again() -> None:
    """The tables were made anew; or the last commit was a segment's end, where no row of the next one exists."""
    assert plan_start(70_000, 0, [], FOLD) == Start(read_from=65_536, stored_to=65_536, resume_at=70_000)
    assert plan_start(65_536, 0, [], FOLD) == Start(read_from=65_536, stored_to=65_536, resume_at=65_536)


def test_retention_within_the_segment_and_no_ledger_row_begins_at_the_earliest_offset() -> None:
    assert plan_start(70_000, 66_000, [], FOLD) == Start(read_from=66_000, stored_to=66_000, resume_at=70_000)


def test_retention_past_the_commit_and_no_ledger_row_counts_the_hole() -> None:
    assert plan_start(65_536, 66_000, [], FOLD) == Start(66_000, 66_000, 66_000, lost=464)


# --- as a rule: the segment's row is there, and its first offset too


def test_after_a_crash_the_segment_is_folded_from_its_first_offset_and_stored_from_the_commit() -> None:
    entries = [LedgerEntry(first_offset=65_536, version=71_000, fold=FOLD)]
    assert plan_start(70_000, 0, entries, FOLD) == Start(read_from=65_536, stored_to=70_000, resume_at=70_000)


def test_a_span_that_began_within_the_segment_is_folded_from_there() -> None:
    entries = [LedgerEntry(first_offset=66_000, version=71_000, fold=FOLD)]
    assert plan_start(70_000, 65_536, entries, FOLD) == Start(66_000, 70_000, 70_000)


def test_of_several_spans_the_newest_is_folded_again() -> None:
    entries = [LedgerEntry(66_000, 71_000, FOLD), LedgerEntry(65_536, 65_800, FOLD)]
    assert plan_start(70_000, 65_536, entries, FOLD) == Start(66_000, 70_000, 70_000)


def test_new_settings_or_prices_store_the_whole_segment_again() -> None:
    entries = [LedgerEntry(65_536, 71_000, OTHER_FOLD)]
    assert plan_start(70_000, 0, entries, FOLD) == Start(read_from=65_536, stored_to=65_536, resume_at=70_000)


def test_a_group_that_lost_its_commit_stores_the_first_segment_again() -> None:
    entries = [LedgerEntry(0, 500, FOLD)]
    assert plan_start(None, 0, entries, FOLD) == Start(read_from=0, stored_to=0, resume_at=0)


# --- a segment of several spans


SPANS = [
    LedgerEntry(0, 1_000, FOLD, pending=((990, 0),)),
    LedgerEntry(1_000, 1_800, FOLD, pending=((1_790, 0),)),
    LedgerEntry(1_800, 2_100, FOLD),
]


def spans_from(*first_offsets: int) -> tuple[KnownSpan, ...]:
    return tuple(KnownSpan(offset, 0, offset) for offset in first_offsets)


def test_only_the_span_that_holds_the_commit_is_folded_again() -> None:
    start = plan_start(2_050, 0, SPANS, FOLD)
    assert start == Start(1_800, 2_050, 2_050, waiting=((1_790, 0),))


def test_a_commit_within_an_older_span_begins_with_that_and_comes_to_the_later_ones_on_the_way() -> None:
    """Of the checkpoint that went over three spans some ledger rows may be there and others not."""
    expected = Start(1_000, 1_500, 1_500, waiting=((990, 0),), known=spans_from(1_800))
    assert plan_start(1_500, 0, SPANS, FOLD) == expected
    torn = [SPANS[0], SPANS[1]._replace(version=1_500), SPANS[2]]
    assert plan_start(1_500, 0, torn, FOLD) == expected
    assert plan_start(1_500, 0, SPANS[:2], FOLD) == expected._replace(known=())
    assert plan_start(500, 0, SPANS, FOLD) == Start(0, 500, 500, known=spans_from(1_000, 1_800))


def test_under_another_fold_too() -> None:
    assert plan_start(1_500, 0, SPANS, OTHER_FOLD) == Start(
        1_000, 1_000, 1_500, waiting=((990, 0),), known=spans_from(1_800)
    )


def test_a_commit_at_the_end_of_a_span_begins_with_the_next_where_the_ledger_knows_it() -> None:
    assert plan_start(1_800, 0, SPANS, FOLD) == Start(1_800, 1_800, 1_800, waiting=((1_790, 0),))
    # Without it, nobody can tell whether the span was over: it is folded again, and ends where it did.
    assert plan_start(1_800, 0, SPANS[:2], FOLD) == Start(1_000, 1_800, 1_800, waiting=((990, 0),))


def test_spans_of_later_segments_are_come_to_on_the_way() -> None:
    later = LedgerEntry(SEGMENT, SEGMENT + 50, FOLD)
    assert plan_start(2_050, 0, [*SPANS, later], FOLD).known == spans_from(SEGMENT)


def test_a_group_without_a_commit_begins_with_the_first_span_that_is_there() -> None:
    assert plan_start(None, 0, SPANS, FOLD) == Start(0, 0, 0, known=spans_from(1_000, 1_800))
    assert plan_start(None, 1_000, SPANS, FOLD) == Start(
        1_000, 1_000, 1_000, lost_parts=1, known=spans_from(1_800)
    )


def test_where_retention_is_in_the_middle_of_a_span_reading_begins_with_what_follows_it() -> None:
    assert plan_start(None, 300, SPANS, FOLD) == Start(
        1_000, 1_000, 1_000, waiting=((990, 0),), known=spans_from(1_800)
    )
    assert plan_start(1_500, 1_200, SPANS, FOLD) == Start(1_800, 1_800, 1_800, waiting=((1_790, 0),))
    # The row of the middle span is behind: what is missing of it is read as a span of its own.
    torn = [SPANS[0], SPANS[1]._replace(version=1_600, pending=()), SPANS[2]]
    assert plan_start(1_500, 1_200, torn, FOLD) == Start(1_600, 1_600, 1_600, known=spans_from(1_800))


def test_where_it_took_all_that_was_stored_the_hole_is_counted_from_the_last_span() -> None:
    assert plan_start(2_050, 2_500, SPANS, FOLD) == Start(2_500, 2_500, 2_500, lost=400)


def test_a_later_span_goes_on_saying_what_was_lost_before_it() -> None:
    later = LedgerEntry(2_000, 2_100, FOLD, lost=200)
    assert plan_start(500, 0, [SPANS[0], later], FOLD).known == (KnownSpan(2_000, 200, 2_000),)


# --- what an older version has begun, which knew no limit


def test_a_span_of_an_older_version_is_limited_from_where_that_had_read_to() -> None:
    old = LedgerEntry(0, 5_000, OTHER_FOLD, lost=7, limited_from=None)
    assert plan_start(4_000, 0, [old], FOLD) == Start(
        0, 0, 4_000, known_lost=7, known=(KnownSpan(0, 0, 5_000),)
    )


def test_and_stays_so_when_it_is_read_once_more() -> None:
    taken_over = LedgerEntry(0, 9_000, FOLD, limited_from=5_000)
    assert plan_start(8_000, 0, [taken_over], FOLD) == Start(0, 8_000, 8_000, known=(KnownSpan(0, 0, 5_000),))


def test_a_later_segment_that_it_had_begun_is_known_too() -> None:
    old = [
        LedgerEntry(0, SEGMENT, OTHER_FOLD, limited_from=None),
        LedgerEntry(SEGMENT, SEGMENT + 70, OTHER_FOLD, limited_from=None),
    ]
    assert plan_start(4_000, 0, old, FOLD).known == (
        KnownSpan(0, 0, SEGMENT),
        KnownSpan(SEGMENT, 0, SEGMENT + 70),
    )


# --- retention overtakes


def test_where_retention_took_the_segment_s_beginning_what_is_stored_stays_and_a_new_span_begins_behind_it() -> (
    None
):
    entries = [LedgerEntry(65_536, 71_000, FOLD)]
    assert plan_start(70_000, 66_000, entries, FOLD) == Start(71_000, 71_000, 71_000)
    assert plan_start(70_000, 66_000, entries, OTHER_FOLD) == Start(71_000, 71_000, 71_000)


def test_where_it_took_more_than_was_stored_the_hole_is_counted() -> None:
    entries = [LedgerEntry(65_536, 71_000, FOLD)]
    assert plan_start(70_000, 71_250, entries, FOLD) == Start(71_250, 71_250, 71_250, lost=250)
    far = 5 * SEGMENT
    assert plan_start(70_000, far, entries, FOLD) == Start(far, far, far, lost=far - 71_000)


def test_a_worker_that_died_after_its_ledger_row_and_before_its_commit_begins_its_span_again() -> None:
    """Retention had overtaken 70,000; the span from 200,000 on was stored, its commit was not made."""
    entries = [LedgerEntry(65_536, 71_000, FOLD), LedgerEntry(200_000, 200_300, FOLD, lost=129_000)]
    assert plan_start(70_000, 200_000, entries, FOLD) == Start(200_000, 200_000, 200_000, known_lost=129_000)


def test_and_if_retention_has_moved_on_since_nothing_is_counted_twice() -> None:
    entries = [LedgerEntry(65_536, 71_000, FOLD), LedgerEntry(200_000, 200_300, FOLD, lost=129_000)]
    assert plan_start(70_000, 200_100, entries, FOLD) == Start(200_300, 200_300, 200_300)
    assert plan_start(70_000, 200_500, entries, FOLD) == Start(200_500, 200_500, 200_500, lost=200)


def test_what_the_ledger_says_was_lost_is_said_again_by_its_next_version() -> None:
    entries = [LedgerEntry(66_000, 71_000, FOLD, lost=464)]
    assert plan_start(70_000, 66_000, entries, FOLD) == Start(66_000, 70_000, 70_000, known_lost=464)


def test_what_was_stored_after_the_commit_and_taken_by_retention_since_is_no_loss() -> None:
    """The last checkpoint went over several segments; its commit was not made."""
    entries = [LedgerEntry(65_536, 131_072, FOLD), LedgerEntry(131_072, 140_000, FOLD)]
    assert plan_start(70_000, 200_000, entries, FOLD) == Start(200_000, 200_000, 200_000, lost=60_000)


def test_a_group_whose_commit_has_expired_counts_what_retention_took_since() -> None:
    """Kafka forgets the commits of a group that is away for a week; the ledger does not."""
    entries = [LedgerEntry(0, 65_536, FOLD), LedgerEntry(65_536, 71_000, FOLD)]
    assert plan_start(None, 200_000, entries, FOLD) == Start(200_000, 200_000, 200_000, lost=129_000)
    assert plan_start(None, 71_100, entries, FOLD) == Start(71_100, 71_100, 71_100, lost=100)
    assert plan_start(None, 70_000, entries, FOLD) == Start(71_000, 71_000, 71_000)


@pytest.mark.parametrize(
    ("committed", "earliest", "segments"),
    [
        (None, 0, range(1)),
        (None, 70_000, range(2)),  # was there a commit that has expired?
        (200_000, 0, range(2, 4)),  # the one before the commit's may have ended with parts that wait
        (70_000, 66_000, range(2)),
        (70_000, 200_000, range(4)),  # retention overtook: what was stored before, after it, or on the way
    ],
)
def test_the_ledger_is_asked_for_all_segments_from_before_the_commit_to_where_the_log_begins(
    committed: int | None, earliest: int, segments: range
) -> None:
    assert segments_to_ask(committed, earliest) == segments


WAITED = ((65_000, 0), (65_530, 2))


def test_parts_that_waited_when_the_segment_began_are_read_again() -> None:
    entries = [LedgerEntry(0, 65_536, FOLD, pending=WAITED), LedgerEntry(65_536, 71_000, FOLD)]
    start = plan_start(70_000, 0, entries, FOLD)
    assert start == Start(65_536, 70_000, 70_000, waiting=WAITED)
    assert start.fetch_from == 65_000


def test_parts_that_waited_are_read_again_though_nothing_of_the_new_segment_is_stored() -> None:
    entries = [LedgerEntry(0, 65_536, FOLD, pending=WAITED)]
    assert plan_start(65_536, 0, entries, FOLD) == Start(65_536, 65_536, 65_536, waiting=WAITED)


def test_parts_that_waited_are_read_again_under_another_fold_too() -> None:
    entries = [LedgerEntry(0, 65_536, OTHER_FOLD, pending=WAITED), LedgerEntry(65_536, 71_000, OTHER_FOLD)]
    assert plan_start(70_000, 0, entries, FOLD) == Start(65_536, 65_536, 70_000, waiting=WAITED)


def test_parts_that_retention_has_taken_cannot_be_read_again_and_are_counted() -> None:
    entries = [LedgerEntry(0, 65_536, FOLD, pending=WAITED)]
    start = plan_start(70_000, 65_100, entries, FOLD)
    assert (start.waiting, start.lost_parts) == (WAITED[1:], 1)


def test_parts_wait_on_where_retention_has_taken_the_beginning_of_the_segment() -> None:
    entries = [LedgerEntry(65_536, 71_000, FOLD, pending=((70_500, 0),))]
    assert plan_start(71_000, 70_200, entries, FOLD) == Start(71_000, 71_000, 71_000, waiting=((70_500, 0),))
    again = [*entries, LedgerEntry(71_000, 71_900, FOLD)]
    assert plan_start(71_900, 70_200, again, FOLD) == Start(71_000, 71_900, 71_900, waiting=((70_500, 0),))


def test_a_span_that_begins_after_a_hole_begins_with_nothing_that_waits() -> None:
    entries = [LedgerEntry(0, 65_536, FOLD, pending=WAITED), LedgerEntry(66_000, 71_000, FOLD, lost=464)]
    assert plan_start(70_000, 0, entries, FOLD).waiting == ()
    assert plan_start(70_000, 66_500, entries[:1], FOLD).waiting == ()


def test_where_nothing_waits_reading_begins_where_folding_does() -> None:
    assert Start(5, 5, 5).fetch_from == 5
