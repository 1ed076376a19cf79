r"""Packing: many events in one Kafka record, which saves everyone the cost of a record per event.

The layout is part of the contract between SDK and worker, byte for byte:

    {"event_id":…}                       one event: the bare object
    [{"event_id":…},\n{…},\n{…}]         several: a JSON array with `,` and a newline between

Because JSON never holds a raw newline inside an object, the worker can cut a pack into its events at
`},\n{` without parsing it. Any other valid JSON array is understood as well, only slower.

Parts of calls and evaluations are never packed: see `routing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tokentide.producers.routing import travels_alone

SEPARATOR: Final = b",\n"
_FRAME_BYTES: Final = 2
"""The two brackets."""


class Packed(NamedTuple):
    """The value of one Kafka record."""

    value: bytes
    events: int


def pack(events: Sequence[bytes]) -> Packed:
    """Return one record of `events`, each one compact JSON object (at least one)."""
    if len(events) == 1:
        return Packed(events[0], 1)
    return Packed(b"[" + SEPARATOR.join(events) + b"]", len(events))


def packs(events: Sequence[bytes], *, max_events: int, max_bytes: int) -> Iterator[Packed]:
    """Yield records of at most `max_events` events and `max_bytes` bytes.

    An event that is larger than `max_bytes` alone gets a record of its own. So do those that travel alone; these come
    first, so that they do not cut the packs of the others short. Each kind keeps its order.
    """
    shared = []
    for event in events:
        if travels_alone(event):
            yield Packed(event, 1)
        else:
            shared.append(event)
    yield from _shared_packs(shared, max_events=max_events, max_bytes=max_bytes)


def _shared_packs(events: Sequence[bytes], *, max_events: int, max_bytes: int) -> Iterator[Packed]:
    start, size = 0, _FRAME_BYTES
    for index, event in enumerate(events):
        grown = size + len(event) + len(SEPARATOR)
        if index > start and (index - start == max_events or grown - len(SEPARATOR) > max_bytes):
            yield pack(events[start:index])
            start, grown = index, _FRAME_BYTES + len(event) + len(SEPARATOR)
        size = grown
    if start < len(events):
        yield pack(events[start:])


def unpack(record: Packed) -> list[bytes]:
    """Return the events of a record that `pack` made."""
    if record.events == 1:
        return [record.value]
    middle = record.value[1:-1].split(b"},\n{")
    last = len(middle) - 1
    return [
        (b"" if i == 0 else b"{") + event + (b"" if i == last else b"}") for i, event in enumerate(middle)
    ]


def halves(record: Packed) -> tuple[Packed, Packed]:
    """Split a record of several events that the broker finds too large."""
    events = unpack(record)
    middle = len(events) // 2
    return pack(events[:middle]), pack(events[middle:])
