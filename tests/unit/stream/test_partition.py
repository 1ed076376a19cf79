from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tokentide.schemas.arrow import LEDGER_ROWS, WINDOW_ROWS
from tokentide.schemas.rejects import RejectReason
from tokentide.stream import partition as partition_module
from tokentide.stream import resume as resume_module
from tokentide.stream.decode.clock import ClockLimits
from tokentide.stream.decode.decoder import Decoder
from tokentide.stream.enrich.outcome import add_status, add_window_start
from tokentide.stream.fold.extent import SpanLimits
from tokentide.stream.fold.segment import FoldSettings
from tokentide.stream.join.waiting import JoinLimits
from tokentide.stream.letters import LetterPolicy
from tokentide.stream.partition import Checkpoint, OutOfStepError, PartitionFold, PartitionRules
from tokentide.stream.record_batch import RecordBatch, Source
from tokentide.stream.resume import KnownSpan, LedgerEntry, Start, plan_start
from tokentide.stream.taken import Runs, Taken

SEGMENT = 10
SENT_MS = 1_769_860_860_000
SOURCE = Source("llm.events:id", "llm.events", 3)
RULES = PartitionRules(FoldSettings(("service",), 100), 77, ClockLimits(), LetterPolicy())
FROM_THE_START = Start(read_from=0, stored_to=0, resume_at=0)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_module, "SEGMENT_OFFSETS", SEGMENT)
    monkeypatch.setattr(resume_module, "SEGMENT_OFFSETS", SEGMENT)


def enriched(table: pa.Table) -> pa.Table:
    """Enrichment in small: what the fold cannot do without."""
    return add_window_start(add_status(table))


def partition(start: Start = FROM_THE_START) -> PartitionFold:
    return PartitionFold(SOURCE, start, RULES, Decoder(), enriched)


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": name, "timestamp": "2026-01-31T12:00:30Z", "service": "s", **fields}


def line(name: str, **fields: Any) -> bytes:
    return json.dumps(event(name, **fields)).encode()


def batch(begin: int, end: int, records: dict[int, bytes | None]) -> RecordBatch:
    """Offsets without a record are gaps."""
    return RecordBatch(
        begin,
        end,
        np.array(sorted(records), np.int64),
        np.full(len(records), SENT_MS),
        [b"k"] * len(records),
        [records[offset] for offset in sorted(records)],
    )


def full(begin: int, end: int) -> RecordBatch:
    """One event at every offset, named by it."""
    return batch(begin, end, {offset: line(f"e{offset}") for offset in range(begin, end)})


def taken(fold: PartitionFold) -> Checkpoint:
    checkpoint = fold.checkpoint()
    assert checkpoint is not None
    return checkpoint


def offsets_of(checkpoint: Checkpoint) -> list[int]:
    return [offset for rows in checkpoint.rows for offset in rows["source_offset"].to_pylist()]


def ledger_of(checkpoint: Checkpoint, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in checkpoint.ledger.to_pylist()]


def calls_of(table: pa.Table) -> dict[int, int]:
    """Calls by segment."""
    return {row["segment"]: row["calls"] for row in table.to_pylist()}


# --- batches


def test_a_batch_from_elsewhere_is_refused_and_nothing_of_it_is_taken() -> None:
    fold = partition()
    fold.ingest(full(0, 3))
    for begin in (2, 4):
        with pytest.raises(OutOfStepError, match=f"begins at offset {begin}, 3 was expected"):
            fold.ingest(full(begin, begin + 2))
    assert fold.position == 3
    assert offsets_of(taken(fold)) == [0, 1, 2]


def test_ingest_says_what_there_was() -> None:
    records = {
        0: line("a"),
        1: b"broken",
        2: json.dumps([event("b"), event("c"), 5]).encode(),
        3: line("a"),
        4: None,
    }
    taken = partition().ingest(batch(0, 5, records))
    assert taken == Taken(
        records=5,
        events=3,
        duplicates=1,
        unpriced=3,
        refused={RejectReason.NOT_JSON: 1, RejectReason.WRONG_TYPE: 1, RejectReason.EMPTY: 1},
        runs=Runs(first=0, longest=1, last=1),
    )
    assert (taken.accepted, taken.refusals) == (4, 3)


