"""Which events travel alone, and to which partition: those that meet others by their `request_id`.

The parts of a call (`request`, `response`, `error`) are joined by the worker that has their partition, so all events
of one `request_id` go to one: that which Kafka's default partitioner chooses for the key, so that a request sent by a
Java service and an answer sent from here meet. Each is a record of its own, because a record has one key.
`call` events have no key; they are packed, and go where their bytes say.

Everything follows from the bytes of the record: one that is sent again, from the spool or by another process,
has the key and the partition of its first copy. A name that is written with escapes where none is
needed is not looked for: no encoder writes it, and the test of an ordinary event stays one search.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic_core import from_json

from tokentide.schemas.limits import MAX_TEXT

KEYED_TYPES: Final = frozenset(("request", "response", "error", "evaluation"))
"""Values of `event_type` whose events are sent with their `request_id` as key."""

_NAME: Final = b'"event_type"'
_CALL: Final = re.compile(rb'"event_type"\s*:\s*"call"')


def travels_alone(event: bytes) -> bool:
    """Whether an encoded event gets a record of its own; what cannot be read does not."""
    return event.find(_NAME) >= 0 and _keyed(event) is not None  # `in` first tries its operand as a number


def key_of(value: bytes) -> bytes | None:
    """Return the Kafka key of a record's value, which is a `request_id` as UTF-8.

    None: an ordinary record, or an event that lacks its `request_id` (the worker refuses it, with the reason).
    """
    if value[:1] == b"[" or _NAME not in value:
        return None  # a pack, which is not searched; a call
    fields = _keyed(value)
    request_id = fields.get("request_id") if fields else None
    if isinstance(request_id, str) and 0 < len(request_id) <= MAX_TEXT:
        return request_id.encode()
    return None


def index_of(key: bytes, partitions: int) -> int:
    """Return the index of the partition that Kafka's default partitioner chooses: murmur2, as in the Java client."""
    from kafka.partitioner import murmur2  # noqa: PLC0415 - whoever sends has loaded the client, see `load_client`

    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def event_type_of(event: bytes) -> object:
    """The `event_type` of an encoded event as it is; None: it has none, or cannot be read."""
    fields = _fields(event) if _NAME in event else None
    return fields.get("event_type") if fields else None


def _keyed(event: bytes) -> dict[str, object] | None:
    """The fields of an event that has one of `KEYED_TYPES`, else None."""
    if event.count(_NAME) == 1 and _CALL.search(event):
        return None  # a call that says so
    fields = _fields(event)
    kind = fields.get("event_type") if fields else None
    return fields if isinstance(kind, str) and kind in KEYED_TYPES else None


def _fields(event: bytes) -> dict[str, object] | None:
    try:
        fields = from_json(event)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
