"""One call as an event: who, what, how it ended, how long it took. Values only; nothing is remembered here."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from tokentide.producers.rfc3339 import rfc3339
from tokentide.producers.simulate.catalog import MESSAGES, MODELS, VERDICTS, Service
from tokentide.producers.simulate.conversations import Conversation
from tokentide.producers.simulate.dice import Dice
from tokentide.producers.simulate.incidents import Incident
from tokentide.producers.simulate.outcomes import CANCELLED_RATE, Outcome, forced_failure, outcome_of
from tokentide.producers.simulate.timing import Slowness, Timing, timing_of
from tokentide.producers.simulate.usage import Usage, usage_of

Event = dict[str, object]

CONTEXT_HIT_RATE: Final = 0.94
JUDGED_RATE: Final = 0.06
"""Calls whose answer a user or an evaluator has judged."""
TEST_RATE: Final = 0.003
PASSED_RATE: Final = 0.988
VIOLATIONS: Final = ("pii_leak", "tone", "unsupported_claim")
FOUND_RATE: Final = 0.9
MEMORY_MB: Final = 512
GB_SECOND_PICODOLLARS: Final = 16_666_700
"""What a function costs a gigabyte-second: 0.0000166667 USD (the list price of AWS Lambda, x86, 2024)."""
VARIANT_B_BONUS: Final = 0.05


class Circumstances(NamedTuple):
    """What the incidents that are active make of a call."""

    failing: Incident | None = None
    context_hit_rate: float = CONTEXT_HIT_RATE
    prompt_factor: float = 1.0
    answer_factor: float = 1.0
    dear_model: str | None = None
    is_cache_lost: bool = False
    slowness: list[Slowness] = []  # noqa: RUF012 - never changed


NORMAL: Final = Circumstances()


def circumstances(active: list[Incident]) -> Circumstances:
    """All incidents that hit one call, together."""
    found = NORMAL
    for incident in active:
        match incident.kind, incident.driver:
            case "error_burst", _:
                found = found._replace(failing=incident)
            case "context_hit_drop", _:
                found = found._replace(context_hit_rate=incident.rate)
            case "latency", _:
                found = found._replace(slowness=[*found.slowness, Slowness(incident.stage, incident.factor)])
            case "cost_spike", "prompt":
                found = found._replace(prompt_factor=found.prompt_factor * incident.factor)
            case "cost_spike", "answer":
                found = found._replace(answer_factor=found.answer_factor * incident.factor)
            case "cost_spike", "model":
                found = found._replace(dear_model=incident.dear_model)
            case "cost_spike", "cache":
                found = found._replace(is_cache_lost=True)
            case _:
                pass
    return found


class Call(NamedTuple):
    """An event and its end on the clock of the simulation."""

    finish_us: int
    event: Event


def make_call(
    dice: Dice, service: Service, conversation: Conversation, around: Circumstances, *, start_us: int
) -> Call:
    """The next turn of a conversation, begun at `start_us` (microseconds since 1970 UTC)."""
    conversation.turn += 1
    model = conversation.model if around.dear_model is None else MODELS[around.dear_model]
    if around.failing is not None and dice.chance(around.failing.rate):
        outcome = forced_failure(dice, model, around.failing.error_class)
    else:
        outcome = outcome_of(dice, service, model)
    is_streamed = dice.chance(service.streamed)
    if outcome.failure is None and is_streamed and dice.chance(CANCELLED_RATE):
        outcome = outcome._replace(is_cancelled=True)
    is_answer_cached = outcome.failure is None and dice.chance(service.cached_answers)
    usage = usage_of(
        dice,
        conversation,
        outcome.model,
        start_us=start_us,
        prompt_factor=around.prompt_factor,
        answer_factor=around.answer_factor,
        is_cache_lost=around.is_cache_lost,
    )
    has_context = dice.chance(around.context_hit_rate) if conversation.turn > 1 else None
    timing = timing_of(
        dice,
        service,
        outcome,
        usage,
        context_hit=has_context,
        is_streamed=is_streamed,
        is_answer_cached=is_answer_cached,
        slowness=around.slowness,
    )
    finish_us = conversation.last_finish_us = start_us + round(timing.duration_ms * 1000)
    event = _who(dice, service, conversation, finish_us)
    _add_prompt(event, service, conversation)
    _add_answer(event, dice, service, outcome=outcome, usage=usage, is_answer_cached=is_answer_cached)
    _add_how(event, outcome, timing, has_context)
    if is_streamed:
        event["stream"] = True
    if is_answer_cached:
        event["response_cache"] = "exact" if dice.chance(0.6) else "semantic"
    _add_service_parts(event, dice, service, outcome, timing)
    return Call(finish_us, event)


def _who(dice: Dice, service: Service, conversation: Conversation, finish_us: int) -> Event:
    trace = dice.bits(128 + 64 + 74)
    event: Event = {
        "event_id": uuid7(finish_us // 1000, trace >> 192),
        "timestamp": rfc3339(finish_us),
        "service": service.name,
        "region": conversation.region,
        "tenant": conversation.tenant,
        "user_id": conversation.user_id,
        "feature": conversation.template.feature,
        "deployment": service.deployment,
        "trace_id": f"{trace & (1 << 128) - 1:032x}",
        "span_id": f"{trace >> 128 & (1 << 64) - 1:016x}",
        "labels": {"client": conversation.client},
    }
    if service.most_turns > 1:
        event["conversation_id"] = conversation.conversation_id
        event["turn"] = conversation.turn
    if dice.chance(TEST_RATE):
        event["test"] = True
    return event


def uuid7(finish_ms: int, random: int) -> str:
    """An id of that millisecond and 74 random bits (RFC 9562)."""
    bits = finish_ms << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _add_prompt(event: Event, service: Service, conversation: Conversation) -> None:
    template = conversation.template
    event["operation"] = service.operation
    if template.name:
        event["prompt_name"], event["prompt_version"] = template.name, template.version
    if conversation.variant is not None:
        event["variant"] = conversation.variant
    if service.service_tier is not None:
        event["service_tier"] = service.service_tier


def _add_answer(
    event: Event, dice: Dice, service: Service, *, outcome: Outcome, usage: Usage, is_answer_cached: bool
) -> None:
    event["provider"] = outcome.model.provider
    event["request_model"] = outcome.model.name
    if outcome.failure is not None and outcome.failure.stage == "model_call":
        # A refused call used nothing that a provider would report.
        return
    event["response_model"] = outcome.model.name
    if not service.reports_usage:
        event["input"] = [{"role": "user", "content": MESSAGES[int(dice.roll() * len(MESSAGES))]}]
        event["output"] = VERDICTS[int(dice.roll() * len(VERDICTS))]
        return
    if is_answer_cached:
        event["input_tokens"] = event["output_tokens"] = 0
        return
    _add_usage(event, service, outcome, usage)
    if service.operation == "chat":
        event["finish_reasons"] = ["length" if dice.chance(0.01) else "stop"]


def _add_usage(event: Event, service: Service, outcome: Outcome, usage: Usage) -> None:
    event["input_tokens"] = usage.input_tokens
    if service.operation != "embeddings":
        event["output_tokens"] = usage.output_tokens // 2 if outcome.is_cancelled else usage.output_tokens
        event["cache_read_input_tokens"] = usage.cache_read
    if usage.cache_write:
        event["cache_write_input_tokens"] = usage.cache_write
    if usage.reasoning:
        event["reasoning_output_tokens"] = min(usage.reasoning, usage.output_tokens // 2)
    if service.hosts_model:
        event["cost_usd"] = "0"


def _add_how(event: Event, outcome: Outcome, timing: Timing, has_context: bool | None) -> None:  # noqa: FBT001 - three states
    failure = outcome.failure
    event["status"] = "error" if failure else "cancelled" if outcome.is_cancelled else "ok"
    if failure is not None:
        error: dict[str, object] = {"type": failure.type, "message": failure.message, "stage": failure.stage}
        if failure.http_status is not None:
            error["http_status"] = failure.http_status
        if failure.error_class in {"content_filter", "context_length", "network"}:
            # What the status and the type alone would not tell.
            error["class"] = failure.error_class
        event["error"] = error
    event["duration_ms"] = timing.duration_ms
    if timing.first_chunk_ms is not None:
        event["time_to_first_chunk_ms"] = timing.first_chunk_ms
    event["stages"] = timing.stages
    if has_context is not None:
        event["context"] = {"hit": has_context}
    event["attempts"] = outcome.attempts
    if outcome.fallback_from is not None:
        event["fallback_from"] = outcome.fallback_from.name


def _add_service_parts(event: Event, dice: Dice, service: Service, outcome: Outcome, timing: Timing) -> None:
    if service.retrieves:
        event["retrieval"] = _retrieval(dice)
    if outcome.failure is None and service.checks_output:
        event["compliance"] = _compliance(dice)
    if service.function is not None:
        _add_function(event, dice, service.function, timing)
    if service.hosts_model:
        _add_gpu(event, dice)
    if outcome.failure is None and service.operation == "chat" and dice.chance(JUDGED_RATE):
        bonus = VARIANT_B_BONUS if event.get("variant") == "B" else 0.0
        score = round(min(1.0, math.sqrt(dice.roll()) * 0.95 + bonus), 3)
        label = "thumbs_up" if score >= 0.5 else "thumbs_down"
        event["quality"] = {"score": score, "label": label}


def _retrieval(dice: Dice) -> dict[str, object]:
    is_hit = dice.chance(FOUND_RATE)
    documents = 3 + int(dice.roll() * 6) if is_hit else 0
    found: dict[str, object] = {
        "documents": documents,
        "hit": is_hit,
        "latency_ms": round(dice.between(12, 90), 3),
    }
    if is_hit:
        found["top_score"] = round(dice.between(0.55, 0.98), 4)
    return found


def _compliance(dice: Dice) -> dict[str, object]:
    if dice.chance(PASSED_RATE):
        return {"passed": True}
    return {"passed": False, "violations": [VIOLATIONS[int(dice.roll() * len(VIOLATIONS))]]}


def _add_function(event: Event, dice: Dice, function: str, timing: Timing) -> None:
    billed_ms = math.ceil(timing.duration_ms)
    picodollars = billed_ms * MEMORY_MB * GB_SECOND_PICODOLLARS // (1000 * 1024)
    event["function"] = function
    event["cold_start"] = timing.is_cold_start
    event["billed_ms"] = float(billed_ms)
    event["memory_mb"] = MEMORY_MB
    event["concurrency"] = 1 + int(dice.roll() ** 2 * 24)
    event["queue_length"] = int(dice.roll() ** 4 * 12)
    event["infra_cost_usd"] = f"0.{picodollars:012d}"


def _add_gpu(event: Event, dice: Dice) -> None:
    event["gpu_utilization"] = round(dice.between(0.35, 0.97), 3)
    event["gpu_memory_bytes"] = 60_000_000_000 + int(dice.roll() * 15_000_000_000)
    event["queue_length"] = int(dice.roll() ** 3 * 20)