def test_windows_of_series_beyond_the_cap_are_told() -> None:
    rules = RULES._replace(fold=FoldSettings(("service",), 2))
    fold = PartitionFold(SOURCE, FROM_THE_START, rules, Decoder(), enriched)
    names = ["a", "b", "c", "d", "a", "c"]
    overflowed = [
        fold.ingest(batch(n, n + 1, {n: line(f"e{n}", service=name)})).overflowed
        for n, name in enumerate(names)
    ]
    assert overflowed == [0, 0, 1, 1, 0, 1]
    checkpoint = fold.checkpoint()
    assert checkpoint is not None
    rows = checkpoint.partials.select(["service", "calls"]).to_pylist()
    assert {row["service"]: row["calls"] for row in rows} == {"a": 2, "b": 1, "__other__": 3}


def test_what_was_durable_is_told_apart_from_what_is_new() -> None:
    fold = partition(Start(read_from=0, stored_to=4, resume_at=4))
    records = {
        0: line("a"),
        1: b"old poison",
        2: line("b"),
        3: b"more",
        4: line("a"),
        5: b"new",
        6: line("c"),
    }
    taken = fold.ingest(batch(0, 7, records))
    assert taken == Taken(
        records=3,
        events=1,
        duplicates=1,
        unpriced=1,
        again=2,
        refused={RejectReason.NOT_JSON: 1},
        runs=Runs(first=0, longest=1, last=0),
    )


def test_counts_do_not_depend_on_segments_nor_on_whether_rows_were_let_go() -> None:
    records: dict[int, bytes | None] = {offset: line(f"e{offset}") for offset in range(25)} | {12: b"poison"}
    fold = partition()
    fold.let_go()
    taken = fold.ingest(batch(0, 25, records))
    assert (taken.records, taken.events, taken.duplicates, taken.refusals) == (25, 24, 0, 1)


def test_a_batch_of_gaps_alone_moves_on_and_is_counted() -> None:
    fold = partition()
    assert fold.ingest(batch(0, 4, {})) == Taken()
    checkpoint = taken(fold)
    assert (checkpoint.position, checkpoint.row_count, checkpoint.partials.num_rows) == (4, 0, 0)
    assert ledger_of(checkpoint, "records", "gaps", "version", "min_timestamp") == [(0, 4, 4, None)]


def test_a_batch_of_nothing_changes_nothing() -> None:
    fold = partition()
    fold.ingest(batch(0, 0, {}))
    assert fold.position == 0
    assert fold.checkpoint() is None


def test_since_leaves_out_what_lies_below_a_position() -> None:
    whole = batch(2, 9, {2: line("a"), 5: None, 6: line("b")})
    rest = whole.since(5)
    assert (rest.begin, rest.end, rest.offsets.tolist(), rest.timestamps_ms.tolist()) == (
        5,
        9,
        [5, 6],
        [SENT_MS] * 2,
    )
    assert (list(rest.keys), list(rest.values)) == ([b"k", b"k"], [None, line("b")])
    assert whole.since(1) is whole
    assert whole.since(2) is whole
    assert whole.since(9).offsets.tolist() == []


# --- segments


def test_a_batch_over_a_boundary_is_split_between_its_segments() -> None:
    fold = partition()
    fold.ingest(
        batch(0, 14, {8: line("a"), 9: json.dumps([event("b"), 5]).encode(), 10: line("c"), 13: b"x"})
    )
    checkpoint = taken(fold)
    names = ("segment", "first_offset", "version", "records", "gaps", "items", "events", "rejects", "fold")
    assert ledger_of(checkpoint, *names) == [(0, 0, 10, 2, 8, 3, 2, 1, 77), (1, 10, 14, 2, 2, 2, 1, 1, 77)]
    assert calls_of(checkpoint.partials) == {0: 2, 1: 1}
    assert [(row["version"], row["first_offset"]) for row in checkpoint.partials.to_pylist()] == [
        (10, 0),
        (14, 10),
    ]
    assert offsets_of(checkpoint) == [8, 9, 10]
    assert [(letter.offset, letter.index) for letter in checkpoint.letters] == [(9, 1), (13, -1)]


def test_a_batch_that_ends_at_a_boundary_opens_no_further_segment() -> None:
    fold = partition()
    fold.ingest(full(0, 10))
    assert ledger_of(taken(fold), "segment", "version") == [(0, 10)]


def test_a_gap_over_whole_segments_is_counted_in_each() -> None:
    fold = partition()
    fold.ingest(batch(0, 35, {1: line("a"), 34: line("b")}))
    assert ledger_of(taken(fold), "segment", "version", "records", "gaps") == [
        (0, 10, 1, 9), (1, 20, 0, 10), (2, 30, 0, 10), (3, 35, 1, 4),
    ]  # fmt: skip


