"""What each event adds to the aggregates of its window: one integer per row and aggregate.

The names are those of `tokentide.schemas.aggregates`; their meaning is documented there. All values are
exact: durations in microseconds, money in picodollars (summed, like products, as two words of 32 bits, so that
sums cannot overflow), scores in ten-thousandths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.schemas.aggregates import LONGEST_COMPARED_PROMPT_TOKENS, STAGES
from tokentide.schemas.sketch import KEY_BIAS, LOWEST_KEY, MANTISSA_SHIFT, ZERO_KEY
from tokentide.stream.decode.arrays import Numbers, all_true, numbers
from tokentide.stream.decode.batch import Bools, Int64s
from tokentide.stream.pricing.outcome import UnpricedReason
from tokentide.stream.texts import codes_of, is_one_of

Floats = npt.NDArray[np.float64]

WORD_BITS: Final = 32
"""Wide sums are kept as `high · 2³² + low`."""
_LOW_WORD: Final = (1 << WORD_BITS) - 1

UNKNOWN: Final = "unknown"
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "errors_by_class": (
        UNKNOWN, "timeout", "rate_limit", "auth", "quota", "context_length", "invalid_request",
        "content_filter", "server", "network", "other",
    ),
    "errors_by_owner": (UNKNOWN, "provider", "application", "user"),
    "errors_by_stage": (
        UNKNOWN, "input_parse", "prompt_render", "context", "model_call", "output", "compliance",
    ),
    "unpriced_by_reason": (UNKNOWN, *(reason.label for reason in UnpricedReason if reason)),
}  # fmt: skip
"""The closed sets behind the maps by name; a map's key is the position."""

_HUNDREDTHS: Final = np.arange(101) / 100
"""The doubles nearest to 0.00, 0.01 … 1.00: those that a score of two decimals is read as."""

_BEFORE_THE_MODEL: Final = ("input_parse", "prompt_render", "context")


class Keyed(NamedTuple):
    """Rows that add one to a key of a map."""

    rows: Int64s
    keys: Int64s
    """A bucket, or the position of a name in `NAMES`."""


class Measures(NamedTuple):
    """Per aggregate what each row adds. Aggregates to which no row adds anything are left out."""

    sums: dict[str, npt.NDArray[Any]]
    """Integers or booleans, one per row."""
    wide: dict[str, Int64s]
    """For sums of 128 bits: money in picodollars, and products; 0 or more, one per row."""
    peaks: dict[str, Int64s]
    """For maxima; 0 where the row says nothing."""
    maps: dict[str, Keyed]


