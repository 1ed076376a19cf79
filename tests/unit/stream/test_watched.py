from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokentide.stream.core_thread import Doing
from tokentide.stream.stall import Stalled, StallWatch
from tokentide.stream.transport.fetched import Place
from tokentide.stream.watched import Fetching, Seen, told, works

P0, P1 = ("llm.events", 0), ("llm.events", 1)
LIMIT_S = 10.0
IDLE = Seen(doing=None, done=0, positions={}, fetching={}, calls={}, turns=0)
FETCHED = Fetching(end=9, position=7)
"""Two records are in the worker's hands."""


def stalled(*seen: Seen) -> list[tuple[int, Stalled]]:
    """What hangs in looks at every second, and when it is noticed; the last look goes on for a while."""
    watch = StallWatch(LIMIT_S)
    looks = [*seen, *[seen[-1]] * 30]
    return [(second, found) for second, look in enumerate(looks) for found in watch.look(second, works(look))]


def assigned(positions: Mapping[Place, int], fetching: Fetching, **rest: Any) -> Seen:
    return IDLE._replace(positions=positions, fetching=dict.fromkeys(positions, fetching), **rest)


def test_nothing_assigned_is_nothing_to_watch() -> None:
    assert stalled(IDLE) == []


def test_without_an_answer_to_a_fetch_it_hangs_if_kafka_answers_others() -> None:
    second, found = stalled(assigned({P0: 5}, Fetching(end=9, position=5)))[0]
    assert (second, found.name, found.work.asks_kafka) == (11, ("fetch", P0), True)
    assert told(found) == (
        "llm.events/0 stands still at offset 5, 4 records behind: no answer to a fetch for 11 s; "
        "it last got on with (5, 5, None)"
    )


def test_answers_without_records_are_answers() -> None:
    """As while a transaction is open: there is more, and nobody may read it."""
    looks = [assigned({P0: 5}, Fetching(end=9, position=5, answers=n // 5)) for n in range(60)]
    assert stalled(*looks, IDLE) == []


def test_the_one_that_is_furthest_behind_is_told_first() -> None:
    seen = IDLE._replace(positions={P0: 5, P1: 5}, fetching={P0: Fetching(6, 5), P1: Fetching(600, 5)})
    assert stalled(seen)[0][1].name == ("fetch", P1)


def test_what_is_fetched_and_not_taken_hangs() -> None:
    for fetching in (FETCHED, Fetching(end=9, position=5, is_waiting=True)):
        second, found = stalled(assigned({P0: 5}, fetching, turns=3, done=7))[0]
        assert (second, found.name, found.work.asks_kafka) == (11, "taking", False)
        assert told(found).startswith(
            "llm.events/0 stands still at offset 5, 4 records behind: it is fetched, and nothing is taken for 11 s"
        )


def test_while_pieces_of_work_are_done_what_is_fetched_waits() -> None:
    """One fetch may take minutes, where there is little of the processor."""
    looks = [
        assigned({P0: 5, P1: 5}, FETCHED, doing=Doing(1 + n // 9, "folding events", n / 5))
        for n in range(300)
    ]
    assert stalled(*looks, IDLE) == []


def test_so_it_does_between_pieces_of_work() -> None:
    looks = [assigned({P0: 5}, FETCHED, done=n // 9) for n in range(300)]
    assert stalled(*looks, IDLE) == []


def test_a_piece_of_work_without_end_hangs_and_nothing_else_is_blamed() -> None:
    looks = [assigned({P0: 5}, FETCHED, doing=Doing(4, "folding events", n / 2)) for n in range(40)]
    second, found = stalled(*looks)[0]
    assert (second, found.name) == (21, "core")
    assert told(found) == "folding events does not end: it has used 10.5 s of the processor (piece of work 4)"


def test_a_blocked_piece_of_work_hangs() -> None:
    _, found = stalled(assigned({P0: 5}, FETCHED, doing=Doing(4, "detecting", 1.5)))[0]
    assert told(found) == "detecting does not end: it is blocked for 11 s (piece of work 4)"


def test_one_partition_that_is_never_taken_while_others_are_hangs() -> None:
    looks = [assigned({P0: 5, P1: 5 + n}, FETCHED._replace(position=10_000), turns=n) for n in range(100)]
    second, found = stalled(*looks)[0]
    assert (second, found.name) == (40, ("turn", P0)), "after forty turns of the other: a few may be chance"


def test_what_the_consumer_s_thread_was_asked_and_has_not_done_hangs() -> None:
    _, found = stalled(assigned({P0: 5}, FETCHED, calls={3: "commit"}))[0]
    assert (found.name, found.work.asks_kafka) == (("call", 3), True)
    assert told(found).startswith("the consumer's thread has not answered (commit) for 11 s")


def test_one_call_after_the_other_does_not() -> None:
    looks = [assigned({}, FETCHED, calls={n // 9: "commit"}) for n in range(100)]
    assert stalled(*looks, IDLE) == []


def test_what_is_asked_of_kafka_otherwise_ends_by_itself() -> None:
    assert stalled(assigned({P0: 5}, FETCHED, is_asking=True)) == []


def test_records_that_are_acknowledged_one_by_one_get_on() -> None:
    looks = [IDLE._replace(acknowledged=n // 9) for n in range(100)]
    assert stalled(*looks, IDLE) == []
    assert stalled(IDLE._replace(acknowledged=5))[0][1].name == "sending"
