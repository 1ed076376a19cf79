from __future__ import annotations

from tokentide.stream.stall import StallWatch, Work

LIMIT_S = 10.0


def looks(watch: StallWatch, times: range, **work: object) -> list[bool]:
    return [bool(watch.look(now, {"it": Work(**{"mark": 0, "told": "it", **work})})) for now in times]


def test_what_gets_on_never_stalls() -> None:
    watch = StallWatch(LIMIT_S)
    assert not any(watch.look(now, {0: Work(now // 9, "it")}) for now in range(1_000))


def test_what_does_not_stalls_after_the_limit() -> None:
    assert looks(StallWatch(LIMIT_S), range(13)) == [False] * 11 + [True] * 2


def test_what_was_left_out_meanwhile_begins_anew() -> None:
    watch = StallWatch(LIMIT_S)
    assert not any(looks(watch, range(9)))
    watch.look(9, {})
    assert not any(looks(watch, range(10, 20)))


def test_what_is_excused_begins_anew() -> None:
    watch = StallWatch(LIMIT_S)
    looks(watch, range(12))
    watch.excuse("it")
    assert looks(watch, range(12, 24)) == [False] * 11 + [True]


def test_a_frozen_process_has_not_waited() -> None:
    """SIGSTOP, a laptop that was closed, a quota of the processor that is used up."""
    watch = StallWatch(LIMIT_S)
    assert not any(looks(watch, range(0, 10_000, 1_000)))


def test_of_several_those_that_hang_are_told_with_how_long() -> None:
    watch = StallWatch(LIMIT_S)
    for now in range(12):
        found = watch.look(now, {0: Work(now, "moves"), 1: Work(7, "stands")})
    (stalled,) = found
    assert (stalled.name, stalled.work.told, stalled.fair_s, stalled.cpu_s) == (1, "stands", 11, None)


def test_a_piece_of_work_may_take_any_time_with_little_of_the_processor() -> None:
    watch = StallWatch(LIMIT_S)
    for now in range(900):
        assert not watch.look(now, {0: Work(1, "folding", cpu_s=now / 100)})


def test_a_piece_of_work_that_uses_the_limit_of_the_processor_hangs() -> None:
    watch = StallWatch(LIMIT_S)
    found = [now for now in range(300) if watch.look(now, {0: Work(1, "folding", cpu_s=5 + now / 10)})]
    assert found[0] == 101


def test_a_piece_of_work_that_uses_nothing_at_all_is_blocked() -> None:
    watch = StallWatch(LIMIT_S)
    found = [now for now in range(20) if watch.look(now, {0: Work(1, "folding", cpu_s=3.0)})]
    assert found[0] == 11


def test_cpu_time_counts_from_when_the_piece_was_first_seen() -> None:
    watch = StallWatch(LIMIT_S)
    used_s = 0.0
    for now in range(600):
        used_s += 1
        assert not watch.look(now, {0: Work(now // 9, "folding", cpu_s=used_s)})


def test_who_waits_its_turn_waits_while_others_have_few() -> None:
    watch = StallWatch(LIMIT_S)
    for now in range(100):
        assert not watch.look(now, {0: Work(5, "its turn", turns=now // 20, patience_turns=6)})
    found = [
        now
        for now in range(100, 200)
        if watch.look(now, {0: Work(5, "its turn", turns=now // 20, patience_turns=6)})
    ]
    assert found[0] == 120
