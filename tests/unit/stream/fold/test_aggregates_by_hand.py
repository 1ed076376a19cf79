"""Every aggregate of a window, with values worked out by hand.

Each case names everything of its window that is not zero or empty, so what is counted beside the point is found, too.
The worker and the reference must both agree with it: neither can be wrong together with the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import pytest

from tests.support.folded import MICRODOLLAR, Folded, fold, without_nothing
from tests.support.reference_fold import KEYS, NUMBERS, TEST_CALLS, Key, Value, reference_fold, undefined
from tokentide.schemas.aggregates import AGGREGATES
from tokentide.schemas.call import CallEvent

Event = Mapping[str, Any]

KNOWN_TOKENIZER: Final = {"provider": "openai", "request_model": "gpt-4o"}
OTHER_TOKENIZER: Final = {"provider": "acme", "request_model": "one"}
HELLO: Final = [{"role": "user", "content": "hello world"}]
"""9 tokens of gpt-4o: 2 of the text, 3 of the message's frame, 1 of the role and 3 that begin the answer."""

# Log buckets, 64 to the octave: (exponent of two) · 64 + ⌊(value / 2^exponent − 1) · 64⌋.
OF_0: Final = -32_768
OF_LEAST: Final = -1_280
"""Everything below 2⁻²⁰."""
OF_HALF: Final = -64
OF_1: Final = 0
OF_1_5: Final = 32
OF_2: Final = 64
OF_2_5: Final = 80
OF_3: Final = 96
OF_4: Final = 128
OF_5: Final = 144
OF_6: Final = 160
OF_7: Final = 176
OF_8: Final = 192
OF_9: Final = 200
OF_10: Final = 208
OF_100: Final = 420
"""2⁶ · 1.5625"""
OF_110: Final = 430
"""2⁶ · 1.71875"""
OF_1_000: Final = 637
"""2⁹ · 1.953125"""


class Case(NamedTuple):
    """Events of one window and series, and all that the window holds."""

    name: str
    events: Sequence[Event]
    holds: Mapping[str, Value]


def plain(calls: int) -> dict[str, Value]:
    """What calls add that say nothing of themselves."""
    return {"calls": calls, "model_calls": calls, "unpriced_by_reason": {"no_model": calls}}


def errors(*, by_class: str, by_owner: str, by_stage: str) -> dict[str, Value]:
    """A single failed call."""
    return plain(1) | {
        "errors": 1,
        "errors_by_class": {by_class: 1},
        "errors_by_owner": {by_owner: 1},
        "errors_by_stage": {by_stage: 1},
    }


def stage_case(stage: str) -> Case:
    """A stage that took 0 ms, 1.5 ms, 100 ms and one that said nothing, without any duration."""
    events: list[Event] = [{"stages": {f"{stage}_ms": ms}} for ms in (0, 1.5, 100.0004)]
    holds: dict[str, Value] = {
        f"stages_{stage}_calls": 3,
        f"stages_{stage}_us": 101_500,
        f"stages_{stage}_ms_sketch": {OF_0: 1, OF_1_5: 1, OF_100: 1},
    }
    return Case(f"the stage {stage}", [*events, {"stages": {}}], plain(4) | holds)


def peak_case(field: str, calls: str, total: str, peak: str) -> Case:
    """Absent, zero and two values, the larger one first."""
    return Case(field, [{field: 7}, {}, {field: 0}, {field: 3}], plain(4) | {calls: 3, total: 10, peak: 7})