def test_the_first_span_begins_where_reading_began() -> None:
    fold = partition(Start(read_from=4, stored_to=4, resume_at=4))
    fold.ingest(full(4, 12))
    assert ledger_of(taken(fold), "segment", "first_offset", "records") == [(0, 4, 6), (1, 10, 2)]


def test_an_id_is_a_duplicate_within_its_segment_only() -> None:
    fold = partition()
    fold.ingest(batch(0, 12, {0: line("a"), 5: line("a"), 11: line("a")}))
    fold.ingest(batch(12, 14, {13: line("a")}))
    checkpoint = taken(fold)
    assert ledger_of(checkpoint, "segment", "items", "events", "duplicates") == [(0, 2, 1, 1), (1, 2, 1, 1)]
    assert offsets_of(checkpoint) == [0, 11]
    assert calls_of(checkpoint.partials) == {0: 1, 1: 1}


def test_the_result_of_a_segment_does_not_depend_on_where_batches_end() -> None:
    whole, pieces = partition(), partition()
    records = {
        offset: line(f"e{offset % 7}", timestamp=f"2026-01-31T12:0{offset % 3}:00Z")
        for offset in range(1, 24, 2)
    }
    whole.ingest(batch(0, 24, records))
    for begin in range(0, 24, 5):
        end = min(begin + 5, 24)
        pieces.ingest(batch(begin, end, {o: value for o, value in records.items() if begin <= o < end}))
    one, other = taken(whole), taken(pieces)
    assert one.partials.to_pylist() == other.partials.to_pylist()
    assert one.ledger.to_pylist() == other.ledger.to_pylist()
    assert offsets_of(one) == offsets_of(other)
    late = [
        [late for rows in checkpoint.rows for late in rows["late"].to_pylist()] for checkpoint in (one, other)
    ]
    assert late[0] == late[1]


# --- spans of a segment that holds much


def by_items(limit: int) -> PartitionRules:
    """A span ends with so many events."""
    return RULES._replace(spans=SpanLimits(limit, 0, 0, item_ns=1))


def of_spans(limit: int, start: Start = FROM_THE_START) -> PartitionFold:
    return PartitionFold(SOURCE, start, by_items(limit), Decoder(), enriched)


def packed(*names: str) -> bytes:
    return json.dumps([event(name) for name in names]).encode()


def test_a_batch_is_split_where_spans_and_segments_end() -> None:
    fold = of_spans(3)
    fold.ingest(batch(0, 13, {0: packed("a", "b"), 2: packed("c", "a"), 5: line("a"), 11: line("d")}))
    checkpoint = taken(fold)
    names = ("segment", "first_offset", "version", "records", "gaps", "items", "events", "duplicates")
    assert ledger_of(checkpoint, *names) == [
        (0, 0, 3, 2, 1, 4, 3, 1),
        (0, 3, 10, 1, 6, 1, 1, 0),
        (1, 10, 13, 1, 2, 1, 1, 0),
    ]
    assert [(row["first_offset"], row["calls"]) for row in checkpoint.partials.to_pylist()] == [
        (0, 3),
        (3, 1),
        (10, 1),
    ]
    assert ledger_of(checkpoint, "limited_from") == [(0,), (3,), (10,)]


def test_spans_are_the_same_however_the_log_is_cut() -> None:
    whole, pieces = of_spans(3), of_spans(3)
    whole.ingest(full(0, 25))
    for begin in range(0, 25, 4):
        pieces.ingest(full(begin, min(begin + 4, 25)))
    one, other = taken(whole), taken(pieces)
    assert ledger_of(one, "first_offset") == [(n,) for n in (0, 3, 6, 9, 10, 13, 16, 19, 20, 23)]
    assert one.ledger.to_pylist() == other.ledger.to_pylist()
    assert one.partials.to_pylist() == other.partials.to_pylist()


def test_a_batch_that_ends_with_a_span_opens_no_further_one() -> None:
    fold = of_spans(3)
    fold.ingest(full(0, 3))
    assert ledger_of(taken(fold), "first_offset", "version") == [(0, 3)]


def test_spans_below_the_commit_are_forgotten() -> None:
    fold = of_spans(3)
    fold.ingest(full(0, 7))
    taken(fold)
    fold.committed(6)
    fold.ingest(full(7, 8))
    assert ledger_of(taken(fold), "first_offset", "version") == [(6, 8)]


