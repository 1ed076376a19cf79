"""A call as applications log it that know request and answer in different places, and are told later how good it was.

Joined again it is the same call, with a `request_id`; what was said of its quality is an event of its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tokentide.producers.rfc3339 import rfc3339
from tokentide.producers.simulate.calls import Call, Event, uuid7
from tokentide.producers.simulate.dice import Dice

UNANSWERED_RATE: Final = 0.01
"""Requests whose application dies before it can tell of the answer."""
JUDGED_AFTER_S: Final = (5.0, 120.0)
REQUEST_FIELDS: Final = frozenset(
    (
        "region", "tenant", "user_id", "feature", "deployment", "trace_id", "span_id", "labels", "conversation_id", "turn",
        "test", "operation", "prompt_name", "prompt_version", "variant", "service_tier", "provider", "request_model", "input",
        "stream", "retrieval",
    )
)  # fmt: skip
"""What is known when the model is asked."""


class Step(NamedTuple):
    """One event of a call."""

    at_us: int
    event: Event
    call: Event | None = None
    """Of an answer: the call that it completes."""


def in_parts(dice: Dice, call: Call, *, start_us: int) -> list[Step]:
    """The request, the answer unless it never comes, and the evaluation where there is one, in the order of their times."""
    whole = call.event
    of_call = {name: whole[name] for name in ("service", "environment")}
    of_call["request_id"] = f"req_{dice.bits(96):024x}"
    asked = {name: value for name, value in whole.items() if name in REQUEST_FIELDS}
    request = Step(start_us, _event(dice, "request", start_us, of_call | asked))
    if dice.chance(UNANSWERED_RATE):
        return [request]
    # The duration is the time between the two.
    told = {n: v for n, v in whole.items() if n not in REQUEST_FIELDS and n not in {"quality", "duration_ms"}}
    kind = "error" if whole["status"] == "error" else "response"
    steps = [request, Step(call.finish_us, {"event_type": kind, **told, **of_call}, whole)]
    if "quality" in whole:
        judged_us = call.finish_us + round(dice.between(*JUDGED_AFTER_S) * 1e6)
        fields = of_call | {"quality": whole["quality"]}
        steps.append(Step(judged_us, _event(dice, "evaluation", judged_us, fields)))
    return steps


def _event(dice: Dice, kind: str, at_us: int, fields: Event) -> Event:
    """An event with an id and a time of its own."""
    event_id = uuid7(at_us // 1000, dice.bits(74))
    return {"event_id": event_id, "event_type": kind, "timestamp": rfc3339(at_us), **fields}
