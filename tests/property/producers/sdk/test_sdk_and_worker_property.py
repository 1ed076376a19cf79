"""What the SDK writes, the worker reads: every event of every pack, in order, whatever texts it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide.producers.event_encoder import EventEncoder
from tokentide.producers.packing import packs, unpack
from tokentide.stream.decode.decoder import Decoder

NOW_NS = 1_767_323_045_678_901_000

# Among them what looks like the frame of a pack, and halves of characters.
texts = st.one_of(
    st.text(max_size=60),
    st.text('{}[],\n"\\ ', max_size=40),
    st.text(st.characters(codec=None), max_size=20),
    st.sampled_from(["},\n{", "}\n{", '"}],[{"', "\ud83d\ude00", "\ud800", "NaN", "\u2028"]),
)
names = texts.map(lambda text: text[:200])
numbers = st.floats(0, 1e6) | st.sampled_from([float("nan"), float("inf")])
events = st.fixed_dictionaries(
    {},
    optional={
        "input": texts | st.lists(st.fixed_dictionaries({"role": names, "content": texts}), max_size=3),
        "output": texts,
        "tenant": names,
        "request_model": names,
        "input_tokens": st.integers(0, 10**9) | st.none(),
        "duration_ms": numbers,
        "stages": st.fixed_dictionaries({}, optional={"model_ms": numbers, "context_ms": numbers}),
        "cost_usd": st.decimals(0, 1000, places=9) | st.floats(0, 1000),
        "labels": st.dictionaries(st.text("abc", min_size=1), names, max_size=3),
        "timestamp": st.datetimes(datetime(2001, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        "environment": names | st.none(),
        "stream": st.booleans(),
        "finish_reasons": st.lists(names, max_size=3) | st.tuples(names),
        "error": st.fixed_dictionaries({"type": names, "message": texts}),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(events, min_size=1, max_size=12), st.integers(1, 5), st.sampled_from([60, 400, 32_768]))
def test_the_worker_reads_every_event_that_the_sdk_packs(written, max_events, max_bytes):
    encoder = EventEncoder({"service": "shop"}, {"team": "a"}, time_ns=lambda: NOW_NS)
    encoded = [encoder.encode(event).value for event in written]
    records = list(packs(encoded, max_events=max_events, max_bytes=max_bytes))
    assert [event for record in records for event in unpack(record)] == encoded

    decoded = Decoder().decode([record.value for record in records])
    assert decoded.refusals == []
    assert decoded.table.num_rows == len(written)
    assert decoded.table["service"].to_pylist() == ["shop"] * len(written)
    if "input_tokens" in decoded.table.column_names:
        assert decoded.table["input_tokens"].to_pylist() == [event.get("input_tokens") for event in written]
    costs = decoded.table["cost_usd"].to_pylist() if "cost_usd" in decoded.table.column_names else []
    for cost, event in zip(costs, written, strict=False):
        given_cost = event.get("cost_usd")
        if isinstance(given_cost, Decimal):
            assert cost == given_cost
