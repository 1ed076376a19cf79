"""What a window holds: the dimensions of a series and every aggregate, declared once.

The worker's fold, the columns of `llm_windows`, the view `windows` and the messages of the windows
topic follow from this list or are tested against it. Every aggregate is an exact integer (or an
exact decimal) and merges by `sum`, `max` or a sum of maps, so that order, batching and repetition
cannot change a total. `test` events count in `test_calls` and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

WINDOW_SECONDS: Final = 60
"""Base window, half-open `[start, start + 60 s)`, event time, UTC."""

SEGMENT_OFFSETS: Final = 65_536
"""Offsets of a segment (docs/decisions and the delivery protocol); changing it is a migration."""

DIMENSIONS: Final = (
    "environment",
    "service",
    "provider",
    "model",
    "prompt_name",
    "variant",
    "tenant",
    "feature",
)
"""Every dimension a series may have, in the order of its key. Which are in use is a setting;
the others are empty text."""

DEFAULT_DIMENSIONS: Final = DIMENSIONS[:6]

OTHER_SERIES: Final = "__other__"
"""Service name of the series that takes what is over the cap on live series."""

Merge = Literal["sum", "max", "map"]
Unit = Literal[
    "calls", "tokens", "us", "usd", "e4", "documents", "bytes", "items", "tokens_squared", "token_us"
]

LONGEST_COMPARED_PROMPT_TOKENS: Final = 10_000_000
"""Longer prompts take no part in the regression of model time on prompt length. Far above any prompt that is sent as
one, and low enough for a product to stay within 64 bits: 10⁷ tokens × 10¹¹ µs (`limits.MAX_DURATION_MS`) = 10¹⁸ < 2⁶³."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate of a window."""

    name: str
    merge: Merge
    unit: Unit
    meaning: str

    @property
    def key_type(self) -> Literal["bucket", "name"] | None:
        """For maps: `bucket` (a number: a sketch's log bucket, or a step of equal width) or `name` (a closed set of words)."""
        if self.merge != "map":
            return None
        return "bucket" if self.name.endswith(("_sketch", "_buckets")) else "name"

    @property
    def is_wide(self) -> bool:
        """Whether the sum takes 128 bits.

        Money does: a segment holds up to 65,536 × 10,000 events, of up to 10¹⁸ picodollars each. So do products: that many
        of 10¹⁸ (see `LONGEST_COMPARED_PROMPT_TOKENS`) are 6.6 × 10²⁶, and 38 decimal digits hold the sum of 10¹¹ such segments.
        """
        return self.unit in ("usd", "tokens_squared", "token_us")


def _calls(name: str, meaning: str) -> Aggregate:
    return Aggregate(name, "sum", "calls", meaning)


STAGES: Final = (
    "gateway",
    "queue",
    "cold_start",
    "parse",
    "context",
    "render",
    "model",
    "output",
    "network",
)

