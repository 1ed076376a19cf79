"""Kinds of legal traffic, and of damage, that a decoder has to bear without a cliff: 600-byte events, packed as the SDK packs unless said otherwise."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bench.traffic import PACK, event, now, packed

MESSAGES: Final = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say hello to the world in two languages."},
]

Event = dict[str, Any]
Change = Callable[[int, Event], None]


def mixes(count: int) -> Mapping[str, list[bytes]]:
    """By name, the records of `count` events of each kind."""
    plain = written(events(count))
    half = events(count)
    made = {
        "one event a record": plain,
        "packed": list(packed(plain, PACK)),
        "array on one line": [json.dumps(some).encode() for some in groups(half)],
        "array over many lines": [json.dumps(some, indent=2).encode() for some in groups(half)],
        "objects one a line": [b"\n".join(some) for some in groups(plain)],
        "objects one a line, 2 % damaged": [
            b"\n".join(some) for some in groups([damaged(n, line) for n, line in enumerate(plain)])
        ],
        "a key twice": list(packed([repeated_keys(line) for line in plain], PACK)),
        "arrays, 2 % damaged": list(
            packed([damaged(n, line) if n % PACK == 7 else line for n, line in enumerate(plain)], PACK)
        ),
    }
    for name, change in CHANGES.items():
        made[name] = list(packed(written(events(count, change)), PACK))
    return made


def events(count: int, change: Change | None = None) -> list[Event]:
    """Uniform ones, each changed."""
    chance, moment = random.Random(7), now()
    made = [event(chance, number, moment, 200) for number in range(count)]
    for number, each in enumerate(made):
        if change:
            change(number, each)
    return made


def written(made: Sequence[Event]) -> list[bytes]:
    return [json.dumps(each, separators=(",", ":")).encode() for each in made]


def groups(made: Sequence[Any]) -> list[Any]:
    return [made[begin : begin + PACK] for begin in range(0, len(made), PACK)]


def damaged(number: int, line: bytes) -> bytes:
    return line[: len(line) // 2] if number % 50 == 7 else line


def _all(**fields: Any) -> Change:
    return lambda _, each: each.update(fields)


def _of(share: int, **fields: Any) -> Change:
    """In one of so many events."""
    return lambda number, each: each.update(fields) if number % share == 0 else None


def _by_number(make: Callable[[int], Event]) -> Change:
    return lambda number, each: each.update(make(number))


def _part(number: int, each: Event) -> None:
    each["event_type"] = "response" if number % 2 else "request"


def _evaluation(number: int, each: Event) -> None:
    kept = {name: each[name] for name in ("event_id", "timestamp", "service", "environment", "request_id")}
    each.clear()
    each.update(kept, event_type="evaluation", quality={"score": number % 100 / 100, "label": "good"})


def _numbers_with_points(_: int, each: Event) -> None:
    for name in ("turn", "input_tokens", "output_tokens", "cache_read_input_tokens", "attempts"):
        each[name] = float(each[name])


def _every_field(number: int, each: Event) -> None:
    each.update(
        tenant="t-17", user_id=f"u-{number}", feature="chat", labels={"team": "x"}, trace_id=f"{number:032x}", span_id=f"{number:016x}", parent_span_id="0" * 16,
        response_model="gpt-4o-2024-08-06", model_version="2", deployment="blue", service_tier="flex", finish_reasons=["stop"], variant="b", input="Say hello.",
        output="Hello.", cache_write_input_tokens=0, cache_write_1h_input_tokens=0, reasoning_output_tokens=0, cache_reporting="inclusive", cost_usd=0.000125,
        error={"type": "RateLimitError", "message": "too many", "http_status": 429, "stage": "model_call", "class": "rate_limit"}, response_cache="none",
        fallback_from="gpt-4o", circuit_open=False, compliance={"passed": True, "violations": []},
        retrieval={"documents": 3, "hit": True, "latency_ms": 5.5, "top_score": 0.75}, function="answer", cold_start=False, billed_ms=800, memory_mb=512,
        concurrency=4, queue_length=0, infra_cost_usd=0.00002, gpu_memory_bytes=10**9, gpu_utilization=0.5, quality={"score": 0.9, "label": "good"}, test=False,
    )  # fmt: skip
    each["stages"].update(
        gateway_ms=1.5,
        queue_ms=0.5,
        cold_start_ms=0,
        parse_ms=2.5,
        render_ms=1.25,
        output_ms=3.5,
        network_ms=7,
    )


CHANGES: Final[Mapping[str, Change]] = {
    "input as text": _all(input="Say hello to the world."),
    "input as messages": _all(input=MESSAGES),
    "input as messages in 5 %": _of(20, input=MESSAGES),
    "money as a number": _by_number(lambda n: {"cost_usd": n % 1000 / 1e6}),
    "money as text": _by_number(lambda n: {"cost_usd": f"{n % 1000 / 1e6:.6f}"}),
    "money as text in 5 %": _of(20, cost_usd="0.000125"),
    "money of 17 digits": _by_number(lambda n: {"cost_usd": (n % 1000 + 1) / 3e6}),
    "time as text and number": _of(2, timestamp=1_769_860_800_123),
    "time as number": _all(timestamp=1_769_860_800_123),
    "time to the nanosecond": _all(timestamp="2026-01-31T12:00:00.123456789Z"),
    "refused: 1 in 1,000": _of(1000, output_tokens="12"),
    "refused: 1 %": _of(100, output_tokens="12"),
    "refused: 10 %": _of(10, output_tokens="12"),
    "refused: all": _all(output_tokens="12"),
    "contradictory: 1 %": _of(100, reasoning_output_tokens=1_000_000),
    "label keys that differ": _by_number(lambda n: {"labels": {f"k{n}": "v"}}),
    "16 labels": _all(labels={f"k{n}": "v" for n in range(16)}),
    "unknown field": _all(brand_new=1),
    "unknown fields that differ": _by_number(lambda n: {f"x{n % 500}": n}),
    "unknown field of changing type": _by_number(
        lambda n: {"extra": [1, "text", [2], {"a": {"b": [n, {"c": None}]}}][n % 4]}
    ),
    "40 unknown fields": _all(**{f"x{n}": n for n in range(40)}),
    "counts written 10.0": _numbers_with_points,
    "every field": _every_field,
    "parts": _part,
    "evaluations": _evaluation,
}


def repeated_keys(line: bytes) -> bytes:
    """The event with its last field given twice."""
    return line[:-1] + b',"attempts":1}'
