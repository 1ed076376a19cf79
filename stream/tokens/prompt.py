"""Counting what an event carries as its `input`: a bare text or messages, by the kind of call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tokentide.stream.tokens.chat import Message, count_messages
from tokentide.stream.tokens.counts import TokenCount
from tokentide.stream.tokens.memory import TokenMemory
from tokentide.stream.tokens.text import count_text

BARE_TEXT_OPERATIONS: Final = frozenset({"text_completion", "embeddings"})
"""Operations whose prompt is billed as the bare text, without any framing."""


def count_prompt(
    prompt: str | Sequence[Message],
    model: str | None,
    *,
    operation: str | None = None,
    memory: TokenMemory | None = None,
) -> TokenCount:
    """Prompt tokens of an event's `input`.

    A text given for a chat call is counted as its one user message, the shortest thing a chat API takes;
    how it was really framed is not known, so that count is `estimated`.

    Args:
        prompt: `input` of the event.
        model: the model's name as in the event; None counts as unknown.
        operation: `operation` of the event; absent means a chat.
        memory: remembers counts of texts from one call to the next.
    """
    if not isinstance(prompt, str):
        return count_messages(prompt, model, memory=memory)
    if operation in BARE_TEXT_OPERATIONS:
        return count_text(prompt, model, memory=memory)
    framed = count_messages([{"role": "user", "content": prompt}], model, memory=memory)
    return framed._replace(source="estimated")