def test_only_the_open_span_is_read_again() -> None:
    fold = of_spans(3)
    fold.ingest(full(0, 8))
    entries = [LedgerEntry(*row) for row in ledger_of(taken(fold), "first_offset", "version", "fold", "lost")]
    start = plan_start(8, 0, entries, RULES.fold_id)
    again = of_spans(3, start)
    assert again.position == 6
    again.ingest(full(6, 10))
    assert ledger_of(taken(again), "first_offset", "version", "records") == [(6, 9, 3), (9, 10, 1)]


def test_what_is_refused_for_its_time_counts_like_any_other_so_that_settings_move_no_end() -> None:
    records: dict[int, bytes | None] = {n: line(f"e{n}", timestamp="2036-01-01T00:00:00Z") for n in range(4)}
    fold = of_spans(3)
    fold.ingest(batch(0, 4, records))
    assert ledger_of(taken(fold), "first_offset", "items", "rejects") == [(0, 3, 3), (3, 1, 1)]


def test_a_span_that_the_ledger_knows_begins_there_also_where_the_one_before_has_room() -> None:
    start = Start(0, 0, 0, known=(KnownSpan(5, 4, 5),))
    fold = of_spans(9, start)
    fold.ingest(full(0, 10))
    assert ledger_of(taken(fold), "first_offset", "version", "lost") == [(0, 5, 0), (5, 10, 4)]


def test_a_span_of_an_older_version_gets_the_whole_limit_from_where_that_had_read_to() -> None:
    start = Start(0, 0, 4, known=(KnownSpan(0, 0, 4),))
    fold = of_spans(3, start)
    fold.ingest(full(0, 9))
    rows = ledger_of(taken(fold), "first_offset", "version", "limited_from")
    assert rows == [(0, 7, 4), (7, 9, 7)]


def test_texts_of_durable_rows_are_not_worked_on_again() -> None:
    def for_rows(table: pa.Table) -> pa.Table:
        rows_made.extend(table["event_id"].to_pylist())
        return enriched(table)

    rows_made: list[str] = []
    start = Start(read_from=0, stored_to=2, resume_at=2)
    fold = PartitionFold(SOURCE, start, RULES, Decoder(), for_rows, enrich_for_windows=enriched)
    fold.ingest(full(0, 2))
    fold.ingest(full(2, 3))
    assert rows_made == ["e2"]
    checkpoint = taken(fold)
    assert (offsets_of(checkpoint), calls_of(checkpoint.partials)) == ([2], {0: 3})


# --- after a crash


def test_what_was_durable_is_folded_again_and_not_stored_again() -> None:
    fold = partition(Start(read_from=0, stored_to=4, resume_at=4))
    fold.ingest(batch(0, 6, {0: line("a"), 2: b"old poison", 3: line("b"), 4: line("c"), 5: b"new poison"}))
    checkpoint = taken(fold)
    assert offsets_of(checkpoint) == [4]
    assert [letter.offset for letter in checkpoint.letters] == [5]
    assert calls_of(checkpoint.partials) == {0: 3}
    assert ledger_of(checkpoint, "records", "events", "rejects") == [(5, 3, 2)]


def test_an_id_of_the_durable_part_is_a_duplicate_behind_it() -> None:
    fold = partition(Start(read_from=0, stored_to=2, resume_at=2))
    fold.ingest(batch(0, 4, {0: line("a"), 3: line("a")}))
    checkpoint = taken(fold)
    assert (offsets_of(checkpoint), ledger_of(checkpoint, "duplicates")) == ([], [(1,)])


def test_there_is_no_checkpoint_before_all_that_was_committed_is_folded_again() -> None:
    fold = partition(Start(read_from=0, stored_to=8, resume_at=8))
    for end in (3, 7):
        fold.ingest(full(fold.position, end))
        assert not fold.is_caught_up
        assert fold.checkpoint() is None
    fold.ingest(full(7, 8))
    assert fold.is_caught_up
    assert fold.checkpoint() is None  # nothing is new yet
    fold.ingest(full(8, 9))
    checkpoint = taken(fold)
    assert (checkpoint.position, offsets_of(checkpoint), calls_of(checkpoint.partials)) == (9, [8], {0: 9})


