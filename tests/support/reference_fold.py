"""What every aggregate of a window is, said once more: slowly, one event after the other, in plain Python.

Each definition follows the meaning in `tokentide.schemas.aggregates` and the field's description in the contract,
never the worker's code, so that the two can be compared. The events are validated by the contract's own model; what
only the worker can know (counted tokens, the cost, the class and the owner of an error, the model that was priced)
is taken from its event row.

Money is in picodollars, times are in whole microseconds, scores and shares in ten-thousandths.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final, NamedTuple

from tokentide.schemas.aggregates import AGGREGATES, DIMENSIONS, STAGES, Aggregate
from tokentide.schemas.call import CallEvent

MINUTE_US: Final = 60_000_000

Value = int | dict[str | int, int]
Key = tuple[int, tuple[str, ...]]
"""Start of the window in seconds since 1970, and the series."""


class Call(NamedTuple):
    """One event, and what else a window has to know of it."""

    event: CallEvent
    row: Mapping[str, Any]
    """The worker's event row; only names that enrichment adds or fills in are read."""
    is_late: bool

    @property
    def status(self) -> str:
        """As sent; when absent, `error` if anything of an error was sent, else `ok`."""
        error = self.event.error
        says_something = error is not None and any(
            part is not None
            for part in (error.type, error.message, error.http_status, error.stage, error.class_)
        )
        return self.event.status or ("error" if says_something else "ok")

    @property
    def has_failed(self) -> bool:
        """Neither well nor cancelled."""
        return self.status == "error"

    @property
    def stage(self) -> str | None:
        """Which step failed."""
        return self.event.error.stage if self.event.error else None

    @property
    def reached_the_model(self) -> bool:
        """Nothing kept it back before."""
        stopped = self.has_failed and self.stage in {"input_parse", "prompt_render", "context"}
        return not (stopped or self.event.circuit_open or self.event.response_cache in {"exact", "semantic"})

    @property
    def is_provider_error(self) -> bool:
        """At the model call, where an error counts that names no stage."""
        at_the_model = self.stage in {None, "model_call"}
        owner = self.row.get("error_owner")
        return self.reached_the_model and self.has_failed and at_the_model and owner == "provider"

    @property
    def was_retried(self) -> bool:
        """More than one attempt."""
        return (self.event.attempts or 0) > 1

    @property
    def is_multi_turn(self) -> bool:
        """Not the first turn of its conversation."""
        return (self.event.turn or 0) > 1

    @property
    def context_hit(self) -> bool | None:
        """What a multi-turn call says of its context."""
        return self.event.context.hit if self.is_multi_turn and self.event.context else None

    @property
    def input_tokens(self) -> int | None:
        """Cached ones included, also where the producer reports them apart; counted by the worker if not reported."""
        event = self.event
        if event.input_tokens is None:
            return self.row.get("input_tokens")
        if event.cache_reporting != "exclusive":
            return event.input_tokens
        return (
            event.input_tokens + (event.cache_read_input_tokens or 0) + (event.cache_write_input_tokens or 0)
        )

    @property
    def output_tokens(self) -> int | None:
        """As reported, else as counted by the worker."""
        reported = self.event.output_tokens
        return self.row.get("output_tokens") if reported is None else reported

    @property
    def cost(self) -> int | None:
        """In picodollars."""
        return picodollars(self.row.get("cost_usd"))

    def stage_ms(self, stage: str) -> float | None:
        """The time of one stage."""
        return getattr(self.event.stages, f"{stage}_ms") if self.event.stages else None

    @property
    def stage_times_us(self) -> list[int]:
        """Of all stages that were reported."""
        times = (microseconds(self.stage_ms(stage)) for stage in STAGES)
        return [time for time in times if time is not None]

    @property
    def is_staged(self) -> bool:
        """Its time can be split."""
        return self.event.duration_ms is not None and bool(self.stage_times_us)

    @property
    def ms_per_output_token(self) -> float | None:
        """Not defined for a single token, nor where the first chunk came after the end."""
        total, first, tokens = self.event.duration_ms, self.event.time_to_first_chunk_ms, self.output_tokens
        if total is None or first is None or tokens is None or tokens < 2 or first > total:
            return None
        return (total - first) / (tokens - 1)

    @property
    def is_on_the_line(self) -> bool:
        """A point of the line of model time over prompt length."""
        return (
            self.status == "ok"
            and self.stage_ms("model") is not None
            and self.input_tokens is not None
            and 1 <= self.input_tokens <= 10_000_000
        )

    @property
    def line_point(self) -> tuple[int, int]:
        """Input tokens and microseconds in the model; zeros where there are none."""
        if not self.is_on_the_line:
            return 0, 0
        return self.input_tokens or 0, microseconds(self.stage_ms("model")) or 0


