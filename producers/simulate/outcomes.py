"""How a call ends: well, after retries or on another model, or with an error."""

from __future__ import annotations

from typing import Final, NamedTuple

from tokentide.producers.simulate.catalog import MODELS, Model, Service
from tokentide.producers.simulate.dice import Choice, Dice
from tokentide.schemas.call import ErrorClass, ErrorStage


class Failure(NamedTuple):
    """One way to fail, as an application reports it."""

    error_class: ErrorClass
    type: str
    http_status: int | None
    stage: ErrorStage
    message: str
    took: float
    """Of the time that a good call would have taken."""


class Outcome(NamedTuple):
    """The end of a call."""

    model: Model
    """That answered, or that failed last."""
    fallback_from: Model | None
    attempts: int
    wasted: float
    """Time of failed tries, as a multiple of a good one."""
    failure: Failure | None
    is_cancelled: bool = False


FAILURES: Final = {
    failure.error_class: failure
    for failure in (
        Failure("rate_limit", "RateLimitError", 429, "model_call", "Rate limit reached for requests", 0.05),
        Failure("timeout", "APITimeoutError", None, "model_call", "Request timed out", 4.0),
        Failure("server", "InternalServerError", 500, "model_call", "The server had an error", 0.4),
        Failure("network", "APIConnectionError", None, "model_call", "Connection error", 0.2),
        Failure(
            "quota", "InsufficientQuotaError", 429, "model_call", "You exceeded your current quota", 0.05
        ),
        Failure("auth", "AuthenticationError", 401, "model_call", "The key is not valid", 0.04),
        Failure("context_length", "BadRequestError", 400, "model_call", "The prompt is too long", 0.05),
        Failure(
            "invalid_request", "BadRequestError", 400, "model_call", "A parameter is not supported", 0.05
        ),
        Failure(
            "content_filter", "ContentPolicyViolationError", 400, "model_call", "The prompt was filtered", 0.3
        ),
        Failure("other", "OutputParserError", None, "output", "The answer is no valid JSON", 1.0),
    )
}
_FOR_A_WHILE: Final = Choice(
    [
        (FAILURES["rate_limit"], 0.45),
        (FAILURES["timeout"], 0.2),
        (FAILURES["server"], 0.25),
        (FAILURES["network"], 0.1),
    ]
)
_FOR_GOOD: Final = Choice(
    [
        (FAILURES["content_filter"], 0.4),
        (FAILURES["context_length"], 0.15),
        (FAILURES["invalid_request"], 0.15),
        (FAILURES["other"], 0.3),
    ]
)
MOST_ATTEMPTS: Final = 3
FOR_GOOD_RATE: Final = 0.004
"""Failures that no retry mends."""
CANCELLED_RATE: Final = 0.008
"""Of streamed calls: the user has seen enough, or goes away."""
FALLS_BACK: Final = 0.7
AGAIN: Final = 25.0
"""A model that failed just now fails again this many times more often."""


def outcome_of(dice: Dice, service: Service, model: Model) -> Outcome:
    """A usual outcome: almost always well."""
    if dice.chance(FOR_GOOD_RATE):
        failure = _FOR_GOOD.at(dice.roll())
        return Outcome(model, None, 1, 0.0, failure)
    attempts, wasted, failed = 1, 0.0, None
    rate = model.failure_rate
    while dice.chance(rate):
        failed = _FOR_A_WHILE.at(dice.roll())
        wasted += failed.took
        if attempts == MOST_ATTEMPTS:
            return _after_retries(dice, service, model, wasted, failed)
        attempts += 1
        rate = min(AGAIN * model.failure_rate, 0.5)
    return Outcome(model, None, attempts, wasted, None)


def _after_retries(dice: Dice, service: Service, model: Model, wasted: float, failed: Failure) -> Outcome:
    if service.fallback is not None and dice.chance(FALLS_BACK):
        return Outcome(MODELS[service.fallback], model, MOST_ATTEMPTS + 1, wasted, None)
    return Outcome(model, None, MOST_ATTEMPTS, wasted - failed.took, failed)


def forced_failure(dice: Dice, model: Model, error_class: ErrorClass) -> Outcome:
    """The outcome in an error burst: retries do not help."""
    failure = FAILURES[error_class]
    attempts = MOST_ATTEMPTS if failure in _FOR_A_WHILE.items else 1
    wasted = failure.took * (attempts - 1) * dice.between(0.8, 1.2)
    return Outcome(model, None, attempts, wasted, failure)