def test_with_other_settings_all_of_the_segment_is_stored_again_once_caught_up() -> None:
    fold = partition(Start(read_from=0, stored_to=0, resume_at=4))
    fold.ingest(full(0, 5))
    assert offsets_of(taken(fold)) == [0, 1, 2, 3, 4]


# --- retention


def test_a_hole_is_counted_in_the_span_behind_it() -> None:
    fold = partition(Start(read_from=14, stored_to=14, resume_at=14, lost=11))
    fold.ingest(full(14, 22))
    assert ledger_of(taken(fold), "segment", "first_offset", "lost") == [(1, 14, 11), (2, 20, 0)]


def test_a_hole_is_still_counted_after_a_restart_in_the_same_segment() -> None:
    """The ledger keeps the newest version of a row, so that one must say it again."""
    fold = partition(plan_start(3, 14, [], RULES.fold_id))
    fold.ingest(full(14, 16))
    (row,) = taken(fold).ledger.to_pylist()
    assert (row["first_offset"], row["lost"]) == (14, 11)
    entry = LedgerEntry(row["first_offset"], row["version"], row["fold"], row["lost"])
    again = partition(plan_start(16, 14, [entry], RULES.fold_id))
    again.ingest(full(14, 17))
    assert ledger_of(taken(again), "first_offset", "version", "lost") == [(14, 17, 11)]


# --- checkpoints


def test_a_checkpoint_has_what_is_new_since_the_last_one() -> None:
    fold = partition()
    fold.ingest(batch(0, 2, {0: line("a", service="x"), 1: b"poison"}))
    first = taken(fold)
    fold.committed(first.position)
    fold.ingest(batch(2, 3, {2: line("b", service="y")}))
    second = taken(fold)
    assert (offsets_of(second), second.letters) == ([2], [])
    assert [(row["service"], row["calls"], row["version"]) for row in second.partials.to_pylist()] == [
        ("y", 1, 3)
    ]
    assert ledger_of(second, "records", "version") == [(3, 3)]


def test_partials_are_absolute() -> None:
    fold = partition()
    fold.ingest(full(0, 2))
    fold.committed(taken(fold).position)
    fold.ingest(full(2, 5))
    assert [(row["calls"], row["version"]) for row in taken(fold).partials.to_pylist()] == [(5, 5)]


def test_without_anything_new_there_is_no_checkpoint() -> None:
    fold = partition()
    assert fold.checkpoint() is None
    fold.ingest(full(0, 2))
    fold.committed(taken(fold).position)
    assert fold.checkpoint() is None


def test_what_was_committed_forgets_the_segments_wholly_below_it() -> None:
    fold = partition()
    fold.ingest(full(0, 25))
    assert ledger_of(taken(fold), "segment") == [(0,), (1,), (2,)]
    fold.committed(20)
    fold.ingest(full(25, 26))
    assert ledger_of(taken(fold), "segment", "records") == [(2, 6)]


def test_a_segment_is_kept_until_its_last_offset_is_committed() -> None:
    fold = partition()
    fold.ingest(full(0, 10))
    taken(fold)
    fold.committed(9)
    fold.ingest(full(10, 11))
    assert ledger_of(taken(fold), "segment") == [(0,), (1,)]


def test_what_is_published_does_not_wait_for_a_checkpoint_and_takes_nothing_from_it() -> None:
    fold = partition()
    fold.ingest(full(0, 3))
    assert calls_of(fold.published()) == {0: 3}
    assert fold.published().num_rows == 0
    fold.ingest(full(3, 4))
    assert calls_of(fold.published()) == {0: 4}
    assert calls_of(taken(fold).partials) == {0: 4}


def test_without_an_event_there_are_tables_of_no_rows() -> None:
    fold = partition()
    assert fold.published().schema == WINDOW_ROWS
    fold.ingest(batch(0, 1, {0: None}))
    checkpoint = taken(fold)
    assert (checkpoint.partials.schema, checkpoint.ledger.schema) == (WINDOW_ROWS, LEDGER_ROWS)
    assert checkpoint.partials.num_rows == 0


def test_rows_and_letters_that_wait_are_counted_in_memory_until_they_are_taken() -> None:
    fold = partition()
    assert (fold.held_rows, fold.held_bytes) == (0, 0)
    fold.ingest(batch(0, 1, {0: line("a", feature="x" * 200)}))
    rows_alone = fold.held_bytes
    assert rows_alone > 200
    fold.ingest(batch(1, 2, {1: b"poison" * 1_000}))
    assert fold.held_rows == 1
    assert fold.held_bytes > rows_alone + 6_000
    taken(fold)
    assert (fold.held_rows, fold.held_bytes) == (0, 0)


