"""The heaviest that a record can hold is decoded, folded, refused and made a checkpoint of, while the event loop turns."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
import pytest

from tests.support.loop_probe import LoopProbe, probed_loop
from tests.unit.stream.test_ingest import PLACE, World
from tokentide.stream.core_thread import CoreThread, Inline, Serial
from tokentide.stream.record_batch import RecordBatch
from tokentide.stream.transport.fetched import Fetched

ITEMS = 5_000


def heavy_record(*, refused: bool) -> bytes:
    """A record that is one array: requests, which go through pydantic one by one, or what is no event."""
    made = [
        {
            "event_id": f"e{n}",
            "event_type": "request",
            "timestamp": "2026-01-31T12:00:00Z",
            "service": ["none"] if refused else "a",
            "request_id": f"r{n}",
        }
        for n in range(ITEMS)
    ]
    return json.dumps(made).encode()


async def probed(work: Serial, *, refused: bool) -> tuple[LoopProbe, float]:
    """What was seen, and the CPU that all of it took."""
    world = World(work=work)
    world.begin(PLACE)
    sent_ms = np.array([1_769_860_800_000])  # when the events are of, so that their clocks are right
    batch = RecordBatch(0, 1, np.arange(1), sent_ms, [None], [heavy_record(refused=refused)])
    begun_s = time.process_time()
    async with probed_loop() as probe:
        await world.ingest.take(Fetched(*PLACE, batch), 1)
        await world.ingest.checkpoint()
    assert len(world.commits) == 1
    return probe, time.process_time() - begun_s


@pytest.mark.parametrize("refused", [False, True], ids=["parts of calls", "refused items"])
def test_one_record_that_takes_long_does_not_hold_the_loop(*, refused: bool) -> None:
    core = CoreThread()
    probe, all_s = asyncio.run(probed(core, refused=refused))
    print(f"of {all_s:.2f} s of CPU the loop held {probe.held_s:.3f} s at once")  # noqa: T201 - a figure to look at
    assert probe.naps > 3
    assert probe.held_s < all_s / 4
    assert core.close(patience_s=10)


def test_the_probe_sees_a_loop_that_is_held() -> None:
    probe, all_s = asyncio.run(probed(Inline(), refused=True))
    assert probe.held_s > all_s / 2