OUTCOMES: Final = (
    Case("a call that says nothing", [{}], plain(1)),
    Case("test events are counted apart", [{"test": True}, {"test": True, "status": "error", "cost_usd": 5, "duration_ms": 9}], {"test_calls": 2}),
    Case("test events beside others", [{"test": True, "duration_ms": 9}, {"test": False}, {"duration_ms": 1}, {"test": True}], plain(2) | {"test_calls": 2, "duration_calls": 1, "duration_us": 1_000, "duration_max_us": 1_000, "duration_ms_sketch": {OF_1: 1}}),
    Case("cancelled is neither good nor bad", [{"status": "cancelled"}, {"status": "ok"}, {"status": "cancelled", "error": {"class": "timeout"}}], plain(3) | {"cancelled_calls": 2}),
    Case("an ended call is no error whatever it tells of one", [{"status": "ok", "error": {"class": "auth", "stage": "context"}}], plain(1)),
    Case("an error that says nothing", [{"status": "error"}], errors(by_class="other", by_owner="unknown", by_stage="unknown")),
    Case("an error is one without a status", [{"error": {"http_status": 503}}], errors(by_class="server", by_owner="provider", by_stage="unknown") | {"model_provider_errors": 1}),
    Case("at the model call", [{"error": {"class": "network", "stage": "model_call"}}], errors(by_class="network", by_owner="provider", by_stage="model_call") | {"model_provider_errors": 1}),
    Case("an error of the application at the model call", [{"error": {"class": "auth", "stage": "model_call"}}], errors(by_class="auth", by_owner="application", by_stage="model_call")),
    Case("an error of the user", [{"error": {"class": "content_filter"}}], errors(by_class="content_filter", by_owner="user", by_stage="unknown")),
    Case("stopped by the input", [{"error": {"class": "invalid_request", "stage": "input_parse"}}], errors(by_class="invalid_request", by_owner="user", by_stage="input_parse") | {"model_calls": 0}),
    Case("stopped by the prompt", [{"error": {"class": "context_length", "stage": "prompt_render"}}], errors(by_class="context_length", by_owner="application", by_stage="prompt_render") | {"model_calls": 0}),
    Case("stopped by the context", [{"error": {"class": "timeout", "stage": "context"}}], errors(by_class="timeout", by_owner="application", by_stage="context") | {"model_calls": 0}),
    Case("failed after the model", [{"error": {"class": "timeout", "stage": "output"}}], errors(by_class="timeout", by_owner="application", by_stage="output")),
    Case("failed the check", [{"error": {"class": "other", "stage": "compliance"}}], errors(by_class="other", by_owner="application", by_stage="compliance")),
    Case("errors of every class, several together", [{"error": {"class": name}} for name in ("timeout", "rate_limit", "rate_limit", "auth", "quota", "context_length", "invalid_request", "content_filter", "server", "network", "other")], plain(11) | {
        "errors": 11,
        "errors_by_class": {"timeout": 1, "rate_limit": 2, "auth": 1, "quota": 1, "context_length": 1, "invalid_request": 1, "content_filter": 1, "server": 1, "network": 1, "other": 1},
        "errors_by_owner": {"provider": 5, "application": 4, "user": 1, "unknown": 1},
        "errors_by_stage": {"unknown": 11},
        "model_provider_errors": 5,
    }),
    Case("an outage behind an open circuit is not the model's", [{"error": {"class": "server"}, "circuit_open": True}], errors(by_class="server", by_owner="provider", by_stage="unknown") | {"model_calls": 0, "circuit_open_calls": 1, "circuit_reported_calls": 1}),
)  # fmt: skip

