"""Events that the contract refuses, each with the reason that a worker must give."""

from __future__ import annotations

from typing import NamedTuple

from tokentide.producers.compact_json import encode_json
from tokentide.producers.simulate.calls import Event
from tokentide.producers.simulate.dice import Dice
from tokentide.schemas.rejects import RejectReason


class Malformed(NamedTuple):
    """What arrives instead of a call: a broken event, or bytes that are none."""

    item: Event | bytes
    reason: RejectReason


def malform(dice: Dice, event: Event) -> Malformed:
    """Break an event in one of the ways that producers do."""
    broken = dict(event)
    match int(dice.roll() * 9):
        case 0:
            del broken["service"]
            return Malformed(broken, RejectReason.MISSING_FIELD)
        case 1:
            del broken["timestamp"]
            return Malformed(broken, RejectReason.MISSING_FIELD)
        case 2:
            broken["input_tokens"] = "many"
            return Malformed(broken, RejectReason.WRONG_TYPE)
        case 3:
            broken["duration_ms"] = -1.0
            return Malformed(broken, RejectReason.INCONSISTENT)
        case 4:
            broken.update(input_tokens=10, cache_read_input_tokens=20)
            broken.pop("cache_write_input_tokens", None)
            return Malformed(broken, RejectReason.INCONSISTENT)
        case 5:
            broken["status"] = "done"
            return Malformed(broken, RejectReason.INVALID_VALUE)
        case 6:
            broken["timestamp"] = "1999-12-31T23:59:59Z"
            return Malformed(broken, RejectReason.CLOCK)
        case 7:
            line = encode_json(broken)
            return Malformed(line[: len(line) // 2], RejectReason.NOT_JSON)
        case _:
            return Malformed(b'{"service":"\xff\xfe"}', RejectReason.NOT_UTF8)
