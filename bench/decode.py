"""What decoding costs for each kind of traffic, in microseconds of CPU an event; results are compared with the reference path's first."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

from bench.figures import Figure
from bench.mixes import mixes
from tests.support.decoding import DECODERS, assert_same
from tokentide.stream.decode.decoder import decode_by_reference
from tokentide.stream.memory import collect_seldom, keep_freed_memory

EVENTS = 5_000
"""Of a call, as the worker cuts its batches."""
CHECKED = 20


def decode(*, runs: int) -> list[Figure]:
    """A row for each mix and decoder; the runs of the decoders take turns."""
    keep_freed_memory()
    made = mixes(EVENTS)
    decoders = {name: make() for name, make in DECODERS.items()}
    for mix, values in made.items():
        expected = decode_by_reference(values[:CHECKED])
        for name, run in decoders.items():
            try:
                assert_same(run(values[:CHECKED]), expected)
            except AssertionError as error:
                raise AssertionError(f"{name} decodes {mix} otherwise than the reference path") from error
    collect_seldom()
    figures = []
    for mix, values in made.items():
        spent: dict[str, list[float]] = {name: [] for name in decoders}
        for _ in range(runs + 1):
            for name, run in decoders.items():
                spent[name].append(_cost(run, values))
        figures += [Figure(f"{name}: {mix}", "µs/event", costs[1:]) for name, costs in spent.items()]
    gc.unfreeze()
    return figures


def _cost(run: object, values: Sequence[bytes]) -> float:
    assert callable(run)
    begin = time.process_time()
    run(values)
    return (time.process_time() - begin) / EVENTS * 1e6