WAYS: Final = (
    Case("streamed: yes, no, not said", [{"stream": True}, {"stream": False}, {}, {"stream": True}], plain(4) | {"stream_calls": 2}),
    Case("attempts", [{"attempts": 1}, {"attempts": 2}, {"attempts": 3, "status": "error"}, {"attempts": 4, "status": "cancelled"}, {}], plain(5) | {
        "attempts_reported_calls": 4, "attempts": 10, "retried_calls": 3, "retried_ok_calls": 1, "cancelled_calls": 1,
        "errors": 1, "errors_by_class": {"other": 1}, "errors_by_owner": {"unknown": 1}, "errors_by_stage": {"unknown": 1},
    }),
    Case("fallbacks", [{"fallback_from": "gpt-4o"}, {"fallback_from": ""}, {}], plain(3) | {"fallback_calls": 1}),
    Case("circuit breakers", [{"circuit_open": True}, {"circuit_open": False}, {"circuit_open": False}, {}], plain(4) | {"circuit_open_calls": 1, "circuit_reported_calls": 3, "model_calls": 3}),
    Case("response caches", [{"response_cache": "exact"}, {"response_cache": "semantic"}, {"response_cache": "semantic"}, {"response_cache": "none"}, {}], plain(5) | {
        "response_cache_reported_calls": 4, "response_cache_exact_calls": 1, "response_cache_semantic_calls": 2,
        "model_calls": 2, "priced_calls": 3, "unpriced_by_reason": {"no_model": 2},
    }),
    Case("turns", [{"turn": 1}, {"turn": 2}, {"turn": 3}, {}], plain(4) | {"multi_turn_calls": 2}),
    Case("contexts count from the second turn on", [
        {"turn": 1, "context": {"hit": True}}, {"context": {"hit": True}}, {"turn": 2, "context": {"hit": True}},
        {"turn": 2, "context": {"hit": False}}, {"turn": 2, "context": {}}, {"turn": 9},
    ], plain(6) | {"multi_turn_calls": 4, "context_reported_calls": 2, "context_hits": 1}),
    Case("compliance", [{"compliance": {"passed": True}}, {"compliance": {"passed": False}}, {"compliance": {"violations": ["pii"]}}, {}], plain(4) | {"compliance_checked_calls": 2, "compliance_passed_calls": 1}),
    Case("retrieval", [{"retrieval": {"documents": 0, "hit": False}}, {"retrieval": {"documents": 5}}, {"retrieval": {"hit": True}}, {"retrieval": {"hit": True, "latency_ms": 0}}, {"retrieval": {"latency_ms": 12.3456}}, {}], plain(6) | {
        "retrieval_calls": 2, "retrieval_documents": 5, "retrieval_reported_calls": 3, "retrieval_hits": 2,
        "retrieval_timed_calls": 2, "retrieval_us": 12_346,
    }),
    Case("quality", [{"quality": {"score": 0}}, {"quality": {"score": 0.29}}, {"quality": {"score": 0.49999}}, {"quality": {"score": 1}}, {"quality": {"label": "thumbs_up"}}], plain(5) | {
        "quality_scored_calls": 4, "quality_score_e4": 0 + 2_900 + 5_000 + 10_000, "quality_score_squares_e8": 8_410_000 + 25_000_000 + 100_000_000,
        "quality_buckets": {0: 1, 29: 1, 49: 1, 100: 1},
    }),
    Case("cold starts", [{"cold_start": True}, {"cold_start": False}, {"cold_start": False}, {}], plain(4) | {"cold_start_reported_calls": 3, "cold_start_calls": 1}),
    peak_case("queue_length", "queue_length_calls", "queue_length", "queue_length_max"),
    peak_case("concurrency", "concurrency_calls", "concurrency", "concurrency_max"),
    peak_case("gpu_memory_bytes", "gpu_memory_calls", "gpu_memory_bytes", "gpu_memory_max_bytes"),
    Case("gpu_utilization", [{"gpu_utilization": 0.98765}, {}, {"gpu_utilization": 0}, {"gpu_utilization": 0.5}], plain(4) | {"gpu_utilization_calls": 3, "gpu_utilization_e4": 14_876, "gpu_utilization_max_e4": 9_876}),
)  # fmt: skip
"""0.98765 · 10,000 is 9876.5 and goes to the even neighbour."""

