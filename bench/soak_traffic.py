"""Sends mixed traffic live, as a program of its own beside `soak`: 1,000 events/s for so many seconds, each a record of its own.

    python -m bench.soak_traffic BOOTSTRAP_SERVERS TOPIC SECONDS FILE

Into the file go the batches with their times, for the latency; at the end one line of JSON says what was sent. It reads the monotonic clock, which on
Linux is the same for all processes.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple
from zlib import crc32

from aiokafka import AIOKafkaProducer

from bench.latency import TICK_S, Sent, send_batch
from bench.load import batch_producer
from bench.mixes import CHANGES, Change, Event
from bench.traffic import PARTITIONS
from tokentide.producers.compact_json import encode_event
from tokentide.producers.simulate.generate import simulate
from tokentide.producers.simulate.incidents import Incident
from tokentide.producers.simulate.options import SimulationOptions
from tokentide.producers.simulate.truth import Truth

CALLS_PER_SECOND: Final = 910
"""With parts and evaluations 1,000 events."""
ONE_IN: Final = 200
"""The share of each oddity."""
MOST_AT_ONCE: Final = 500
"""So that after a pause no batch becomes larger than the producer takes."""
_SENT: Final = struct.Struct("3qd")


class Item(NamedTuple):
    """One event, or what is none."""

    due_s: float
    """Unix time."""
    partition: int
    value: bytes
    is_plain_call: bool
    """Whole and without oddity: it becomes a row, with a time of now."""


def sent_batches(file: Path) -> list[Sent]:
    """What the program has noted, in the order of the answers; a batch ends with its last plain call."""
    return [Sent(*fields) for fields in _SENT.iter_unpack(file.read_bytes())]


def _late(_: int, event: Event) -> None:
    event["timestamp"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


def _evaluation(number: int, event: Event) -> None:
    event["request_id"] = f"req_{number}"
    CHANGES["evaluations"](number, event)


ODDITIES: Final[Sequence[Change]] = (
    _late,
    _evaluation,
    CHANGES["input as messages"],
    CHANGES["money as text"],
    CHANGES["label keys that differ"],
    CHANGES["unknown fields that differ"],
)
"""Of whole calls; the simulation itself sends things that are refused, in nine ways."""


def _mixed(seconds: float, truth: Truth) -> Iterator[Item]:
    """A tenth of the calls in parts, and the oddities; all is counted."""
    refused = Incident(kind="reject_burst", start_s=0, duration_s=seconds, rate=1 / ONE_IN)
    options = SimulationOptions(
        start_us=round(time.time() * 1e6), rate_per_second=CALLS_PER_SECOND, duration_s=seconds, rhythm=0, parts=0.1, incidents=(refused,)
    )  # fmt: skip
    for number, made in enumerate(simulate(options)):
        event, oddity = made.item, number % ONE_IN
        is_call = made.refused_as is None and isinstance(event, dict) and "event_type" not in event
        if isinstance(event, dict) and is_call and oddity < len(ODDITIES):
            ODDITIES[oddity](number, event)
        truth.count(made)
        # Parts of a call meet in one partition, as the SDK sends them.
        key = event.get("request_id", number) if isinstance(event, dict) else number
        yield Item(
            due_s=made.finish_us / 1e6,
            partition=crc32(str(key).encode()) % PARTITIONS,
            value=encode_event(event) if isinstance(event, dict) else event,
            is_plain_call=is_call and oddity >= len(ODDITIES),
        )


async def _due(items: Iterable[Item]) -> AsyncIterator[list[Item]]:
    """What is due, as soon as it is."""
    ready: list[Item] = []
    for item in items:
        wait_s = item.due_s - time.time()
        if wait_s > 0 or len(ready) == MOST_AT_ONCE:
            yield ready
            ready = []
            await asyncio.sleep(max(0.0, wait_s) + TICK_S)
        ready.append(item)
    yield ready


async def _send(servers: str, topic: str, items: Iterable[Item], file: BinaryIO) -> None:
    async with batch_producer(servers) as producer, asyncio.TaskGroup() as under_way:
        async for ready in _due(items):
            for partition in range(PARTITIONS):
                if part := [item for item in ready if item.partition == partition]:
                    under_way.create_task(_send_part(producer, topic, part, file))


async def _send_part(producer: AIOKafkaProducer, topic: str, part: Sequence[Item], file: BinaryIO) -> None:
    sent = await send_batch(producer, topic, part[0].partition, [item.value for item in part])
    if plain := [place for place, item in enumerate(part) if item.is_plain_call]:
        file.write(_SENT.pack(*sent._replace(events=plain[-1] + 1)))


def main() -> None:
    """Send, and say what was sent."""
    _, servers, topic, seconds, path = sys.argv
    truth = Truth()
    with Path(path).open("wb") as file:
        asyncio.run(_send(servers, topic, _mixed(float(seconds), truth), file))
    counted = {"calls": truth.events, "tests": truth.tests, "errors": truth.total().errors}
    print(json.dumps({**counted, "evaluations": truth.evaluations, "refused": truth.rejects.total()}))


if __name__ == "__main__":
    main()
