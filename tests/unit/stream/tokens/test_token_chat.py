"""Messages, tools and answers are counted by the formula, and marked where it is only an estimate."""

from __future__ import annotations

from typing import Any

import pytest

from tokentide.stream.tokens import (
    TokenCount,
    TokenMemory,
    count_completion,
    count_messages,
    count_prompt,
    count_text,
)
from tokentide.stream.tokens.definitions import declarations

HELLO = {"role": "user", "content": "hello"}  # role 1, content 1


@pytest.mark.parametrize(
    ("model", "tokens", "source"),
    [
        ("gpt-4o", 3 + 1 + 1 + 3, "counted"),
        ("gpt-4-0613", 3 + 1 + 1 + 3, "counted"),
        ("gpt-3.5-turbo-0301", 4 + 1 + 1 + 3, "counted"),
        ("gpt-5", 3 + 1 + 1 + 2, "counted"),
        ("o3-mini", 3 + 1 + 1 + 3, "estimated"),  # the tokenizer is public, the framing was never recorded
        ("claude-sonnet-4-5", 3 + 3 + 3, "estimated"),  # 2 text tokens are 2.4 of Claude's, rounded up
        ("our-own", 3 + 1 + 1 + 3, "estimated"),
    ],
)
def test_a_message_is_framed_as_its_model_family_does(model: str, tokens: int, source: str) -> None:
    assert count_messages([HELLO], model)[:2] == (tokens, source)


def test_a_name_costs_one_and_its_text_except_in_the_oldest_family() -> None:
    named = {**HELLO, "name": "bob"}
    assert count_messages([named], "gpt-4o").tokens == count_messages([HELLO], "gpt-4o").tokens + 1 + 1
    assert (
        count_messages([named], "gpt-3.5-turbo-0301").tokens
        == count_messages([HELLO], "gpt-3.5-turbo-0301").tokens - 1 + 1
    )


def test_no_messages_are_the_priming_of_the_reply() -> None:
    assert count_messages([], "gpt-4o") == TokenCount(3, "counted", "o200k_base")


def test_content_without_text_adds_nothing() -> None:
    empty = count_messages([{"role": "assistant", "content": None}], "gpt-4o")
    assert empty == count_messages([{"role": "assistant"}], "gpt-4o")
    assert empty == TokenCount(3 + 1 + 3, "counted", "o200k_base")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "hello"},
        {"type": "input_text", "text": "hello"},
        {"type": "output_text", "text": "hello"},
        {"type": "text", "content": "hello"},
        "hello",
    ],
)
def test_parts_of_text_count_as_their_text(part: object) -> None:
    assert count_messages([{"role": "user", "content": [part]}], "gpt-4o") == count_messages(
        [HELLO], "gpt-4o"
    )
    assert count_messages([{"role": "user", "parts": [part]}], "gpt-4o") == count_messages([HELLO], "gpt-4o")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA"}},
        {"type": "tool_result", "content": [{"type": "text", "text": "x"}]},
        None,
        7,
    ],
)
def test_a_part_that_is_no_text_makes_the_count_an_estimate(part: object) -> None:
    counted = count_messages([{"role": "user", "content": ["hello", part]}], "gpt-4o")
    assert counted[:2] == (count_messages([HELLO], "gpt-4o").tokens, "estimated")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"role": None, "content": "hello"},
        {"role": 3, "content": {"text": "hello"}},
        {"role": "user", "content": 5, "name": 7, "tool_calls": "no", "function_call": []},
        {"role": "assistant", "tool_calls": [None, 3, {"function": None}, {"function": {"arguments": "{"}}]},
        {"role": "tool", "content": "x", "tool_call_id": 9},
        "not a message",
        None,
    ],
)
def test_any_decoded_json_is_counted(message: Any) -> None:
    assert count_messages([message], "gpt-4o").tokens >= 6
    assert count_messages([message], "gpt-4o").source == "estimated"
    assert count_completion([message], "gpt-4o").tokens >= 0


def test_tools_always_make_an_estimate() -> None:
    tool: dict[str, object] = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert count_messages([HELLO], "gpt-4o", tools=[tool]).source == "estimated"
    call = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
    assert count_messages([call], "gpt-4o").source == "estimated"