def test_a_row_says_where_it_came_from() -> None:
    fold = partition()
    fold.ingest(batch(0, 8, {7: json.dumps([5, event("a")]).encode()}))
    ((rows),) = taken(fold).rows
    (row,) = rows.to_pylist()
    place = {
        name: row[name] for name in ("source", "source_partition", "source_offset", "source_index", "sent_at")
    }
    assert place == {
        "source": "llm.events:id",
        "source_partition": 3,
        "source_offset": 7,
        "source_index": 1,
        "sent_at": datetime(2026, 1, 31, 12, 1, tzinfo=UTC),
    }
    assert row["late"] is False


def test_late_events_are_marked_and_counted_in_their_own_window() -> None:
    fold = partition()
    times = ["12:00:59.999999", "12:00:00", "12:01:00", "12:00:59.999999", "12:00:30"]
    records = {n: line(f"e{n}", timestamp=f"2026-01-31T{time}Z") for n, time in enumerate(times)}
    fold.ingest(batch(0, 5, records))
    checkpoint = taken(fold)
    assert [late for rows in checkpoint.rows for late in rows["late"].to_pylist()] == [
        False,
        False,
        False,
        True,
        True,
    ]
    windows = {
        row["window_start"].minute: (row["calls"], row["late_calls"])
        for row in checkpoint.partials.to_pylist()
    }
    assert windows == {0: (4, 2), 1: (1, 0)}


def test_an_event_whose_time_cannot_be_is_a_letter_and_moves_no_watermark() -> None:
    fold = partition()
    fold.ingest(batch(0, 2, {0: line("a", timestamp="2027-01-31T12:00:30Z"), 1: line("b")}))
    checkpoint = taken(fold)
    assert [letter.reason for letter in checkpoint.letters] == ["clock"]
    assert pc.sum(checkpoint.partials["late_calls"]).as_py() == 0


def part_line(kind: str, name: str, **fields: Any) -> bytes:
    return line(name, event_type=kind, request_id="r", **fields)


def test_a_request_and_its_response_may_have_one_id() -> None:
    fold = partition()
    fold.ingest(batch(0, 2, {0: part_line("request", "same"), 1: part_line("response", "same")}))
    checkpoint = taken(fold)
    assert offsets_of(checkpoint) == [1]
    assert ledger_of(checkpoint, "events", "parts", "duplicates") == [(1, 1, 0)]


def test_what_waits_stands_in_every_row_of_the_ledger_and_is_read_again_from_there() -> None:
    fold = partition()
    fold.ingest(batch(0, 3, {0: line("a"), 1: part_line("request", "q", request_model="m"), 2: line("b")}))
    checkpoint = taken(fold)
    assert ledger_of(checkpoint, "version", "pending_offsets", "pending_items") == [(3, [1], [0])]

    # Retention takes the beginning of the segment: whoever takes over begins in its middle.
    (row,) = checkpoint.ledger.to_pylist()
    pending = tuple(zip(row["pending_offsets"], row["pending_items"], strict=True))
    start = plan_start(3, 1, [LedgerEntry(0, 3, row["fold"], 0, pending)], RULES.fold_id)
    again = partition(start)
    again.ingest(batch(1, 3, {1: part_line("request", "q", request_model="m"), 2: line("b")}))
    again.ingest(batch(3, 4, {3: part_line("response", "p")}))
    (rows,) = taken(again).rows
    assert rows.select(["source_offset", "request_model", "assembled_from"]).to_pylist() == [
        {"source_offset": 3, "request_model": "m", "assembled_from": "request+response"}
    ]


def test_what_is_crowded_out_is_told() -> None:
    rules = RULES._replace(join=JoinLimits(room_bytes=5_000))  # two parts, and not three
    fold = PartitionFold(SOURCE, FROM_THE_START, rules, Decoder(), enriched)
    requests = {n: line(f"q{n}", event_type="request", request_id=f"r{n}") for n in range(4)}
    told = [fold.ingest(batch(n, n + 1, {n: value})) for n, value in requests.items()]
    assert [(each.events, each.incomplete, each.crowded_out, each.parts) for each in told] == [
        (0, 0, 0, 1),
        (0, 0, 0, 1),
        (1, 1, 1, 1),
        (1, 1, 1, 1),
    ]
    assert fold.waiting_parts == 2