def picodollars(usd: Decimal | None) -> int | None:
    """Exactly."""
    return None if usd is None else int(usd.scaleb(12))


def microseconds(ms: float | None) -> int | None:
    """The nearest whole one."""
    return None if ms is None else round(ms * 1_000)


def e4(share: float | None) -> int | None:
    """The nearest ten-thousandth."""
    return None if share is None else round(share * 10_000)


def hundredth(share: float | None) -> int | None:
    """The largest whole hundredth that is not above a share; 0.29 is one, whatever 0.29 · 100 is in binary."""
    return None if share is None else max(key for key in range(101) if key / 100 <= share)


def bucket(value: float | None) -> int | None:
    """64 buckets of equal width to each power of two, numbered from 1.0; one for 0, and one below 2⁻²⁰."""
    if value is None:
        return None
    if value == 0:
        return -32_768
    mantissa, exponent = math.frexp(value)  # 0.5 ≤ mantissa < 1
    return max((exponent - 1) * 64 + math.floor((2 * mantissa - 1) * 64), -20 * 64)


def _if(condition: object, value: int | None) -> int | None:
    return value if condition else None


def _known(value: object) -> int:
    return int(value is not None)


def _stage_calls(stage: str, call: Call) -> int:
    return _known(call.stage_ms(stage))


def _stage_us(stage: str, call: Call) -> int | None:
    return microseconds(call.stage_ms(stage))


def _stage_bucket(stage: str, call: Call) -> int | None:
    return bucket(call.stage_ms(stage))


def _compliance(call: Call) -> bool | None:
    return call.event.compliance.passed if call.event.compliance else None


def _retrieval(call: Call, name: str) -> Any:
    return getattr(call.event.retrieval, name) if call.event.retrieval else None


def _score(call: Call) -> int | None:
    return e4(call.event.quality.score) if call.event.quality else None


def _squared_score(call: Call) -> int | None:
    score = _score(call)
    return None if score is None else score * score


