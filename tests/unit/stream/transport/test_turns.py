"""Partitions whose fetches go through one queue of one place, put as Faust's conductor puts them."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from types import SimpleNamespace

from faust.types import TP
from mode.utils.queues import FlowControlEvent

from tokentide.stream.transport.micro_batch import MicroBatchConsumer
from tokentide.stream.transport.turns import InTurns

PARTITIONS = 4
TURNS = 400
PLACE = TP("windows", 0)


async def taken(queue: InTurns) -> Counter[int]:
    """How often each partition is taken, where something of each is always fetched, and the agent is slow."""
    in_order = list(range(PARTITIONS))
    held_back = set[int]()

    async def put_forever() -> None:
        while True:
            turn = next((partition for partition in in_order if partition not in held_back), None)
            if turn is None:
                await asyncio.sleep(0)
                continue
            in_order.remove(turn)
            in_order.append(turn)
            if queue.full():
                await queue.put(turn)
            else:
                queue.put_nowait_enhanced(
                    turn,
                    on_pressure_high=partial(held_back.add, turn),
                    on_pressure_drop=drops[turn],
                )

    drops = [partial(held_back.discard, partition) for partition in range(PARTITIONS)]
    putting = asyncio.create_task(put_forever())
    turns = Counter[int]()
    for _ in range(TURNS):
        turns[await queue.get()] += 1
        for _ in range(5):  # the queue is full again when the agent asks for the next
            await asyncio.sleep(0)
    putting.cancel()
    return turns


def test_each_partition_gets_its_turn_however_much_there_is_of_the_others() -> None:
    async def run() -> Counter[int]:
        return await taken(InTurns(1, flow_control=FlowControlEvent(initially_suspended=False)))

    turns = asyncio.run(run())
    assert min(turns[partition] for partition in range(PARTITIONS)) > TURNS / PARTITIONS / 2, turns


def test_a_partition_held_by_its_stage_is_not_let_go_by_the_queue() -> None:
    consumer = MicroBatchConsumer.__new__(MicroBatchConsumer)
    of_faust = {
        "app": SimpleNamespace(in_recovery=False),
        "_active_partitions": {PLACE},
        "_buffered_partitions": set(),
    }
    consumer.__dict__.update(of_faust, _held=set())
    consumer.hold(PLACE)
    consumer.on_buffer_full(PLACE)
    consumer.on_buffer_drop(PLACE)
    assert consumer._get_active_partitions() == set()
    consumer.fetch_on(PLACE)
    assert consumer._get_active_partitions() == {PLACE}