TOKENS: Final = (
    Case("reported, zero, absent", [{"input_tokens": 8, "output_tokens": 4}, {"input_tokens": 0, "output_tokens": 0}, {}, {"input_tokens": 3}], plain(4) | {
        "input_known_calls": 3, "input_tokens": 11, "input_tokens_max": 8, "input_tokens_sketch": {OF_0: 1, OF_3: 1, OF_8: 1},
        "output_known_calls": 2, "output_tokens": 4,
    }),
    Case("the whole contains its parts", [
        {"input_tokens": 100, "cache_read_input_tokens": 60, "cache_write_input_tokens": 20},
        {"input_tokens": 10, "cache_read_input_tokens": 0}, {"input_tokens": 1_000, "cache_write_input_tokens": 4},
        {"cache_read_input_tokens": 7}, {"output_tokens": 9, "reasoning_output_tokens": 5}, {"reasoning_output_tokens": 0},
    ], plain(6) | {
        "input_known_calls": 3, "input_tokens": 1_110, "input_tokens_max": 1_000, "input_tokens_sketch": {OF_10: 1, OF_100: 1, OF_1_000: 1},
        "cache_reported_calls": 3, "cache_read_calls": 2, "cache_read_input_tokens": 67, "cache_reported_input_tokens": 110,
        "cache_write_input_tokens": 24, "output_known_calls": 1, "output_tokens": 9, "reasoning_output_tokens": 5,
    }),
    Case("reported apart from the cached", [{"input_tokens": 10, "cache_reporting": "exclusive", "cache_read_input_tokens": 80, "cache_write_input_tokens": 20}], plain(1) | {
        "input_known_calls": 1, "input_tokens": 110, "input_tokens_max": 110, "input_tokens_sketch": {OF_110: 1},
        "cache_reported_calls": 1, "cache_read_calls": 1, "cache_read_input_tokens": 80, "cache_reported_input_tokens": 110, "cache_write_input_tokens": 20,
    }),
    Case("counted with the model's own tokenizer", [KNOWN_TOKENIZER | {"input": HELLO, "output": "hello world"}, KNOWN_TOKENIZER | {"input": HELLO, "input_tokens": 100, "output": "hello world", "output_tokens": 1}], {
        "calls": 2, "model_calls": 2, "priced_calls": 2, "cost_usd": (13 + 102) * MICRODOLLAR,
        "input_known_calls": 2, "input_tokens": 109, "counted_input_tokens": 9, "input_tokens_max": 100, "input_tokens_sketch": {OF_9: 1, OF_100: 1},
        "output_known_calls": 2, "output_tokens": 3, "counted_output_tokens": 2,
    }),
    Case("estimated with another", [OTHER_TOKENIZER | {"input": HELLO, "output": "hello world"}, OTHER_TOKENIZER | {"input_tokens": 1, "output_tokens": 1}], {
        "calls": 2, "model_calls": 2, "priced_calls": 2, "cost_usd": (13 + 3) * MICRODOLLAR, "estimated_cost_usd": 13 * MICRODOLLAR,
        "input_known_calls": 2, "input_tokens": 10, "estimated_input_tokens": 9, "input_tokens_max": 9, "input_tokens_sketch": {OF_1: 1, OF_9: 1},
        "output_known_calls": 2, "output_tokens": 3, "estimated_output_tokens": 2,
    }),
    Case("reads from the cache under an estimated prompt", [OTHER_TOKENIZER | {"input": HELLO, "output_tokens": 0, "cache_read_input_tokens": 2}], {
        "calls": 1, "model_calls": 1, "priced_calls": 1, "cost_usd": 9 * MICRODOLLAR, "estimated_cost_usd": 9 * MICRODOLLAR,
        "input_known_calls": 1, "input_tokens": 9, "estimated_input_tokens": 9, "input_tokens_max": 9, "input_tokens_sketch": {OF_9: 1},
        "cache_reported_calls": 1, "cache_read_calls": 1, "cache_read_input_tokens": 2, "cache_reported_input_tokens": 9,
        "output_known_calls": 1,
    }),
)  # fmt: skip