NUMBERS: Final[Mapping[str, Callable[[Call], int | None]]] = {
    "calls": lambda _: 1,
    "errors": lambda call: call.has_failed,
    "cancelled_calls": lambda call: call.status == "cancelled",
    "model_calls": lambda call: call.reached_the_model,
    "model_provider_errors": lambda call: call.is_provider_error,
    "late_calls": lambda call: call.is_late,
    "stream_calls": lambda call: call.event.stream,
    "retried_calls": lambda call: call.was_retried,
    "retried_ok_calls": lambda call: call.was_retried and call.status == "ok",
    "attempts_reported_calls": lambda call: _known(call.event.attempts),
    "attempts": lambda call: call.event.attempts,
    "fallback_calls": lambda call: bool(call.event.fallback_from),
    "circuit_open_calls": lambda call: call.event.circuit_open,
    "circuit_reported_calls": lambda call: _known(call.event.circuit_open),
    "multi_turn_calls": lambda call: call.is_multi_turn,
    "context_reported_calls": lambda call: _known(call.context_hit),
    "context_hits": lambda call: call.context_hit,
    "cache_reported_calls": lambda call: _known(call.event.cache_read_input_tokens),
    "cache_read_calls": lambda call: (call.event.cache_read_input_tokens or 0) > 0,
    "response_cache_reported_calls": lambda call: _known(call.event.response_cache),
    "response_cache_exact_calls": lambda call: call.event.response_cache == "exact",
    "response_cache_semantic_calls": lambda call: call.event.response_cache == "semantic",
    "templated_calls": lambda call: bool(call.event.prompt_name),
    "compliance_checked_calls": lambda call: _known(_compliance(call)),
    "compliance_passed_calls": _compliance,
    "retrieval_calls": lambda call: _known(_retrieval(call, "documents")),
    "retrieval_documents": lambda call: _retrieval(call, "documents"),
    "retrieval_reported_calls": lambda call: _known(_retrieval(call, "hit")),
    "retrieval_hits": lambda call: _retrieval(call, "hit"),
    "retrieval_timed_calls": lambda call: _known(_retrieval(call, "latency_ms")),
    "retrieval_us": lambda call: microseconds(_retrieval(call, "latency_ms")),
    "quality_scored_calls": lambda call: _known(_score(call)),
    "quality_score_e4": _score,
    "quality_score_squares_e8": _squared_score,
    "prompt_time_calls": lambda call: call.is_on_the_line,
    "prompt_time_input_tokens": lambda call: call.line_point[0],
    "prompt_time_model_us": lambda call: call.line_point[1],
    "prompt_time_squares": lambda call: call.line_point[0] ** 2,
    "prompt_time_products": lambda call: call.line_point[0] * call.line_point[1],
    "cold_start_reported_calls": lambda call: _known(call.event.cold_start),
    "cold_start_calls": lambda call: call.event.cold_start,
    "input_known_calls": lambda call: _known(call.input_tokens),
    "input_tokens": lambda call: call.input_tokens,
    "input_tokens_max": lambda call: call.input_tokens,
    "counted_input_tokens": lambda call: _if(
        call.row.get("input_tokens_source") == "counted", call.input_tokens
    ),
    "estimated_input_tokens": lambda call: _if(
        call.row.get("input_tokens_source") == "estimated", call.input_tokens
    ),
    "output_known_calls": lambda call: _known(call.output_tokens),
    "output_tokens": lambda call: call.output_tokens,
    "counted_output_tokens": lambda call: _if(
        call.row.get("output_tokens_source") == "counted", call.output_tokens
    ),
    "estimated_output_tokens": lambda call: _if(
        call.row.get("output_tokens_source") == "estimated", call.output_tokens
    ),
    "cache_read_input_tokens": lambda call: call.event.cache_read_input_tokens,
    "cache_reported_input_tokens": lambda call: _if(
        call.event.cache_read_input_tokens is not None, call.input_tokens
    ),
    "cache_write_input_tokens": lambda call: call.event.cache_write_input_tokens,
    "reasoning_output_tokens": lambda call: call.event.reasoning_output_tokens,
    "cost_usd": lambda call: call.cost,
    "priced_calls": lambda call: _known(call.cost),
    "reported_cost_usd": lambda call: _if(call.row.get("cost_source") == "reported", call.cost),
    "estimated_cost_usd": lambda call: _if(call.row.get("cost_source") == "estimated", call.cost),
    "error_cost_usd": lambda call: _if(call.has_failed, call.cost),
    "retried_cost_usd": lambda call: _if(call.was_retried, call.cost),
    "infra_priced_calls": lambda call: _known(call.event.infra_cost_usd),
    "infra_cost_usd": lambda call: picodollars(call.event.infra_cost_usd),
    "duration_calls": lambda call: _known(call.event.duration_ms),
    "duration_us": lambda call: microseconds(call.event.duration_ms),
    "duration_max_us": lambda call: microseconds(call.event.duration_ms),
    "time_to_first_chunk_calls": lambda call: _known(call.event.time_to_first_chunk_ms),
    "time_to_first_chunk_us": lambda call: microseconds(call.event.time_to_first_chunk_ms),
    "staged_calls": lambda call: call.is_staged,
    "staged_duration_us": lambda call: _if(call.is_staged, microseconds(call.event.duration_ms)),
    "staged_stages_us": lambda call: _if(call.is_staged, sum(call.stage_times_us)),
    **{f"stages_{stage}_calls": partial(_stage_calls, stage) for stage in STAGES},
    **{f"stages_{stage}_us": partial(_stage_us, stage) for stage in STAGES},
    "queue_length_calls": lambda call: _known(call.event.queue_length),
    "queue_length": lambda call: call.event.queue_length,
    "queue_length_max": lambda call: call.event.queue_length,
    "concurrency_calls": lambda call: _known(call.event.concurrency),
    "concurrency": lambda call: call.event.concurrency,
    "concurrency_max": lambda call: call.event.concurrency,
    "gpu_memory_calls": lambda call: _known(call.event.gpu_memory_bytes),
    "gpu_memory_bytes": lambda call: call.event.gpu_memory_bytes,
    "gpu_memory_max_bytes": lambda call: call.event.gpu_memory_bytes,
    "gpu_utilization_calls": lambda call: _known(call.event.gpu_utilization),
    "gpu_utilization_e4": lambda call: e4(call.event.gpu_utilization),
    "gpu_utilization_max_e4": lambda call: e4(call.event.gpu_utilization),
}
"""What a call adds to a sum, or holds against a maximum; None is nothing."""

