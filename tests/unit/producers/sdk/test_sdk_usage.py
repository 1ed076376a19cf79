"""Usage out of responses: against bodies recorded from the real services, and the shapes between them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.waiting import HANGING_S
from tokentide.producers import MemoryTransport, Producer
from tokentide.producers.usage import anthropic_fields, openai_fields
from tokentide.schemas.call import CallEvent

NAMES = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "cache_read_input_tokens",
    "cache_read_input_tokens": "cache_read_input_tokens",
    "cache_creation_input_tokens": "cache_write_input_tokens",
    "reasoning_tokens": "reasoning_output_tokens",
}
"""From the names of the recordings' expectations to those of the contract."""
OPENAI_LIKE = ("openai", "azure.ai.openai", "groq", "mistral_ai", "deepseek", "together_ai", "writer")


def as_objects(value: object) -> object:
    """What an SDK makes of a body: attributes instead of keys."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_objects(item) for key, item in value.items()})
    return [as_objects(item) for item in value] if isinstance(value, list) else value


def parts_of(call: dict[str, object]) -> Iterator[object]:
    """The response as an application sees it: whole, or the events of its stream one by one."""
    if call["response_kind"] == "json":
        yield call["response"]
        return
    for line in str(call["response"]).splitlines():
        if line.startswith("data:") and line[5:].strip() not in ("", "[DONE]"):
            yield json.loads(line[5:])


def recorded(folder: Path, providers: tuple[str, ...]) -> Iterator[tuple[dict, dict]]:
    files = folder / "provider_calls"
    expected = {}
    with (files / "llm_calls_openllmetry.expected.jsonl").open() as lines:
        for line in lines:
            entry = json.loads(line)
            expected[entry["id"]] = entry
    with gzip.open(files / "llm_calls_openllmetry.jsonl.gz", "rt") as lines:
        for line in lines:
            call = json.loads(line)
            entry = expected[call["id"]]
            if entry["provider"] in providers and call["response_kind"] in ("json", "sse"):
                yield call, entry


def emitted(parts: list[object], method: str) -> dict[str, object]:
    broker = MemoryTransport()
    with Producer(service="s", transport=broker, strict=True) as producer:
        with producer.call() as call:
            for part in parts:
                getattr(call, method)(part)
        assert producer.flush(HANGING_S)
    (event,) = broker.events
    return event


def expected_usage(entry: dict) -> dict[str, int]:
    return {
        ours: entry["usage_reported"][theirs]
        for theirs, ours in NAMES.items()
        if entry["usage_reported"] and entry["usage_reported"].get(theirs) is not None
    }


def usage_in(event: dict[str, object]) -> dict[str, object]:
    return {name: event[name] for name in set(NAMES.values()) if name in event}


@pytest.mark.data
@pytest.mark.parametrize("shape", [as_objects, lambda body: body], ids=["objects", "dictionaries"])
def test_recorded_responses_of_openai_and_the_compatible_give_the_usage_they_report(public_data, shape):
    seen = {True: 0, False: 0}
    for call, entry in recorded(public_data, OPENAI_LIKE):
        event = emitted([shape(part) for part in parts_of(call)], "openai_usage")
        assert usage_in(event) == expected_usage(entry), call["source_path"]
        assert event.get("response_model") == entry["response_model"], call["source_path"]
        assert "cache_reporting" not in event
        seen[entry["usage_reported"] is not None] += 1
    assert seen[True] > 300
    assert seen[False] > 80  # nothing may be invented


@pytest.mark.data
@pytest.mark.parametrize("shape", [as_objects, lambda body: body], ids=["objects", "dictionaries"])
def test_recorded_messages_of_anthropic_give_the_usage_they_report_and_say_how(public_data, shape):
    seen = 0
    for call, entry in recorded(public_data, ("anthropic",)):
        event = emitted([shape(part) for part in parts_of(call)], "anthropic_usage")
        assert usage_in(event) == expected_usage(entry), call["source_path"]
        assert event["cache_reporting"] == "exclusive"
        assert event["response_model"] == entry["response_model"]
        seen += 1
    assert seen == 41


@pytest.mark.data
def test_recorded_finish_reasons_are_taken(public_data):
    for call, entry in recorded(public_data, ("openai", "azure.ai.openai")):
        if entry["api"] == "chat" and entry["finish_reasons"] and not entry["stream"]:
            assert openai_fields(call["response"])["finish_reasons"] == entry["finish_reasons"]
    for call, entry in recorded(public_data, ("anthropic",)):
        if entry["finish_reasons"]:
            event = emitted(list(parts_of(call)), "anthropic_usage")
            assert event["finish_reasons"] == entry["finish_reasons"]


def test_anthropic_s_cache_tokens_are_outside_of_its_input_tokens():
    usage = {
        "input_tokens": 4,
        "output_tokens": 9,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50},
        "service_tier": "priority",
    }
    fields = anthropic_fields({"model": "claude-sonnet-4-5", "stop_reason": "end_turn", "usage": usage})
    assert fields == {
        "input_tokens": 4,
        "output_tokens": 9,
        "cache_read_input_tokens": 1000,
        "cache_write_input_tokens": 200,
        "cache_write_1h_input_tokens": 50,
        "cache_reporting": "exclusive",
        "response_model": "claude-sonnet-4-5",
        "service_tier": "priority",
        "finish_reasons": ["end_turn"],
    }
    CallEvent.model_validate({"event_id": "e", "timestamp": 1_700_000_000, "service": "s", **fields})


@pytest.mark.parametrize("fields_of", [openai_fields, anthropic_fields])
@pytest.mark.parametrize("nothing", [None, "", "text", 5, [], {}, object(), {"usage": None}])
def test_nothing_is_read_out_of_nothing(fields_of, nothing):
    assert fields_of(nothing) == {}


@pytest.mark.parametrize("count", ["12", 1.5, True, -1, None])
def test_what_is_no_count_is_unknown(count):
    assert "input_tokens" not in openai_fields({"usage": {"prompt_tokens": count}})
    assert "input_tokens" not in anthropic_fields({"usage": {"input_tokens": count}})


def test_the_usage_itself_may_be_passed():
    assert openai_fields({"prompt_tokens": 3, "completion_tokens": 4}) == {
        "input_tokens": 3,
        "output_tokens": 4,
    }
    assert anthropic_fields({"input_tokens": 3, "output_tokens": 4})["cache_reporting"] == "exclusive"


def test_a_chunk_without_usage_does_not_erase_that_of_another():
    event = emitted(
        [
            {"usage": {"prompt_tokens": 3, "completion_tokens": 4}, "choices": []},
            {"usage": None, "choices": [{"finish_reason": "stop", "delta": {}}]},
            {"usage": None, "choices": [{"finish_reason": None, "delta": {}}]},
        ],
        "openai_usage",
    )
    assert (event["input_tokens"], event["output_tokens"], event["finish_reasons"]) == (3, 4, ["stop"])