def test_definitions_are_typescript() -> None:
    parameters = {
        "type": "object",
        "properties": {
            "unit": {"type": "string", "enum": ["C", "F"], "description": "of measure"},
            "place": {"type": "object", "properties": {"lat": {"type": "number"}, "on": {"type": "boolean"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "any": {},
            "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["unit"],
    }
    assert declarations([{"name": "weather", "description": "Says it", "parameters": parameters}]) == (
        "namespace functions {\n\n// Says it\ntype weather = (_: {\n// of measure\n"
        'unit: "C" | "F",\nplace?: {\n  lat?: number,\n  on?: boolean,\n},\ntags?: string[],\nany?: any,\n'
        "either?: number | null,\n}) => any;\n\n} // namespace functions"
    )


def test_a_tool_without_described_properties_stands_on_one_line() -> None:
    function = {
        "name": "add",
        "parameters": {"properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
    }
    assert "type add = (_: { a?: number, b?: number }) => any;" in declarations([{"function": function}])
    assert "type add = (_: {\na?: number,\nb?: number,\n}) => any;" in declarations([function])


def test_anthropics_form_of_a_tool_is_understood() -> None:
    tool = {"name": "look", "input_schema": {"properties": {"q": {"type": "string"}}}}
    assert "q?: string," in declarations([tool])


def test_a_schema_of_any_depth_is_cut_short_instead_of_failing() -> None:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(5_000):
        schema = {"type": "array", "items": schema}
    text = declarations([{"name": "deep", "parameters": {"properties": {"x": schema}}}])
    assert "any[]" in text


def test_an_answer_is_its_text() -> None:
    assert count_completion("hello world", "gpt-4o") == count_text("hello world", "gpt-4o")
    assert count_completion({"role": "assistant", "content": "hello world"}, "gpt-4o").tokens == 2
    assert count_completion([{"content": "hello"}, {"content": "hello world"}], "gpt-4o").tokens == 3


def test_an_answer_of_a_reasoning_model_is_an_estimate() -> None:
    assert count_completion("hello", "gpt-5")[:2] == (1 + 9, "estimated")
    assert count_completion("hello", "o3")[:2] == (1, "estimated")


def test_a_function_call_is_billed_as_recorded() -> None:
    """gpt-4o-mini-2024-07-18 on 20 Nov 2025: `add_numbers` {"a":5,"b":7} was billed as 18 tokens."""
    add = {"function": {"name": "add_numbers", "arguments": '{"a":5,"b":7}'}}
    assert count_completion({"tool_calls": [add]}, "gpt-4o-mini")[:2] == (18, "estimated")


def test_parallel_function_calls_are_billed_as_recorded() -> None:
    """gpt-3.5-turbo-0125: two calls of `get_current_weather` were billed as 46 tokens."""
    calls = [
        {"function": {"name": "get_current_weather", "arguments": f'{{"location": "{city}"}}'}}
        for city in ("San Francisco", "Boston")
    ]
    assert count_completion({"tool_calls": calls}, "gpt-3.5-turbo-0125")[:2] == (46, "estimated")


def test_a_prompt_is_counted_by_the_kind_of_call() -> None:
    assert count_prompt([HELLO], "gpt-4o", operation="chat") == count_messages([HELLO], "gpt-4o")
    assert count_prompt("hello", "text-embedding-3-small", operation="embeddings").tokens == 1
    assert count_prompt("hello", "davinci-002", operation="text_completion").source == "counted"
    assert count_prompt("hello", "gpt-4o", operation="chat")[:2] == (8, "estimated")
    assert count_prompt("hello", "gpt-4o")[:2] == (8, "estimated")


def test_a_resent_history_is_remembered() -> None:
    memory = TokenMemory()
    history = [{"role": "user", "content": f"question {turn} " * 20} for turn in range(5)]
    counts = [count_messages(history[: turn + 1], "gpt-4o", memory=memory).tokens for turn in range(5)]
    assert counts == [count_messages(history[: turn + 1], "gpt-4o").tokens for turn in range(5)]
    assert (memory.misses, memory.hits) == (5, 4 + 3 + 2 + 1)