AGGREGATES: Final = (
    _calls("calls", "Calls, whatever their outcome; without test events."),
    _calls("test_calls", "Events marked `test`; counted here and nowhere else."),
    _calls("errors", "Calls with status `error`."),
    _calls("cancelled_calls", "Calls cancelled by the user: neither good nor bad."),
    Aggregate(
        "errors_by_class",
        "map",
        "calls",
        "Errors by class; `other` where neither the event nor its HTTP status, error type and message tell one.",
    ),
    Aggregate("errors_by_owner", "map", "calls", "Errors by owner: provider, application, user, unknown."),
    Aggregate(
        "errors_by_stage", "map", "calls", "Errors by the stage that failed; `unknown` if not reported."
    ),
    _calls(
        "model_calls",
        "Calls that reached the model: not stopped by a stage before it, by an open circuit or a response cache.",
    ),
    _calls("model_provider_errors", "Of these, errors at the model call owned by the provider."),
    _calls(
        "late_calls",
        "Calls whose window had already ended by the partition's newest event time in the span.",
    ),
    _calls("stream_calls", "Streamed calls."),
    _calls("retried_calls", "Calls with more than one attempt."),
    _calls("retried_ok_calls", "Of these, the ones that ended well."),
    _calls("attempts_reported_calls", "Calls that reported their attempts."),
    Aggregate("attempts", "sum", "calls", "Attempts of the calls that reported them."),
    _calls(
        "fallback_calls",
        "Calls with `fallback_from`: made after another model had failed, whether they failed too or not.",
    ),
    _calls("circuit_open_calls", "Calls kept back by a circuit breaker."),
    _calls("circuit_reported_calls", "Calls that reported the circuit breaker's state."),
    _calls("multi_turn_calls", "Calls with `turn` above 1."),
    _calls("context_reported_calls", "Multi-turn calls that reported whether their context was found."),
    _calls("context_hits", "Of these, the ones whose context was found."),
    _calls("cache_reported_calls", "Calls that reported tokens read from the prompt cache."),
    _calls("cache_read_calls", "Of these, the ones with any."),
    _calls("response_cache_reported_calls", "Calls that reported on the response cache."),
    _calls("response_cache_exact_calls", "Answers served from the cache, same prompt."),
    _calls("response_cache_semantic_calls", "Answers served from the cache, similar prompt."),
    _calls("templated_calls", "Calls with a `prompt_name`."),
    _calls("compliance_checked_calls", "Calls whose answer was checked."),
    _calls("compliance_passed_calls", "Of these, the ones that passed."),
    _calls("retrieval_calls", "Calls that reported retrieved documents."),
    Aggregate("retrieval_documents", "sum", "documents", "Documents of these calls."),
    _calls("retrieval_reported_calls", "Calls that reported whether retrieval found something."),
    _calls("retrieval_hits", "Of these, the ones that did."),
    _calls("retrieval_timed_calls", "Calls that reported the time of the search."),
    Aggregate("retrieval_us", "sum", "us", "Time of these searches."),
    _calls("quality_scored_calls", "Calls with a quality score."),
    Aggregate("quality_score_e4", "sum", "e4", "Sum of scores in 1/10,000."),
    Aggregate(
        "quality_score_squares_e8",
        "sum",
        "items",
        "Sum of squared scores in 1/10,000², for confidence intervals.",
    ),
    Aggregate(
        "quality_buckets",
        "map",
        "calls",
        "Calls with a quality score by hundredth: key 49 is 0.49 ≤ score < 0.50, key 100 is a score of 1.",
    ),
    _calls("cold_start_reported_calls", "Calls that reported on a cold start."),
    _calls("cold_start_calls", "Of these, the ones that had one."),
    _calls("input_known_calls", "Calls whose input tokens are known from any source."),
    Aggregate("input_tokens", "sum", "tokens", "Input tokens, cached ones included."),
    Aggregate("counted_input_tokens", "sum", "tokens", "Of these, counted with the model's own tokenizer."),
    Aggregate("estimated_input_tokens", "sum", "tokens", "Of these, estimated with another tokenizer."),
    _calls("output_known_calls", "Calls whose output tokens are known from any source."),
    Aggregate("output_tokens", "sum", "tokens", "Output tokens, reasoning included."),
    Aggregate("counted_output_tokens", "sum", "tokens", "Of these, counted with the model's own tokenizer."),
    Aggregate("estimated_output_tokens", "sum", "tokens", "Of these, estimated with another tokenizer."),
    Aggregate("cache_read_input_tokens", "sum", "tokens", "Input tokens read from the prompt cache."),
    Aggregate(
        "cache_reported_input_tokens", "sum", "tokens", "Input tokens of the calls that reported cache reads."
    ),
    Aggregate("cache_write_input_tokens", "sum", "tokens", "Input tokens written to the prompt cache."),
    Aggregate("reasoning_output_tokens", "sum", "tokens", "Output tokens spent on reasoning."),
    Aggregate("cost_usd", "sum", "usd", "Cost of the priced calls."),
    _calls("priced_calls", "Calls with a known cost; `priced_calls / calls` is the coverage."),
    Aggregate("unpriced_by_reason", "map", "calls", "Calls without a known cost, by reason."),
    Aggregate("reported_cost_usd", "sum", "usd", "Part of the cost that the provider stated."),
    Aggregate("estimated_cost_usd", "sum", "usd", "Part of the cost that rests on estimated tokens."),
    Aggregate("error_cost_usd", "sum", "usd", "Cost of failed calls."),
    Aggregate("retried_cost_usd", "sum", "usd", "Cost of calls with more than one attempt."),
    _calls("infra_priced_calls", "Calls that reported the cost of their host."),
    Aggregate("infra_cost_usd", "sum", "usd", "Cost of the host."),
    _calls("duration_calls", "Calls that reported their duration."),
    Aggregate("duration_us", "sum", "us", "Their durations."),
    Aggregate("duration_max_us", "max", "us", "The longest."),
    Aggregate("duration_ms_sketch", "map", "calls", "Durations in log buckets of milliseconds."),
    _calls("time_to_first_chunk_calls", "Calls that reported the time to the first chunk."),
    Aggregate("time_to_first_chunk_us", "sum", "us", "Those times."),
    Aggregate("time_to_first_chunk_ms_sketch", "map", "calls", "Those times in log buckets of milliseconds."),
    Aggregate(
        "time_per_output_token_ms_sketch",
        "map",
        "calls",
        "(duration − time to first chunk) / (output tokens − 1) in log buckets of milliseconds, of calls that "
        "reported both times, the duration no shorter, and have 2 or more known output tokens.",
    ),
    Aggregate("input_tokens_sketch", "map", "calls", "Prompt lengths in log buckets of tokens."),
    Aggregate("input_tokens_max", "max", "tokens", "The longest prompt."),
    _calls(
        "prompt_time_calls",
        "Calls that ended well and reported the stage `model`, with 1 … 10,000,000 known input tokens: "
        "the points of the line of model time over prompt length.",
    ),
    Aggregate("prompt_time_input_tokens", "sum", "tokens", "Their input tokens."),
    Aggregate("prompt_time_model_us", "sum", "us", "Their times in the stage `model`."),
    Aggregate("prompt_time_squares", "sum", "tokens_squared", "Sum of their squared input tokens."),
    Aggregate(
        "prompt_time_products", "sum", "token_us", "Sum of input tokens × time in the stage `model` of each."
    ),
    _calls("staged_calls", "Calls that reported both a duration and any stage."),
    Aggregate(
        "staged_duration_us", "sum", "us", "Durations of these calls; minus the stages it is `unaccounted`."
    ),
    Aggregate("staged_stages_us", "sum", "us", "Sum of all stages of these calls."),
    *(_calls(f"stages_{stage}_calls", f"Calls that reported the stage `{stage}`.") for stage in STAGES),
    *(Aggregate(f"stages_{stage}_us", "sum", "us", f"Time of the stage `{stage}`.") for stage in STAGES),
    *(
        Aggregate(
            f"stages_{stage}_ms_sketch",
            "map",
            "calls",
            f"Times of the stage `{stage}` in log buckets of milliseconds.",
        )
        for stage in STAGES
    ),
    _calls("queue_length_calls", "Calls that reported the queue's length."),
    Aggregate("queue_length", "sum", "items", "Sum of the reported lengths."),
    Aggregate("queue_length_max", "max", "items", "The longest queue."),
    _calls("concurrency_calls", "Calls that reported the concurrency."),
    Aggregate("concurrency", "sum", "items", "Sum of the reported concurrencies."),
    Aggregate("concurrency_max", "max", "items", "The highest."),
    _calls("gpu_memory_calls", "Calls that reported GPU memory."),
    Aggregate("gpu_memory_bytes", "sum", "bytes", "Sum of the reported GPU memory."),
    Aggregate("gpu_memory_max_bytes", "max", "bytes", "The most."),
    _calls("gpu_utilization_calls", "Calls that reported GPU utilisation."),
    Aggregate("gpu_utilization_e4", "sum", "e4", "Sum of the utilisations in 1/10,000."),
    Aggregate("gpu_utilization_max_e4", "max", "e4", "The highest."),
)
"""Every aggregate of a window, in the order of its columns."""
