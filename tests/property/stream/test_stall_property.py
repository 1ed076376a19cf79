"""The watch over random schedules of a machine: what gets on is never ended, what hangs always is."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tokentide.stream.stall import LOOK_COUNTS_S, StallWatch, Work

LIMIT_S = 60.0
TICK_S = 0.5

SHARES = st.floats(0.0005, 1.0)
"""Of a core that the worker gets."""
PIECES = st.lists(st.floats(0.001, 0.9 * LIMIT_S), min_size=1, max_size=5)
"""CPU seconds of one piece of work after the other: far more than any slice has."""
PAUSES = st.lists(st.floats(0.0, 3_600.0), max_size=10)
"""Seconds for which the process is frozen, now and then."""


class Machine:
    """Looks every half second, later where the process is frozen; between two looks the thread gets its share."""

    def __init__(self, share: float, pauses: Sequence[float]) -> None:
        self.now_s = 0.0
        self.cpu_s = 0.0
        self._share = share
        self._pauses = list(pauses)
        self._looks = 0

    def tick(self) -> None:
        self._looks += 1
        frozen_s = self._pauses.pop() if self._pauses and self._looks % 7 == 0 else 0.0
        self.now_s += TICK_S + frozen_s
        self.cpu_s += TICK_S * self._share


@given(SHARES, PIECES, PAUSES)
def test_who_computes_is_not_ended_however_little_of_the_processor_it_gets(
    share: float, pieces: list[float], pauses: list[float]
) -> None:
    watch, machine = StallWatch(LIMIT_S), Machine(max(share, 0.01), pauses)
    for number, piece_s in enumerate(pieces):
        until_s = machine.cpu_s + piece_s
        while machine.cpu_s < until_s:
            machine.tick()
            assert not watch.look(machine.now_s, {"core": Work(number, "folding", cpu_s=machine.cpu_s)})


@given(SHARES, PAUSES, st.floats(0, 100))
def test_who_computes_for_ever_is_ended_when_it_has_used_the_limit(
    share: float, pauses: list[float], before_s: float
) -> None:
    watch, machine = StallWatch(LIMIT_S), Machine(max(share, 0.01), pauses)
    machine.cpu_s = before_s
    while not watch.look(machine.now_s, {"core": Work(1, "folding", cpu_s=machine.cpu_s)}):
        machine.tick()
        assert machine.cpu_s - before_s < LIMIT_S + 2 * TICK_S
    assert machine.cpu_s - before_s > LIMIT_S - TICK_S


@given(PAUSES, st.integers(0, 40))
def test_who_is_blocked_or_waits_for_ever_is_ended_by_the_looks_of_the_limit(
    pauses: list[float], got_on: int
) -> None:
    watch, machine = StallWatch(LIMIT_S), Machine(0.0, pauses)
    looks = 0
    while True:
        looks += 1
        machine.tick()
        works = {
            "core": Work(min(looks, got_on), "blocked", cpu_s=2.0),
            "wait": Work(min(looks, got_on), "waiting"),
        }
        if found := watch.look(machine.now_s, works):
            break
        assert looks <= got_on + 2 + LIMIT_S / TICK_S
    assert {stalled.name for stalled in found} == {"core", "wait"}
    assert looks >= got_on + LIMIT_S / LOOK_COUNTS_S / 2


@given(st.lists(st.floats(0.0, 500.0), min_size=50, max_size=300), st.integers(1, 50))
def test_who_gets_on_within_some_looks_is_not_ended_however_long_they_are(
    waits_s: list[float], patience: int
) -> None:
    watch, now_s = StallWatch(LIMIT_S), 0.0
    for look, wait_s in enumerate(waits_s):
        now_s += wait_s
        assert not watch.look(now_s, {"wait": Work(look // patience, "waiting")})
