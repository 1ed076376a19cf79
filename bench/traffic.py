"""Events for the benchmarks: 600 bytes each, 200 series, everything reported that a chat application usually reports."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tokentide.producers.simulate.generate import simulate
from tokentide.producers.simulate.options import SimulationOptions

PACK = 50
"""Events a record, as the SDK packs them."""
PARTITIONS = 4
"""As many as `tokentide init` makes."""
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "o4-mini")
SERVICES = tuple(f"service-{number:02d}" for number in range(10))


class Truth(NamedTuple):
    """What must be found in ClickHouse; None: not known beforehand."""

    events: int
    errors: int
    input_tokens: int | None
    output_tokens: int | None


SERIES = 200


def series_of(number: int, series: int) -> tuple[str, str, str]:
    """Service, model and template of an event; `series` of them take turns, a multiple of 40."""
    key = number % series
    services, models = len(SERVICES), len(MODELS)
    return SERVICES[key % services], MODELS[key // services % models], f"template-{key // services // models}"


def event(chance: random.Random, number: int, moment: datetime, series: int) -> dict[str, Any]:
    """One event; the numbers are random, the ids unique."""
    service, model, template = series_of(number, series)
    input_tokens = chance.randint(50, 6_000)
    duration_ms = round(chance.lognormvariate(6.5, 0.8), 2)
    return {
        "schema_version": 1,
        "event_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "service": service,
        "environment": "production",
        "region": "eu-west-1",
        "request_id": f"req_{chance.getrandbits(60):015x}",
        "conversation_id": f"conv_{number // 4:010d}",
        "turn": number % 4 + 1,
        "operation": "chat",
        "provider": "openai",
        "request_model": model,
        "stream": True,
        "prompt_name": template,
        "prompt_version": "3",
        "input_tokens": input_tokens,
        "output_tokens": chance.randint(1, 900),
        "cache_read_input_tokens": input_tokens // 2 if number % 3 == 0 else 0,
        "status": "error" if number % 50 == 0 else "ok",
        "duration_ms": duration_ms,
        "time_to_first_chunk_ms": round(duration_ms * 0.2, 2),
        "stages": {"context_ms": 12.5, "model_ms": round(duration_ms * 0.9, 2)},
        "context": {"hit": number % 5 != 0},
        "attempts": 1,
    }


def lines(
    count: int, *, seed: int, start: datetime, per_second: int, series: int = SERIES
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """`count` events of so many series as JSON with their values, `per_second` of them to a second of event time."""
    chance = random.Random(seed)
    for number in range(count):
        moment = start + timedelta(seconds=number / per_second)
        made = event(chance, number, moment, series)
        yield json.dumps(made, separators=(",", ":")).encode(), made


def simulated(*, seconds: float, parts: float = 0.0) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """What `tokentide simulate --rate 1000` makes, as JSON and as values; it begins so many seconds ago, and has no end."""
    begin_us = round((now() - timedelta(seconds=seconds)).timestamp() * 1e6)
    options = SimulationOptions(seed=7, start_us=begin_us, rate_per_second=1_000.0, parts=parts)
    for made in simulate(options):
        assert isinstance(made.item, dict)
        yield json.dumps(made.item, separators=(",", ":")).encode(), made.item


class Calls:
    """What comes of such events: of a request and its answer one call, where both lie in the traffic."""

    def __init__(self) -> None:
        self.count = 0
        """All calls."""
        self.tests = 0
        """Of these, the ones marked `test`."""
        self.errors = 0
        """Of the others, the ones that failed."""
        self._asked: dict[object, bool] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Count an event."""
        kind, is_test = event.get("event_type", "call"), event.get("test") is True
        if kind == "request":
            self._asked[event["request_id"]] = is_test
        elif kind == "call" or (kind in {"response", "error"} and event["request_id"] in self._asked):
            is_test = is_test or self._asked.get(event.get("request_id"), False)
            self.count += 1
            self.tests += is_test
            self.errors += event.get("status", kind) == "error" and not is_test


def packed(values: list[bytes], size: int) -> Iterator[bytes]:
    """Arrays of `size` events in the layout that the SDK writes."""
    for begin in range(0, len(values), size):
        yield b"[" + b",\n".join(values[begin : begin + size]) + b"]"


def now() -> datetime:
    """The present minute, so that events are not in the future while they are sent."""
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
