"""Which tokenizer a model has, and how its provider frames chat messages.

Owns: the reading of model names (dated, fine-tuned, prefixed by provider or router, Azure deployment names)
and one table of families. Does not own: the counting itself.

Where the figures come from:

* encodings of OpenAI models: tiktoken's `model.py`; a test holds this table against it.
* 3 tokens a message, 1 a name, 3 for the reply, and 4 / -1 for gpt-3.5-turbo-0301: OpenAI cookbook, "How to
  count tokens with tiktoken"; equal to the API's figure in all 87 recorded calls of the families marked
  `is_recorded` below, gpt-5 apart.
* gpt-5: the reply is primed with 2 tokens (`<|start|>assistant` of OpenAI's published Harmony format) where
  the older format has 3; equal to the API's figure in all 7 recorded calls.
* factors of models without a public tokenizer: tokens reported over tokens of o200k_base for the answers of
  recorded calls (docs/decisions/0005-token-counts.md has the table).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

from tokentide.stream.tokens.encodings import EncodingName

Family = Literal[
    "gpt-3.5-turbo-0301",
    "gpt-3.5/gpt-4",
    "gpt-4o",
    "gpt-5",
    "openai reasoning",
    "openai other",
    "claude",
    "mistral 32k",
    "other",
]


@dataclass(frozen=True, slots=True)
class Framing:
    """Tokens that a provider adds around the texts of a chat.

    Attributes:
        per_message: around each message (its role's text comes on top).
        per_name: for a message that has a name (the name's text comes on top).
        reply: that prime the answer, once a prompt.
        answer: that frame the visible part of an answer and are billed as output.
        is_recorded: recorded API answers confirm the figures; else they are the nearest relative's.
    """

    per_message: int = 3
    per_name: int = 1
    reply: int = 3
    answer: int = 0
    is_recorded: bool = False


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """How to count for one family of models.

    Attributes:
        family: the family's name, for display.
        encoding: the encoding to count with.
        is_own: the encoding is the model's own, so that a text's count is exact.
        framing: of chat messages.
        hides_reasoning: answers are billed with reasoning that nobody outside sees.
        scale: tokens of the model for tokens of `encoding`, as (numerator, denominator).
    """

    family: Family
    encoding: EncodingName
    is_own: bool
    framing: Framing
    hides_reasoning: bool = False
    scale: tuple[int, int] = (1, 1)


_RECORDED: Final = Framing(is_recorded=True)
_ASSUMED: Final = Framing()


def _openai(family: Family, encoding: EncodingName, framing: Framing, *, reasons: bool = False) -> Tokenizer:
    return Tokenizer(family, encoding, is_own=True, framing=framing, hides_reasoning=reasons)


_CL100K_0301: Final = _openai(
    "gpt-3.5-turbo-0301", "cl100k_base", Framing(per_message=4, per_name=-1, is_recorded=True)
)
_CL100K_CHAT: Final = _openai("gpt-3.5/gpt-4", "cl100k_base", _RECORDED)
_O200K_CHAT: Final = _openai("gpt-4o", "o200k_base", _RECORDED)
# The answer's 9 tokens: `<|channel|>…<|message|>` headers; 9 in six of seven recorded answers, 10 in one.
_GPT_5: Final = _openai("gpt-5", "o200k_base", Framing(reply=2, answer=9, is_recorded=True), reasons=True)
_REASONING: Final = _openai("openai reasoning", "o200k_base", _ASSUMED, reasons=True)
_CL100K_TEXT: Final = _openai("openai other", "cl100k_base", _ASSUMED)
_P50K: Final = _openai("openai other", "p50k_base", _ASSUMED)
_P50K_EDIT: Final = _openai("openai other", "p50k_edit", _ASSUMED)
_R50K: Final = _openai("openai other", "r50k_base", _ASSUMED)
_CLAUDE: Final = Tokenizer("claude", "o200k_base", is_own=False, framing=_ASSUMED, scale=(6, 5))
_MISTRAL_32K: Final = Tokenizer("mistral 32k", "o200k_base", is_own=False, framing=_ASSUMED, scale=(5, 4))
OTHER: Final = Tokenizer("other", "o200k_base", is_own=False, framing=_ASSUMED)
"""For every model not in the table: o200k_base, always `estimated`. The vocabularies of current models are
of its size, and recorded answers of Gemini, Llama 3, DeepSeek and Nova are within 7 % of it."""

# First match wins, so the longer prefix stands first.
_BY_PREFIX: Final[tuple[tuple[str, Tokenizer], ...]] = (
    ("gpt-3.5-turbo-0301", _CL100K_0301),
    ("gpt-35-turbo-0301", _CL100K_0301),
    ("gpt-3.5-turbo-instruct", _CL100K_TEXT),
    ("gpt-35-turbo-instruct", _CL100K_TEXT),
    ("gpt-3.5", _CL100K_CHAT),
    ("gpt-35", _CL100K_CHAT),  # Azure: no dots in deployment names
    ("gpt-4o", _O200K_CHAT),
    ("gpt-4.1", _O200K_CHAT),
    ("gpt-41", _O200K_CHAT),
    ("gpt-4.5", _O200K_CHAT),
    ("gpt-45", _O200K_CHAT),
    ("chatgpt-4o", _O200K_CHAT),
    ("gpt-4", _CL100K_CHAT),
    ("gpt-5.", _GPT_5),
    ("gpt-5", _GPT_5),
    ("gpt-oss", _REASONING),
    ("o1", _REASONING),
    ("o3", _REASONING),
    ("o4-mini", _REASONING),
    ("codex-mini", _REASONING),
    ("text-embedding-3-", _CL100K_TEXT),
    ("text-embedding-ada-002", _CL100K_TEXT),
    ("davinci-002", _CL100K_TEXT),
    ("babbage-002", _CL100K_TEXT),
    ("text-davinci-edit-", _P50K_EDIT),
    ("code-davinci-edit-", _P50K_EDIT),
    ("text-davinci-003", _P50K),
    ("text-davinci-002", _P50K),
    ("code-davinci-", _P50K),
    ("code-cushman-", _P50K),
    ("davinci-codex", _P50K),
    ("cushman-codex", _P50K),
    ("text-davinci-001", _R50K),
    ("text-curie-001", _R50K),
    ("text-babbage-001", _R50K),
    ("text-ada-001", _R50K),
    ("text-similarity-", _R50K),
    ("text-search-", _R50K),
    ("code-search-", _R50K),
    ("claude", _CLAUDE),
    ("mistral-tiny", _MISTRAL_32K),
    ("mistral-7b", _MISTRAL_32K),
    ("open-mistral-7b", _MISTRAL_32K),
    ("mixtral", _MISTRAL_32K),
    ("open-mixtral", _MISTRAL_32K),
)
# The name the API answers with for davinci-002; without the date it is the model of 2020.
_DAVINCI_002: Final = "davinci:2023-07-21"
_PART_START: Final = re.compile(r"[-_.]")
_BY_NAME: Final = dict.fromkeys(("davinci", "curie", "babbage", "ada"), _R50K)

# `us.anthropic.claude-…`, `anthropic.claude-…`: Bedrock's region and vendor before the model.
_BEDROCK_VENDOR: Final = re.compile(
    r"^(?:[a-z]{2,6}\.)?(?:anthropic|mistral|meta|amazon|cohere|ai21|deepseek|openai)\."
)
# A version ends where its digits end: `o1-mini` and `gpt-4o-eu` belong to their families, `o15`, `gpt-4.7` do not.
_VERSION_GOES_ON: Final = re.compile(r"\d|\.\d")


def bare_model(model: str) -> str:
    """The model's own name in lower case: without router, provider, region, or fine-tuning owner.

    `openai/gpt-4o`, `azure/gpt-4o`, `openrouter/openai/gpt-4o:online` and `ft:gpt-4o:acme::9x` all give
    `gpt-4o`; `arn:aws:…/us.anthropic.claude-3-7-sonnet-20250219-v1:0` gives `claude-3-7-sonnet-20250219-v1`.
    """
    name = model.strip().lower().rpartition("/")[2]
    name = name.removeprefix("ft:")
    name = _BEDROCK_VENDOR.sub("", name, count=1)
    return name.partition(":")[0].partition("@")[0]


@lru_cache(maxsize=4096)
def tokenizer_of(model: str | None) -> Tokenizer:
    """The tokenizer of a model by its name as given in the event; `OTHER` when the name tells nothing.

    A deployment name that only contains a known name (`eu-prod-gpt-4o`) gets that family's tokenizer, but
    not its certainty: such names are free text, so everything counted with it is `estimated`.
    """
    if not model:
        return OTHER
    whole = model.strip().lower().rpartition("/")[2]
    if whole.startswith(_DAVINCI_002):
        return _CL100K_TEXT
    name = bare_model(model)
    if name in _BY_NAME:
        return _BY_NAME[name]
    if found := _by_prefix(name):
        return found
    for part in _PART_START.finditer(name):
        if found := _by_prefix(name[part.end() :]):
            return replace(found, is_own=False)
    return OTHER


def _by_prefix(name: str) -> Tokenizer | None:
    for prefix, tokenizer in _BY_PREFIX:
        if name.startswith(prefix):
            if prefix[-1].isdigit() and _VERSION_GOES_ON.match(name, len(prefix)):
                continue
            return tokenizer
    return None
