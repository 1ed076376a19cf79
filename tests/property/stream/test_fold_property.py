"""The fold of any events equals a slow fold in plain Python, in any order and in any batches."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.support.folded import Folded, fold
from tests.support.reference_fold import Key, Value, reference_fold
from tokentide.schemas.aggregates import DIMENSIONS, STAGES
from tokentide.schemas.call import CallEvent
from tokentide.schemas.columns import column

EVERY_DIMENSION: Final = DIMENSIONS
NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)

Fields = dict[str, Any]


def some(**fields: SearchStrategy[Any]) -> SearchStrategy[Fields]:
    """An object with any subset of the fields, none of them null."""
    return st.fixed_dictionaries({}, optional=fields)


tokens = st.sampled_from([0, 1, 2, 5, 1_000, 10_000_000, 10_000_001, 10_000_000_000])
times = st.sampled_from([0, 1e-9, 0.0005, 0.0015, 1, 1.5, 99.9996, 1_234.5678, 1e8]) | st.floats(0, 1e5)
lengths = st.sampled_from([0, 1, 7, 10_000_000_000])
shares = st.sampled_from([0, 0.00005, 0.29, 0.5, 0.57, 0.98765, 1]) | st.floats(0, 1)
amounts = st.sampled_from(["0", "0.000000000001", "0.1", "999999", "12.345678901234"])
flags = st.booleans()
stages = some(**{f"{stage}_ms": times for stage in STAGES})
calls = some(
    environment=st.sampled_from(["production", "staging"]),
    provider=st.sampled_from(["acme", "openai", "nobody"]),
    request_model=st.sampled_from(["one", "gpt-4o"]),
    prompt_name=st.sampled_from(["", "summary"]),
    variant=st.sampled_from(["a", "b"]),
    tenant=st.just("t"),
    stream=flags,
    turn=st.integers(1, 3),
    test=st.sampled_from([False, False, True]),
    status=st.sampled_from(["ok", "ok", "error", "cancelled"]),
)
failures = some(
    error=some(
        http_status=st.sampled_from([200, 401, 429, 499, 503]),
        type=st.sampled_from(["TimeoutError", "KeyError", "Odd"]),
        stage=st.sampled_from(column("error_stage").choices or ()),
        **{"class": st.sampled_from(column("error_class").choices or ())},
    ),
    attempts=st.integers(1, 3),
    fallback_from=st.sampled_from(["", "gpt-4o"]),
    circuit_open=flags,
    response_cache=st.sampled_from(["none", "exact", "semantic"]),
)
usages = some(
    input_tokens=tokens,
    output_tokens=tokens,
    cache_read_input_tokens=tokens,
    cache_write_input_tokens=tokens,
    reasoning_output_tokens=tokens,
    cache_reporting=st.sampled_from(["inclusive", "exclusive"]),
    input=st.sampled_from(["hello", [{"role": "user", "content": "hello world"}]]),
    output=st.sampled_from(["", "hello world"]),
    cost_usd=amounts,
    infra_cost_usd=amounts,
)
clocks = some(duration_ms=times, time_to_first_chunk_ms=times, stages=stages)
results = some(
    context=some(hit=flags),
    compliance=some(passed=flags),
    retrieval=some(documents=lengths, hit=flags, latency_ms=times),
    quality=some(score=shares),
)
hosts = some(
    cold_start=flags,
    queue_length=lengths,
    concurrency=lengths,
    gpu_memory_bytes=lengths,
    gpu_utilization=shares,
)
seconds = st.sampled_from([0, 30, 59.999999, 60, 61, 119.999999, 120, 185])
places = st.builds(
    lambda second, service: {"second": second, "service": service}, seconds, st.sampled_from("ab")
)


@st.composite
def events(draw: st.DrawFn) -> Fields:
    """A valid event without an id: most say something on some matters and nothing on the others."""
    event: Fields = draw(places)
    event["timestamp"] = (NOON + timedelta(seconds=event.pop("second"))).isoformat()
    for facet in (calls, failures, usages, clocks, results, hosts):
        if draw(flags):
            event |= draw(facet)
    return consistent(event)


def consistent(event: Fields) -> Fields:
    """A whole is at least its parts."""
    read, write = (event.get(f"cache_{part}_input_tokens", 0) for part in ("read", "write"))
    if "input_tokens" in event:
        event["input_tokens"] = max(event["input_tokens"], min(read + write, 10_000_000_000))
        if read + write > event["input_tokens"]:
            del event["cache_write_input_tokens"]
    if "output_tokens" in event:
        event["output_tokens"] = max(event["output_tokens"], event.get("reasoning_output_tokens", 0))
    return event


def named(log: list[Fields]) -> list[Fields]:
    """With ids of their own."""
    return [{"event_id": f"e{number}", **event} for number, event in enumerate(log)]


def folded(log: list[Fields], *sizes: int) -> Folded:
    """In batches of these sizes, or all at once; every dimension is in use."""
    return fold(log, dimensions=EVERY_DIMENSION, sizes=sizes or (len(log) + 1,))


def expected(log: list[Fields], rows: Mapping[int, Mapping[str, Any]]) -> dict[Key, dict[str, Value]]:
    """What the reference makes of the events that are the first of their id."""
    pairs = [
        (CallEvent.model_validate(event), rows[place]) for place, event in enumerate(log) if place in rows
    ]
    assert len(pairs) == len({event["event_id"] for event in log})
    return reference_fold(pairs, dimensions=EVERY_DIMENSION)


@given(st.lists(events(), min_size=1, max_size=8), st.lists(st.integers(0, 7), max_size=2))
@settings(max_examples=60)
def test_every_aggregate_is_what_the_reference_says(log: list[Fields], repeated: list[int]) -> None:
    whole = named(log)
    whole += [whole[place % len(log)] for place in repeated]
    found = folded(whole)
    assert found.windows == expected(whole, found.rows)
    assert found.stored == found.windows


@given(st.lists(events(), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_the_order_of_events_changes_nothing_but_what_is_late(
    log: list[Fields], chance: random.Random
) -> None:
    in_order = named(log)
    shuffled = chance.sample(in_order, len(log))
    assert but_late(folded(shuffled).windows) == but_late(folded(in_order).windows)


@given(st.lists(events(), min_size=1, max_size=8), st.lists(st.integers(1, 4), min_size=1, max_size=3))
@settings(max_examples=30)
def test_batches_change_nothing(log: list[Fields], sizes: list[int]) -> None:
    whole, parts = folded(named(log)), folded(named(log), *sizes)
    assert parts.windows == whole.windows
    assert parts.stored == whole.stored


def but_late(windows: Mapping[Key, Mapping[str, Value]]) -> dict[Key, dict[str, Value]]:
    return {key: {**window, "late_calls": 0} for key, window in windows.items()}