class Columns:
    """The columns of event rows by name, as numpy; absent columns are all unknown."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._names = frozenset(table.column_names)
        self.rows: int = table.num_rows

    def has(self, name: str) -> bool:
        """Whether any row may know it."""
        return name in self._names

    def array(self, name: str) -> Any:
        """The Arrow array, in one piece."""
        column = self._table[name]
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def number(self, name: str) -> Numbers:
        """A numeric column; 0 where unknown."""
        number = numbers(self.array(name))
        return (
            number if number.known.all() else Numbers(np.where(number.known, number.values, 0), number.known)
        )

    def known(self, name: str) -> Bools:
        """Where a column of any type is not null."""
        column = self.array(name)
        return all_true(column.is_valid()) if column.null_count else np.ones(self.rows, dtype=np.bool_)

    def true(self, name: str) -> Bools:
        """Where a flag is known and true."""
        if not self.has(name):
            return np.zeros(self.rows, dtype=np.bool_)
        return all_true(pc.fill_null(self.array(name), fill_value=False))

    def equals(self, name: str, *values: str) -> Bools:
        """Where a text is one of the values."""
        if not self.has(name):
            return np.zeros(self.rows, dtype=np.bool_)
        return is_one_of(self.array(name), values)

    def picodollars(self, name: str) -> Numbers:
        """A money column; every amount of one event fits 64 bits."""
        column = self.array(name)
        words = np.frombuffer(column.buffers()[1], np.int64).reshape(-1, 2)[column.offset :][: self.rows]
        known = self.known(name)
        return Numbers(np.where(known, words[:, 0], 0), known)

    def positions(self, name: str, names: Sequence[str]) -> Int64s:
        """Position of each text in a closed set; 0 (unknown) for null and for what is not in it."""
        if not self.has(name):
            return np.zeros(self.rows, np.int64)
        codes, texts = codes_of(self.array(name))
        places = {text: place for place, text in enumerate(names)}
        return np.array([places.get(text, 0) for text in texts], np.int64)[codes]


def measure(table: pa.Table, late: Bools) -> Measures:
    """Return what the rows of `table` add; none of them may be a test event."""
    columns = Columns(table)
    result = Measures({"calls": np.ones(columns.rows, dtype=np.bool_)}, {}, {}, {})
    result.sums["late_calls"] = late
    _outcomes(columns, result)
    _retries_and_caches(columns, result)
    _tokens(columns, result)
    _costs(columns, result)
    _times(columns, result)
    _context_and_quality(columns, result)
    _host(columns, result)
    return _without_nothing(result)


def _without_nothing(result: Measures) -> Measures:
    return Measures(
        {name: values for name, values in result.sums.items() if values.any()},
        {name: values for name, values in result.wide.items() if values.any()},
        {name: values for name, values in result.peaks.items() if values.any()},
        {name: keyed for name, keyed in result.maps.items() if len(keyed.rows)},
    )


def _outcomes(columns: Columns, result: Measures) -> None:
    errors = columns.equals("status", "error")
    result.sums["errors"] = errors
    result.sums["cancelled_calls"] = columns.equals("status", "cancelled")
    served_from_cache = columns.equals("response_cache", "exact", "semantic")
    reached = ~(errors & columns.equals("error_stage", *_BEFORE_THE_MODEL))
    reached &= ~served_from_cache & ~columns.true("circuit_open")
    result.sums["model_calls"] = reached
    if not errors.any():
        return
    result.sums["model_provider_errors"] = (
        reached
        & errors
        & columns.equals("error_owner", "provider")
        & (columns.equals("error_stage", "model_call") | ~_known_or_absent(columns, "error_stage"))
    )
    rows = np.flatnonzero(errors)
    for name, column in (
        ("errors_by_class", "error_class"),
        ("errors_by_owner", "error_owner"),
        ("errors_by_stage", "error_stage"),
    ):
        result.maps[name] = Keyed(rows, columns.positions(column, NAMES[name])[rows])


def _known_or_absent(columns: Columns, name: str) -> Bools:
    return columns.known(name) if columns.has(name) else np.zeros(columns.rows, dtype=np.bool_)


def _retries_and_caches(columns: Columns, result: Measures) -> None:
    result.sums["stream_calls"] = columns.true("stream")
    if columns.has("attempts"):
        attempts = columns.number("attempts")
        retried = attempts.values > 1
        result.sums["attempts_reported_calls"] = attempts.known
        result.sums["attempts"] = attempts.values
        result.sums["retried_calls"] = retried
        result.sums["retried_ok_calls"] = retried & columns.equals("status", "ok")
    if columns.has("fallback_from"):
        result.sums["fallback_calls"] = columns.known("fallback_from")
    if columns.has("circuit_open"):
        result.sums["circuit_reported_calls"] = columns.known("circuit_open")
        result.sums["circuit_open_calls"] = columns.true("circuit_open")
    if columns.has("response_cache"):
        result.sums["response_cache_reported_calls"] = columns.known("response_cache")
        result.sums["response_cache_exact_calls"] = columns.equals("response_cache", "exact")
        result.sums["response_cache_semantic_calls"] = columns.equals("response_cache", "semantic")
    if columns.has("prompt_name"):
        result.sums["templated_calls"] = columns.known("prompt_name")


def _tokens(columns: Columns, result: Measures) -> None:
    for side in ("input", "output"):
        name = f"{side}_tokens"
        if not columns.has(name):
            continue
        tokens = columns.number(name)
        result.sums[f"{side}_known_calls"] = tokens.known
        result.sums[name] = tokens.values
        for source in ("counted", "estimated"):
            if (where := columns.equals(f"{name}_source", source)).any():
                result.sums[f"{source}_{name}"] = np.where(where, tokens.values, 0)
    if columns.has("cache_read_input_tokens"):
        read = columns.number("cache_read_input_tokens")
        result.sums["cache_reported_calls"] = read.known
        result.sums["cache_read_calls"] = read.values > 0
        result.sums["cache_read_input_tokens"] = read.values
        if columns.has("input_tokens"):
            tokens = columns.number("input_tokens")
            result.sums["cache_reported_input_tokens"] = np.where(read.known, tokens.values, 0)
    for name in ("cache_write_input_tokens", "reasoning_output_tokens"):
        if columns.has(name):
            result.sums[name] = columns.number(name).values
    if columns.has("input_tokens"):
        tokens = columns.number("input_tokens")
        result.maps["input_tokens_sketch"] = _sketched(tokens.values.astype(np.float64), tokens.known)
        result.peaks["input_tokens_max"] = tokens.values


def _costs(columns: Columns, result: Measures) -> None:
    unpriced = np.ones(columns.rows, dtype=np.bool_)
    if columns.has("cost_usd"):
        cost = columns.picodollars("cost_usd")
        unpriced = ~cost.known
        result.sums["priced_calls"] = cost.known
        result.wide["cost_usd"] = cost.values
        for aggregate, where in (
            ("reported_cost_usd", columns.equals("cost_source", "reported")),
            ("estimated_cost_usd", columns.equals("cost_source", "estimated")),
            ("error_cost_usd", columns.equals("status", "error")),
        ):
            if where.any():
                result.wide[aggregate] = np.where(where, cost.values, 0)
        if columns.has("attempts"):
            retried = columns.number("attempts").values > 1
            result.wide["retried_cost_usd"] = np.where(retried, cost.values, 0)
    if unpriced.any():
        reasons = columns.positions("unpriced_reason", NAMES["unpriced_by_reason"])
        rows = np.flatnonzero(unpriced)
        result.maps["unpriced_by_reason"] = Keyed(rows, reasons[rows])
    if columns.has("infra_cost_usd"):
        infra = columns.picodollars("infra_cost_usd")
        result.sums["infra_priced_calls"] = infra.known
        result.wide["infra_cost_usd"] = infra.values


def _times(columns: Columns, result: Measures) -> None:
    duration = _timed(columns, result, "duration")
    if duration is not None:
        result.peaks["duration_max_us"] = _microseconds(duration)
    first = _timed(columns, result, "time_to_first_chunk")
    _per_output_token(columns, result, duration, first)
    _stages(columns, result, duration)
    _prompt_times(columns, result)


def _timed(columns: Columns, result: Measures, stem: str) -> Numbers | None:
    """Count, sum and sketch of the column `{stem}_ms`."""
    if not columns.has(f"{stem}_ms"):
        return None
    time = columns.number(f"{stem}_ms")
    result.sums[f"{stem}_calls"] = time.known
    result.sums[f"{stem}_us"] = _microseconds(time)
    result.maps[f"{stem}_ms_sketch"] = _sketched(time.values, time.known)
    return time


def _microseconds(time: Numbers) -> Int64s:
    return cast("Int64s", np.rint(time.values * 1_000.0).astype(np.int64))


def _per_output_token(
    columns: Columns, result: Measures, duration: Numbers | None, first: Numbers | None
) -> None:
    if duration is None or first is None or not columns.has("output_tokens"):
        return
    output = columns.number("output_tokens")
    after_first = duration.values - first.values
    timed = duration.known & first.known & output.known & (output.values > 1) & (after_first >= 0)
    per_token = after_first / np.where(timed, output.values - 1, 1)
    result.maps["time_per_output_token_ms_sketch"] = _sketched(per_token, timed)


def _stages(columns: Columns, result: Measures, duration: Numbers | None) -> None:
    any_stage = np.zeros(columns.rows, dtype=np.bool_)
    together = np.zeros(columns.rows, np.int64)
    for stage in STAGES:
        time = _timed(columns, result, f"stages_{stage}")
        if time is not None:
            any_stage |= time.known
            together += _microseconds(time)
    if duration is not None and any_stage.any():
        staged = any_stage & duration.known
        result.sums["staged_calls"] = staged
        result.sums["staged_duration_us"] = np.where(staged, _microseconds(duration), 0)
        result.sums["staged_stages_us"] = np.where(staged, together, 0)


def _prompt_times(columns: Columns, result: Measures) -> None:
    """Sums of the line of model time over prompt length.

    Of calls that ended well: the time of a failed one is that of its time-out or its refusal.
    """
    if not (columns.has("input_tokens") and columns.has("stages_model_ms")):
        return
    length = columns.number("input_tokens").values
    time = columns.number("stages_model_ms")
    paired = time.known & (length > 0) & (length <= LONGEST_COMPARED_PROMPT_TOKENS)
    paired &= columns.equals("status", "ok")
    tokens = np.where(paired, length, 0)
    microseconds = np.where(paired, _microseconds(time), 0)
    result.sums["prompt_time_calls"] = paired
    result.sums["prompt_time_input_tokens"] = tokens
    result.sums["prompt_time_model_us"] = microseconds
    result.wide["prompt_time_squares"] = tokens * tokens
    result.wide["prompt_time_products"] = tokens * microseconds


def _context_and_quality(columns: Columns, result: Measures) -> None:
    if columns.has("turn"):
        multi_turn = columns.number("turn").values > 1
        result.sums["multi_turn_calls"] = multi_turn
        if columns.has("context_hit"):
            result.sums["context_reported_calls"] = multi_turn & columns.known("context_hit")
            result.sums["context_hits"] = multi_turn & columns.true("context_hit")
    if columns.has("compliance_passed"):
        result.sums["compliance_checked_calls"] = columns.known("compliance_passed")
        result.sums["compliance_passed_calls"] = columns.true("compliance_passed")
    if columns.has("retrieval_documents"):
        documents = columns.number("retrieval_documents")
        result.sums["retrieval_calls"] = documents.known
        result.sums["retrieval_documents"] = documents.values
    if columns.has("retrieval_hit"):
        result.sums["retrieval_reported_calls"] = columns.known("retrieval_hit")
        result.sums["retrieval_hits"] = columns.true("retrieval_hit")
    if columns.has("retrieval_latency_ms"):
        latency = columns.number("retrieval_latency_ms")
        result.sums["retrieval_timed_calls"] = latency.known
        result.sums["retrieval_us"] = _microseconds(latency)
    if columns.has("quality_score"):
        score = columns.number("quality_score")
        tenthousandths = _tenthousandths(score)
        result.sums["quality_scored_calls"] = score.known
        result.sums["quality_score_e4"] = tenthousandths
        result.sums["quality_score_squares_e8"] = tenthousandths * tenthousandths
        rows = np.flatnonzero(score.known)
        result.maps["quality_buckets"] = Keyed(rows, hundredths(score.values[rows]))


def _tenthousandths(share: Numbers) -> Int64s:
    return cast("Int64s", np.rint(share.values * 10_000.0).astype(np.int64))


def _host(columns: Columns, result: Measures) -> None:
    if columns.has("cold_start"):
        result.sums["cold_start_reported_calls"] = columns.known("cold_start")
        result.sums["cold_start_calls"] = columns.true("cold_start")
    for name, calls, total, peak in (
        ("queue_length", "queue_length_calls", "queue_length", "queue_length_max"),
        ("concurrency", "concurrency_calls", "concurrency", "concurrency_max"),
        ("gpu_memory_bytes", "gpu_memory_calls", "gpu_memory_bytes", "gpu_memory_max_bytes"),
    ):
        if columns.has(name):
            number = columns.number(name)
            result.sums[calls] = number.known
            result.sums[total] = number.values
            result.peaks[peak] = number.values
    if columns.has("gpu_utilization"):
        utilization = columns.number("gpu_utilization")
        result.sums["gpu_utilization_calls"] = utilization.known
        result.sums["gpu_utilization_e4"] = _tenthousandths(utilization)
        result.peaks["gpu_utilization_max_e4"] = _tenthousandths(utilization)


def _sketched(values: Floats, known: Bools) -> Keyed:
    rows = np.flatnonzero(known)
    return Keyed(rows, bucket_keys(values[rows]))


def bucket_keys(values: Floats) -> Int64s:
    """`tokentide.schemas.sketch.bucket_key` of each value, which must be 0 or more."""
    bits = (values + 0.0).view(np.int64)  # -0.0 has a sign bit, 0.0 has none
    return np.where(values == 0, ZERO_KEY, np.maximum((bits >> MANTISSA_SHIFT) - KEY_BIAS, LOWEST_KEY))


def hundredths(shares: Floats) -> Int64s:
    """Return how many whole hundredths each share (0 … 1) holds, 100 for 1.

    Compared with the doubles of 0.00, 0.01 …, since a product lies: 0.29 × 100 is 28.999999999999996. So the keys below 29
    are exactly the shares for which `share < 0.29` is true.
    """
    return np.searchsorted(_HUNDREDTHS, shares, side="right") - 1


def words_of(values: Int64s) -> tuple[Int64s, Int64s]:
    """Split numbers of 0 or more into high and low words, each of which can be summed 2³¹ times."""
    return values >> WORD_BITS, values & _LOW_WORD