USED: Final = OTHER_TOKENIZER | {"input_tokens": 2, "output_tokens": 1}
"""Costs four microdollars."""


def used(calls: int) -> dict[str, Value]:
    """What calls like `USED` add, cost and outcome apart."""
    return {
        "calls": calls,
        "model_calls": calls,
        "input_known_calls": calls,
        "input_tokens": 2 * calls,
        "input_tokens_max": 2,
        "input_tokens_sketch": {OF_2: calls},
        "output_known_calls": calls,
        "output_tokens": calls,
    }


COSTS: Final = (
    Case("calculated", [USED, USED], used(2) | {"priced_calls": 2, "cost_usd": 8 * MICRODOLLAR}),
    Case("reported wins, zero is known", [USED | {"cost_usd": "0.000000000001"}, USED | {"cost_usd": 0}, {"cost_usd": "1.5"}], used(2) | {
        "calls": 3, "model_calls": 3, "priced_calls": 3, "cost_usd": 1_500_000_000_001, "reported_cost_usd": 1_500_000_000_001,
    }),
    Case("reported is not estimated, even where the tokens are", [OTHER_TOKENIZER | {"input": HELLO, "output_tokens": 1, "cost_usd": "0.5"}], {
        "calls": 1, "model_calls": 1, "priced_calls": 1, "cost_usd": 5 * 10**11, "reported_cost_usd": 5 * 10**11,
        "input_known_calls": 1, "input_tokens": 9, "estimated_input_tokens": 9, "input_tokens_max": 9, "input_tokens_sketch": {OF_9: 1},
        "output_known_calls": 1, "output_tokens": 1,
    }),
    Case("of failed calls", [USED | {"status": "error"}, USED | {"status": "cancelled"}, USED, {"status": "error"}], used(3) | {
        "calls": 4, "model_calls": 4, "priced_calls": 3, "cost_usd": 12 * MICRODOLLAR, "error_cost_usd": 4 * MICRODOLLAR, "unpriced_by_reason": {"no_model": 1},
        "errors": 2, "errors_by_class": {"other": 2}, "errors_by_owner": {"unknown": 2}, "errors_by_stage": {"unknown": 2}, "cancelled_calls": 1,
    }),
    Case("of retried calls", [USED | {"attempts": 1}, USED | {"attempts": 2}, USED], used(3) | {
        "priced_calls": 3, "cost_usd": 12 * MICRODOLLAR, "retried_cost_usd": 4 * MICRODOLLAR,
        "attempts_reported_calls": 2, "attempts": 3, "retried_calls": 1, "retried_ok_calls": 1,
    }),
    Case("unpriced, by reason", [{}, OTHER_TOKENIZER, OTHER_TOKENIZER, {"provider": "acme", "request_model": "one", "response_model": "one"}], {
        "calls": 4, "model_calls": 4, "unpriced_by_reason": {"no_model": 1, "no_usage": 3},
    }),
    Case("of the host", [{"infra_cost_usd": "0.25"}, {"infra_cost_usd": 0}, {}], plain(3) | {"infra_priced_calls": 2, "infra_cost_usd": 250_000_000_000}),
    Case("more than 64 bits of picodollars hold", [{"cost_usd": 999_999, "infra_cost_usd": "999999"}] * 20, plain(20) | {
        "unpriced_by_reason": {}, "priced_calls": 20, "cost_usd": 19_999_980 * 10**12, "reported_cost_usd": 19_999_980 * 10**12,
        "infra_priced_calls": 20, "infra_cost_usd": 19_999_980 * 10**12,
    }),
)  # fmt: skip

