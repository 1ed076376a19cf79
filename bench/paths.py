"""What an event costs in the core by the kind of traffic: CPU of all steps together, 50 events a record, as the SDK packs them.

The worst stand beside the best. The results are counted before a figure is given.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from bench.figures import Figure
from bench.steps import measure
from bench.traffic import PACK, SERVICES, Calls, event, now, simulated
from tokentide.config import Settings
from tokentide.stream.memory import keep_freed_memory

COUNT = 60_000
WORDS = [
    "token",
    "tide",
    "river",
    "bank",
    "ledger",
    "answer",
    "question",
    "prompt",
    "model",
    "context",
    "window",
    "price",
    "cost",
    "error",
    "retry",
    "cache",
    "tool",
    "call",
    "agent",
    "user",
]


class Traffic(NamedTuple):
    """Events of one kind, and what must come of them."""

    name: str
    events: Sequence[bytes]
    calls: int
    refused: int = 0
    settings: Mapping[str, Any] = {}
    megabytes: float = 0.0
    """Of text; the figure is also given for each."""


def paths(*, runs: int) -> list[Figure]:
    """CPU an event, and for each megabyte of text, of each kind of traffic."""
    keep_freed_memory()
    figures = []
    for make in _KINDS:
        traffic = make()
        settings = Settings.model_validate(traffic.settings)
        spent = [
            sum(_cpu_s(traffic, settings).values())
            for _ in range(runs + 1)
        ][1:]  # fmt: skip
        figures.append(Figure(traffic.name, "µs/event", [s / len(traffic.events) * 1e6 for s in spent]))
        if traffic.megabytes:
            per_mb = [s * 1e3 / traffic.megabytes for s in spent]
            figures.append(Figure(f"{traffic.name}: a MB of text", "ms/MB", per_mb))
    return figures


def _cpu_s(traffic: Traffic, settings: Settings) -> Mapping[str, float]:
    clock = measure(
        list(traffic.events), PACK, settings, calls=traffic.calls, refused=traffic.refused, batch=5_000
    )
    return clock.spent


def _made(more: Callable[[int], Mapping[str, Any]], *, series: int = 200, count: int = COUNT) -> list[bytes]:
    chance, start = random.Random(7), now()
    made = []
    for number in range(count):
        whole = {**event(chance, number, start + timedelta(milliseconds=number), series), **more(number)}
        made.append(json.dumps(whole, separators=(",", ":")).encode())
    return made


def _same(name: str, **options: Any) -> Callable[[], Traffic]:
    more = options.pop("more", lambda _: {})

    def make() -> Traffic:
        made = _made(more, **options)
        return Traffic(name, made, len(made))

    return make


def _simulated(name: str, parts: float) -> Callable[[], Traffic]:
    def make() -> Traffic:
        values, calls = list[bytes](), Calls()
        for value, made in islice(simulated(seconds=60, parts=parts), COUNT):
            values.append(value)
            calls.add(made)
        return Traffic(name, values, calls.count)

    return make


def _refused() -> Traffic:
    made = _made(lambda _: {"output_tokens": "12"}, count=COUNT // 4)
    return Traffic("all refused", made, 0, len(made))


def _texts(name: str, *, repeated: bool, **settings: Any) -> Callable[[], Traffic]:
    """Prompts of 4 KB whose tokens the worker has to count."""

    def make() -> Traffic:
        chance = random.Random(11)
        distinct = [" ".join(chance.choices(WORDS, k=600)) for _ in range(50 if repeated else COUNT // 30)]

        def text(number: int) -> dict[str, Any]:
            prompt = distinct[number % len(distinct)]
            return {"input": [{"role": "user", "content": prompt}], "input_tokens": None, "output_tokens": 12}

        made = _made(text, count=COUNT // 30)
        size = sum(len(distinct[number % len(distinct)]) for number in range(len(made))) / 1e6
        return Traffic(name, made, len(made), settings=settings, megabytes=size)

    return make


_LABELS: Mapping[str, Any] = {f"label-{number}": "value" for number in range(16)}
_KEPT: Mapping[str, Any] = {
    "content": {
        "policy": "keep",
        "keep_services": SERVICES,
        "hash_key": "0123456789abcdef0123456789abcdef",
    }
}
_KINDS: Sequence[Callable[[], Traffic]] = (
    _same("uniform"),
    _simulated("simulate", 0.0),
    _simulated("simulate, a tenth of the calls in parts", 0.1),
    _simulated("simulate, all calls in parts", 1.0),
    _same("10,000 live series", series=10_000),
    _same("late: minutes of the last hour in any order", more=lambda n: {"timestamp": (now() - timedelta(minutes=n * 7919 % 60)).isoformat()}),
    _same("a minute of event time in each event", more=lambda n: {"timestamp": (now() - timedelta(minutes=n)).isoformat()}, count=COUNT // 4),
    _same("16 labels", more=lambda _: {"labels": _LABELS}),
    _same("a label key of its own in each", more=lambda n: {"labels": {f"key-{n}": "v"}}),
    _refused,
    _texts("texts of 4 KB to be counted, all different", repeated=False),
    _texts("texts of 4 KB to be counted, 50 in turn", repeated=True),
    _texts("the same, kept and redacted", repeated=True, **_KEPT),
)  # fmt: skip
