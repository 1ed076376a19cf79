"""The tokens of a call: a prompt that grows with its conversation, the provider's prompt cache, the answer."""

from __future__ import annotations

from typing import Final, NamedTuple

from tokentide.producers.simulate.catalog import Model, Template
from tokentide.producers.simulate.conversations import Conversation
from tokentide.producers.simulate.dice import Dice

CACHE_BLOCK: Final = 128
SMALLEST_CACHED: Final = 1024
"""Prompts shorter than this are not cached (as OpenAI and Anthropic do)."""
CACHE_LIFETIME_US: Final = 300_000_000
"""Five minutes after its last use."""
SHARED_PROMPT_HIT: Final = 0.75
"""A first turn finds the template's own part in the cache."""


class Usage(NamedTuple):
    """Tokens, as a provider reports them: the input contains what was cached."""

    input_tokens: int
    output_tokens: int
    cache_read: int
    cache_write: int
    reasoning: int


def usage_of(
    dice: Dice,
    conversation: Conversation,
    model: Model,
    *,
    start_us: int,
    prompt_factor: float,
    answer_factor: float,
    is_cache_lost: bool,
) -> Usage:
    """The tokens of the conversation's next turn; the conversation grows by it."""
    template = conversation.template
    asked = max(1, int(dice.spread(template.user_tokens) * prompt_factor))
    system = int(template.system_tokens * prompt_factor)
    prompt = min(system + conversation.context_tokens + asked, int(model.context_window * 0.9))
    answered, reasoning = _answer(dice, template, model, answer_factor)
    has_shared_hit = dice.chance(SHARED_PROMPT_HIT)
    read = 0 if is_cache_lost else _cache_read(conversation, system, start_us, has_shared_hit=has_shared_hit)
    read = min(read, prompt)
    written = prompt - read if model.writes_cache and prompt >= SMALLEST_CACHED else 0
    conversation.context_tokens = min(
        conversation.context_tokens + asked + answered - reasoning, model.context_window
    )
    conversation.cached_tokens = prompt
    return Usage(prompt, answered, read, written, reasoning)


def _answer(dice: Dice, template: Template, model: Model, factor: float) -> tuple[int, int]:
    if template.answer_tokens.median == 0:
        return 0, 0
    answer = max(1, int(dice.spread(template.answer_tokens) * factor))
    if not model.reasoning_share:
        return answer, 0
    thought = int(answer * model.reasoning_share / (1 - model.reasoning_share) * dice.between(0.5, 1.5))
    return answer + thought, thought


def _cache_read(conversation: Conversation, system: int, start_us: int, *, has_shared_hit: bool) -> int:
    is_warm = start_us - conversation.last_finish_us < CACHE_LIFETIME_US
    cached = conversation.cached_tokens if is_warm else system if has_shared_hit else 0
    return cached // CACHE_BLOCK * CACHE_BLOCK if cached >= SMALLEST_CACHED else 0