TIMES: Final = (
    Case("durations", [{"duration_ms": 1.5}, {"duration_ms": 1_000.0006}, {"duration_ms": 0}, {}, {"duration_ms": 1e-9}], plain(5) | {
        "duration_calls": 4, "duration_us": 1_001_501, "duration_max_us": 1_000_001, "duration_ms_sketch": {OF_0: 1, OF_LEAST: 1, OF_1_5: 1, OF_1_000: 1},
    }),
    Case("first chunks", [{"time_to_first_chunk_ms": 0.5}, {"time_to_first_chunk_ms": 2}, {"time_to_first_chunk_ms": 2.01}, {}], plain(4) | {
        "time_to_first_chunk_calls": 3, "time_to_first_chunk_us": 4_510, "time_to_first_chunk_ms_sketch": {OF_HALF: 1, OF_2: 2},
    }),
    Case("time per output token", [
        {"duration_ms": 10, "time_to_first_chunk_ms": 2, "output_tokens": 5},  # 8 ms for the 4 tokens after the first
        {"duration_ms": 10, "time_to_first_chunk_ms": 10, "output_tokens": 2},  # all at once
        {"duration_ms": 10, "time_to_first_chunk_ms": 2, "output_tokens": 1},  # none after the first
        {"duration_ms": 10, "time_to_first_chunk_ms": 2, "output_tokens": 0},
        {"duration_ms": 2, "time_to_first_chunk_ms": 10, "output_tokens": 5},  # clocks that contradict each other
        {"time_to_first_chunk_ms": 2, "output_tokens": 5}, {"duration_ms": 10, "output_tokens": 5}, {"duration_ms": 10, "time_to_first_chunk_ms": 2},
    ], plain(8) | {
        "duration_calls": 7, "duration_us": 62_000, "duration_max_us": 10_000, "duration_ms_sketch": {OF_2: 1, OF_10: 6},
        "time_to_first_chunk_calls": 7, "time_to_first_chunk_us": 30_000, "time_to_first_chunk_ms_sketch": {OF_2: 5, OF_10: 2},
        "time_per_output_token_ms_sketch": {OF_0: 1, OF_2: 1}, "output_known_calls": 7, "output_tokens": 23,
    }),
    *map(stage_case, ("gateway", "queue", "cold_start", "parse", "context", "render", "model", "output", "network")),
    Case("the split of the time is of calls with both", [
        {"duration_ms": 10, "stages": {"queue_ms": 2, "model_ms": 5.5}}, {"duration_ms": 4, "stages": {"model_ms": 0}},
        {"duration_ms": 100}, {"stages": {"model_ms": 7}}, {"duration_ms": 8, "stages": {}}, {"duration_ms": 1, "stages": {"queue_ms": 1}},
    ], plain(6) | {
        "duration_calls": 5, "duration_us": 123_000, "duration_max_us": 100_000, "duration_ms_sketch": {OF_1: 1, OF_4: 1, OF_8: 1, OF_10: 1, OF_100: 1},
        "staged_calls": 3, "staged_duration_us": 15_000, "staged_stages_us": 8_500,
        "stages_queue_calls": 2, "stages_queue_us": 3_000, "stages_queue_ms_sketch": {OF_1: 1, OF_2: 1},
        "stages_model_calls": 3, "stages_model_us": 12_500, "stages_model_ms_sketch": {OF_0: 1, 152: 1, OF_7: 1},
    }),
    Case("model time over prompt length", [
        {"input_tokens": 3, "stages": {"model_ms": 2.5}}, {"input_tokens": 1, "stages": {"model_ms": 0}},
        {"input_tokens": 10_000_000, "stages": {"model_ms": 1}},
        {"input_tokens": 10_000_001, "stages": {"model_ms": 1}}, {"input_tokens": 0, "stages": {"model_ms": 1}}, {"stages": {"model_ms": 1}},
        {"input_tokens": 6, "stages": {"queue_ms": 1}}, {"input_tokens": 5, "status": "error", "stages": {"model_ms": 1}},
        {"input_tokens": 5, "status": "cancelled", "stages": {"model_ms": 1}},
    ], plain(9) | {
        "prompt_time_calls": 3, "prompt_time_input_tokens": 10_000_004, "prompt_time_model_us": 3_500,
        "prompt_time_squares": 9 + 1 + 10**14, "prompt_time_products": 7_500 + 10**10,
        "input_known_calls": 8, "input_tokens": 20_000_021, "input_tokens_max": 10_000_001, "input_tokens_sketch": {OF_0: 1, OF_1: 1, OF_3: 1, OF_5: 2, OF_6: 1, 1484: 2},
        "stages_model_calls": 8, "stages_model_us": 8_500, "stages_model_ms_sketch": {OF_0: 1, OF_1: 6, OF_2_5: 1},
        "stages_queue_calls": 1, "stages_queue_us": 1_000, "stages_queue_ms_sketch": {OF_1: 1},
        "errors": 1, "errors_by_class": {"other": 1}, "errors_by_owner": {"unknown": 1}, "errors_by_stage": {"unknown": 1}, "cancelled_calls": 1,
    }),
)  # fmt: skip
"""5.5 is 2² · 1.375: bucket 2 · 64 + 24 = 152. 10⁷ is 2²³ · 1.19: bucket 23 · 64 + 12."""