KEYS: Final[Mapping[str, Callable[[Call], str | int | None]]] = {
    "errors_by_class": lambda call: call.row.get("error_class") or "unknown" if call.has_failed else None,
    "errors_by_owner": lambda call: call.row.get("error_owner") or "unknown" if call.has_failed else None,
    "errors_by_stage": lambda call: call.stage or "unknown" if call.has_failed else None,
    "unpriced_by_reason": lambda call: (
        call.row.get("unpriced_reason") or "unknown" if call.cost is None else None
    ),
    "quality_buckets": lambda call: hundredth(call.event.quality.score) if call.event.quality else None,
    "duration_ms_sketch": lambda call: bucket(call.event.duration_ms),
    "time_to_first_chunk_ms_sketch": lambda call: bucket(call.event.time_to_first_chunk_ms),
    "time_per_output_token_ms_sketch": lambda call: bucket(call.ms_per_output_token),
    "input_tokens_sketch": lambda call: bucket(call.input_tokens),
    **{f"stages_{stage}_ms_sketch": partial(_stage_bucket, stage) for stage in STAGES},
}
"""The key of a map under which a call counts; None: under none."""

TEST_CALLS: Final = "test_calls"
"""The one aggregate of test events."""


def undefined() -> list[str]:
    """Aggregates of the contract that nobody has defined here."""
    return [a.name for a in AGGREGATES if a.name not in {TEST_CALLS, *NUMBERS, *KEYS}]


def reference_fold(
    events: Iterable[tuple[CallEvent, Mapping[str, Any]]], *, dimensions: Sequence[str]
) -> dict[Key, dict[str, Value]]:
    """Every aggregate of every window and series that any event counts in.

    Args:
        events: each with its event row, in the order of the log and without repeated ids.
        dimensions: the ones in use.

    Raises:
        LookupError: an aggregate has no definition here yet.
    """
    if missing := undefined():
        raise LookupError(
            f"write down in tests/support/reference_fold.py what these are: {', '.join(missing)}"
        )
    windows: dict[Key, dict[str, Value]] = {}
    newest_us = 0
    for event, row in events:
        start_us = event.timestamp - event.timestamp % MINUTE_US
        window = windows.setdefault((start_us // 1_000_000, _series(event, row, dimensions)), nothing())
        call = Call(event, row, is_late=start_us + MINUTE_US <= newest_us)
        newest_us = max(newest_us, event.timestamp)
        if event.test:
            _add(window, _AGGREGATE[TEST_CALLS], 1)
            continue
        for name, number in NUMBERS.items():
            if name in _AGGREGATE:
                _add(window, _AGGREGATE[name], int(number(call) or 0))
        for name, key in KEYS.items():
            found = key(call)
            if name in _AGGREGATE and found is not None:
                counts = window[name]
                assert isinstance(counts, dict)
                counts[found] = counts.get(found, 0) + 1
    return windows


_AGGREGATE: Final = {aggregate.name: aggregate for aggregate in AGGREGATES}


def nothing() -> dict[str, Value]:
    """The window in which nothing happened."""
    return {name: {} if aggregate.merge == "map" else 0 for name, aggregate in _AGGREGATE.items()}


def _add(window: dict[str, Value], aggregate: Aggregate, number: int) -> None:
    before = window[aggregate.name]
    assert isinstance(before, int)
    window[aggregate.name] = max(before, number) if aggregate.merge == "max" else before + number


def _series(event: CallEvent, row: Mapping[str, Any], dimensions: Sequence[str]) -> tuple[str, ...]:
    """The model and the provider are those that were priced."""
    from_row = {"model", "provider"}
    return tuple(
        ((row.get(name) if name in from_row else getattr(event, name)) or "") if name in dimensions else ""
        for name in DIMENSIONS
    )


def merged(windows: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    """Several windows as one."""
    total = nothing()
    for window in windows:
        for name, aggregate in _AGGREGATE.items():
            value, before = window[name], total[name]
            if isinstance(value, dict) and isinstance(before, dict):
                total[name] = dict(Counter(before) + Counter(value))
            elif isinstance(value, int):
                _add(total, aggregate, value)
    return total
