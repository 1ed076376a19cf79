"""What must hold at the end where retention took parts of a log: the ledger's spans, one after the other, tell all of it.

Each row of the ledger speaks for a span of the log. Between two spans may be a hole, of which the later one says how long it
is. Rows, letters, partials and the ledger's row of a span are those of a fold of just this span, under the row's fold id, however
long the span is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

from tests.support.delivery_model import (
    SOURCE_NAME,
    WHOLE_SEGMENTS,
    Row,
    Rows,
    World,
    folded,
    known,
    without_versions,
)
from tokentide.stream.resume import Start


class SpanReport(NamedTuple):
    """What was found."""

    differences: Sequence[str]
    spans: int
    unsure: int
    """Spans whose partials may count events that the next span counts, too. See docs/delivery.md, limits."""
    holes: int


def compare_spans(world: World) -> SpanReport:
    """Compare what is stored with the log, span by span."""
    differences: list[str] = []
    spans = unsure = holes = 0
    for partition, end in enumerate(world.log.ends):
        rows = sorted(
            (row for key, row in world.stores.ledger.items() if key[1] == partition),
            key=lambda row: int(row["first_offset"]),
        )
        if not rows or rows[-1]["version"] != end:
            differences.append(f"partition {partition} is not told to its end")
        differences += _untold(partition, rows, is_exact=not world.faults.zombies)
        spans += len(rows)
        holes += sum(row["lost"] > 0 for row in rows)
        following = [row["first_offset"] for row in rows[1:]] + [end]
        forgotten_from = _forgotten_from(world, partition)
        for row, next_first in zip(rows, following, strict=True):
            waiting = None if row["first_offset"] >= forgotten_from else _waiting(world, partition, rows, row)
            is_sure = _is_sure(world, row, next_first)
            unsure += not is_sure or waiting is None
            if waiting is None:
                continue
            differences += _wrong_in_span(world, partition, row, waiting, is_sure=is_sure)
    return SpanReport(differences, spans, unsure, holes)


def _untold(partition: int, rows: Sequence[Row], *, is_exact: bool) -> Iterator[str]:
    """Holes of another length than the ledger says; a zombie may have stored a part since, in one or several spans."""
    losses = [(row["first_offset"] - row["lost"], row["first_offset"]) for row in rows]
    for before, after in pairwise(rows):
        hole = after["first_offset"] - before["version"]
        is_told = any(begin <= before["version"] and after["first_offset"] <= end for begin, end in losses)
        if (hole > 0 and not is_told) or (is_exact and hole != after["lost"]):
            yield (
                f"partition {partition}: {hole} offsets are missing before {after['first_offset']}, "
                f"{after['lost']} are said to be lost"
            )


def _forgotten_from(world: World, partition: int) -> float:
    """Where a worker went on without parts that retention had taken, while one that died without its ledger row, or a zombie,
    had gone on with them: both write the same spans, and these differ. See docs/delivery.md, limits.
    """
    without = (start.read_from for place, start in world.starts if place == partition and start.lost_parts)
    return min(without, default=inf)


def _waiting(
    world: World, partition: int, rows: Sequence[Row], row: Row
) -> tuple[tuple[int, int], ...] | None:
    """The parts that waited where a span began; None where retention may have taken some, or nobody knows which they were."""
    first = row["first_offset"]
    before = [earlier for earlier in rows if earlier["first_offset"] < first]
    if not before or not any(earlier["parts"] for earlier in before):
        return ()
    if any(one["version"] > after["first_offset"] for one, after in pairwise([*before, row])):
        return None  # a zombie went on with what only it remembers
    if before[-1]["version"] != first:
        return ()
    places = tuple(zip(before[-1]["pending_offsets"], before[-1]["pending_items"], strict=True))
    return places if all(offset >= world.log.earliest[partition] for offset, _ in places) else None


def _is_sure(world: World, row: Row, next_first: int) -> bool:
    """Whether no partial of a span goes beyond what its ledger row tells, nor into the next span."""
    span = (row["source"], row["source_partition"], row["segment"], row["first_offset"], row["fold"])
    newest = max(
        (kept["version"] for key, kept in world.stores.windows.items() if key[:5] == span), default=0
    )
    return bool(newest <= row["version"] <= next_first)


def _wrong_in_span(
    world: World, partition: int, row: Row, waiting: tuple[tuple[int, int], ...], *, is_sure: bool
) -> Iterator[str]:
    first, end = row["first_offset"], row["version"]
    where = f"partition {partition}, {first} to {end}"
    alone = Start(first, first, first, known_lost=row["lost"], waiting=waiting)
    rules = world.rules._replace(fold_id=row["fold"], spans=WHOLE_SEGMENTS)
    expected = folded(world.log, partition, alone, end, rules, world.enrich)
    stores = world.stores
    span = (SOURCE_NAME, partition, row["segment"], first)
    if stores.ledger[span] != expected.ledger[span] | {"limited_from": row["limited_from"]}:
        yield f"{where}: the ledger's row"
    if not stores.letters.items() >= expected.letters.items():
        yield f"{where}: dead letters"
    found = {key: stored for key, stored in stores.events.items() if key in expected.events}
    if world.faults.zombies:
        # A zombie whose span began before this one may have written rows again: it knew more of what is late.
        found, expected.events = _whenever(found), _whenever(expected.events)
    if known(found) != known(expected.events):
        yield f"{where}: rows of events"
    windows = {key: stored for key, stored in stores.in_force(stores.windows).items() if key[:4] == span}
    if is_sure and without_versions(windows) != without_versions(expected.windows):
        yield f"{where}: windows"


def _whenever(events: Rows) -> Rows:
    return {key: {**row, "late": None} for key, row in events.items()}