SITUATIONS: Final = (
    Case("templates", [{"prompt_name": "summary"}], plain(1) | {"templated_calls": 1}),
    Case("an empty name is none", [{"prompt_name": ""}, {}], plain(2)),
    Case("late", [{"timestamp": "2026-01-31T12:00:59.999999Z"}, {"timestamp": "2026-01-31T12:01:00Z", "test": True, "service": "clock"}, {}, {}, {"test": True}], plain(3) | {"late_calls": 2, "test_calls": 1}),
    Case("out of order within the minute is not late", [{"timestamp": "2026-01-31T12:00:59.999999Z"}, {"timestamp": "2026-01-31T12:00:00Z"}], plain(2)),
)  # fmt: skip

CASES: Final = [*OUTCOMES, *WAYS, *TOKENS, *COSTS, *TIMES, *SITUATIONS]


def log_of(case: Case) -> list[dict[str, Any]]:
    """The events, each with what is required."""
    return [
        {"event_id": f"e{n}", "timestamp": "2026-01-31T12:00:30Z", "service": "s", **event}
        for n, event in enumerate(case.events)
    ]


def of_s(windows: Mapping[Key, dict[str, Value]]) -> dict[str, Value]:
    """The one window of service `s`, without what is zero or empty."""
    (window,) = (window for (_, series), window in windows.items() if "s" in series)
    return without_nothing(window)


@cache
def folded(place: int) -> Folded:
    """What the worker makes of a case, for both of its tests."""
    return fold(log_of(CASES[place]), dimensions=("service",))


EVERY_CASE: Final = pytest.mark.parametrize("place", range(len(CASES)), ids=[case.name for case in CASES])


@EVERY_CASE
def test_the_worker_counts(place: int) -> None:
    assert of_s(folded(place).windows) == without_nothing(CASES[place].holds)


@EVERY_CASE
def test_the_reference_counts(place: int) -> None:
    log, rows = log_of(CASES[place]), folded(place).rows
    pairs = [(CallEvent.model_validate(event), rows[offset]) for offset, event in enumerate(log)]
    windows = reference_fold(pairs, dimensions=("service",))
    assert of_s(windows) == without_nothing(CASES[place].holds)


def test_no_aggregate_is_left_out() -> None:
    """An aggregate that is new needs a definition in the reference and a value here that is worked out by hand."""
    names = {aggregate.name for aggregate in AGGREGATES}
    assert undefined() == []
    assert {*NUMBERS, *KEYS, TEST_CALLS} - names == set(), (
        "the reference defines what is no aggregate any more"
    )
    held = {name for case in CASES for name, value in case.holds.items() if value}
    assert names - held == set()
