"""Properties of token counts over arbitrary texts and messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide.stream.tokens import (
    EncodingName,
    TokenMemory,
    count_completion,
    count_messages,
    count_text,
    encoding,
)
from tokentide.stream.tokens.text import encode_count

NAMES: tuple[EncodingName, ...] = ("o200k_base", "cl100k_base", "p50k_base")

# Everything the patterns treat specially: line feeds, runs of space, contractions, digits, marks, slashes.
pieces = st.sampled_from(
    [
        "\n",
        "\r\n",
        "\n\n",
        " ",
        "  ",
        "\t",
        "\u3000",
        "a",
        "word",
        "Word",
        "'s",
        "'LL",
        "9",
        "1234",
        "é",
        "́",
        "中",
        "😀",
        "/",
        "!",
        "//",
        "<",
        "_",
        "-",
        "\x85",
        "\u2028",
        "A",
        "\x1c",
    ]
)
tricky = st.lists(pieces, max_size=60).map("".join)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "function", "name", "id"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
messages = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "name", "tool_calls", "function_call", "tool_call_id", "parts"]),
        json_values | st.sampled_from(["system", "user", "tool", "function", "assistant"]),
        max_size=5,
    ),
    max_size=4,
)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)  # the first example of a process builds the encoding
@given(text=tricky, max_piece_chars=st.integers(3, 40))
def test_counting_in_pieces_is_exact_where_it_says_so(
    name: EncodingName, text: str, max_piece_chars: int
) -> None:
    encoder = encoding(name)
    counted = encode_count(text, encoder, max_piece_chars=max_piece_chars)
    if counted.is_exact:
        assert counted.tokens == len(encoder.encode_ordinary(text))


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(lines=st.lists(st.text("ab9!' /", max_size=28).map(lambda line: f"x{line.strip()}."), max_size=30))
def test_texts_of_plain_lines_are_always_exact(name: EncodingName, lines: list[str]) -> None:
    text = "\n".join(lines)
    encoder = encoding(name)
    assert encode_count(text, encoder, max_piece_chars=64) == (len(encoder.encode_ordinary(text)), True)


@settings(deadline=None)
@given(text=st.text(st.characters(codec=None), max_size=300))
def test_any_text_is_counted_alike_with_and_without_memory(text: str) -> None:
    memory = TokenMemory(max_entries=4)
    plain = count_text(text, "gpt-4o")
    assert count_text(text, "gpt-4o", memory=memory) == plain
    assert count_text(text, "gpt-4o", memory=memory) == plain
    assert 0 <= plain.tokens <= 4 * len(text)


@settings(deadline=None)
@given(
    conversation=messages,
    tools=st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=2),
)
def test_any_conversation_is_counted_and_grows_with_each_message(
    conversation: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> None:
    counts = [
        count_messages(conversation[:length], "gpt-4o").tokens for length in range(len(conversation) + 1)
    ]
    assert counts == sorted(counts)
    assert count_messages(conversation, "gpt-4o", tools=tools).tokens >= counts[-1]
    assert count_completion(conversation, "gpt-4o").tokens >= 0
