"""Where the time of a call goes. The stages together are always less than the whole."""

from __future__ import annotations

from typing import Final, NamedTuple

from tokentide.producers.simulate.catalog import Model, Service, Spread
from tokentide.producers.simulate.dice import Dice
from tokentide.producers.simulate.incidents import SlowStage
from tokentide.producers.simulate.outcomes import Outcome
from tokentide.producers.simulate.usage import Usage

COLD_START_RATE: Final = 0.03
COLD_START_MS: Final = Spread(1400, 0.4)
GATEWAY_MS: Final = Spread(3.5, 0.5)
QUEUE_MS: Final = Spread(2.0, 1.2)
CONTEXT_HIT_MS: Final = Spread(4.0, 0.4)
CONTEXT_MISS_MS: Final = Spread(140.0, 0.5)
NETWORK_MS: Final = Spread(18.0, 0.5)
UNACCOUNTED_MS: Final = 2.5
RESPONSE_CACHE_MS: Final = Spread(9.0, 0.5)


class Slowness(NamedTuple):
    """What latency incidents multiply."""

    stage: SlowStage
    factor: float


class Timing(NamedTuple):
    """Milliseconds, with three decimals."""

    stages: dict[str, float]
    duration_ms: float
    first_chunk_ms: float | None
    is_cold_start: bool


def timing_of(
    dice: Dice,
    service: Service,
    outcome: Outcome,
    usage: Usage,
    *,
    context_hit: bool | None,
    is_streamed: bool,
    is_answer_cached: bool,
    slowness: list[Slowness],
) -> Timing:
    """The times of a call whose outcome and tokens are known."""
    stages = {"gateway_ms": dice.spread(GATEWAY_MS), "queue_ms": dice.spread(QUEUE_MS)}
    is_cold = service.function is not None and dice.chance(COLD_START_RATE)
    if is_cold:
        stages["cold_start_ms"] = dice.spread(COLD_START_MS)
    stages["parse_ms"] = dice.between(0.3, 1.8)
    if is_answer_cached:
        stages["context_ms"] = dice.spread(RESPONSE_CACHE_MS)
    elif context_hit is not None:
        stages["context_ms"] = dice.spread(CONTEXT_HIT_MS if context_hit else CONTEXT_MISS_MS)
    stages["render_ms"] = dice.between(0.2, 1.5)
    first_ms, model_ms = _model_times(dice, outcome.model, usage)
    if not is_answer_cached:
        stages["model_ms"] = _tried(model_ms, outcome)
    stages["output_ms"] = dice.between(18, 70) if service.checks_output else dice.between(0.5, 4)
    stages["network_ms"] = dice.spread(NETWORK_MS)
    for stage, factor in slowness:
        if f"{stage}_ms" in stages:
            stages[f"{stage}_ms"] *= factor
            first_ms *= factor if stage == "model" else 1.0
    for name, value in stages.items():
        stages[name] = round(value, 3)
    duration_ms = round(sum(stages.values()) + dice.between(0.2, UNACCOUNTED_MS), 3)
    return Timing(
        stages, duration_ms, _first_chunk(stages, first_ms, outcome, is_streamed=is_streamed), is_cold
    )


def _model_times(dice: Dice, model: Model, usage: Usage) -> tuple[float, float]:
    """Milliseconds to the first token and to the last."""
    fresh = usage.input_tokens - usage.cache_read
    first_ms = dice.spread(model.first_token_ms) + fresh / 1000 * model.prompt_token_ms
    pace = dice.between(0.75, 1.35)
    # Reasoning comes before the first token that is shown.
    first_ms += usage.reasoning * model.token_ms * pace
    shown = usage.output_tokens - usage.reasoning
    return first_ms, first_ms + shown * model.token_ms * pace


def _tried(model_ms: float, outcome: Outcome) -> float:
    last = 1.0 if outcome.failure is None else outcome.failure.took
    if outcome.is_cancelled:
        last = 0.5
    backoff_ms = 250.0 * ((1 << outcome.attempts - 1) - 1)
    return model_ms * (last + outcome.wasted) + backoff_ms


def _first_chunk(
    stages: dict[str, float], first_ms: float, outcome: Outcome, *, is_streamed: bool
) -> float | None:
    if not is_streamed or outcome.failure is not None or "model_ms" not in stages:
        return None
    before = ("gateway_ms", "queue_ms", "cold_start_ms", "parse_ms", "context_ms", "render_ms")
    waited_ms = sum(stages.get(name, 0.0) for name in before)
    return round(waited_ms + min(first_ms, stages["model_ms"]), 3)
