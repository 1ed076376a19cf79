"""Model names as they occur in events lead to the right tokenizer and the right certainty."""

from __future__ import annotations

import pytest
from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING

from tokentide.stream.tokens import Family, tokenizer_of
from tokentide.stream.tokens.models import OTHER, bare_model

NOT_BUNDLED = {"gpt2", "o200k_harmony"}


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-3.5-turbo", "gpt-3.5/gpt-4"),
        ("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0301"),
        ("gpt-35-turbo-16k", "gpt-3.5/gpt-4"),
        ("gpt-4-1106-preview", "gpt-3.5/gpt-4"),
        ("GPT-4o-2024-08-06 ", "gpt-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("azure/gpt-4.1-mini", "gpt-4o"),
        ("openrouter/openai/gpt-4o:online", "gpt-4o"),
        ("ft:gpt-4o-mini-2024-07-18:acme::9x", "gpt-4o"),
        ("ft:gpt-3.5-turbo:acme:support:abc", "gpt-3.5/gpt-4"),
        ("gpt-5-nano-2025-08-07", "gpt-5"),
        ("gpt-5.2", "gpt-5"),
        ("o3-mini", "openai reasoning"),
        ("gpt-oss-120b", "openai reasoning"),
        ("text-embedding-3-small", "openai other"),
        ("gpt-3.5-turbo-instruct", "openai other"),
        ("davinci:2023-07-21-v2", "openai other"),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "claude"),
        ("anthropic.claude-v2:1", "claude"),
        ("claude-3-5-sonnet@20240620", "claude"),
        (
            "arn:aws:bedrock:us-east-1:012345678901:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude",
        ),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral 32k"),
        ("gemini-2.5-flash", "other"),
        ("gpt-4.7", "other"),
        ("gpt-50", "other"),
        ("o15", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_a_name_leads_to_its_family(model: str | None, family: Family) -> None:
    assert tokenizer_of(model).family == family


@pytest.mark.parametrize("model", sorted(MODEL_TO_ENCODING) + sorted(MODEL_PREFIX_TO_ENCODING))
def test_every_model_that_tiktoken_knows_has_tiktokens_encoding(model: str) -> None:
    expected = MODEL_TO_ENCODING.get(model) or MODEL_PREFIX_TO_ENCODING[model]
    found = tokenizer_of(model)
    if expected not in NOT_BUNDLED:
        assert (found.encoding, found.is_own) == (expected, True)
    elif expected == "o200k_harmony":
        assert found.encoding == "o200k_base"  # differs only in special tokens, which no text contains
    else:
        assert not found.is_own


def test_a_deployment_name_gets_the_tokenizer_it_names_but_not_its_certainty() -> None:
    found = tokenizer_of("eu-prod-gpt-4o")
    assert (found.family, found.is_own) == ("gpt-4o", False)
    assert tokenizer_of("openllmetry-testing") is OTHER


def test_a_bare_name_keeps_only_the_model() -> None:
    assert bare_model("accounts/fireworks/models/llama-v3-70b") == "llama-v3-70b"
    assert bare_model("eu.mistral.mixtral-8x7b-instruct-v0:1") == "mixtral-8x7b-instruct-v0"
