"""Token counting for calls whose usage the provider did not report.

Pure functions of texts and model names; the only state is the `TokenMemory` a caller passes in and the
encodings, which are built once per process from the bundled rank files. What is counted exactly and what
is estimated, and on which evidence: docs/decisions/0005-token-counts.md.
"""

from tokentide.stream.tokens.chat import Message, count_messages
from tokentide.stream.tokens.completion import count_completion
from tokentide.stream.tokens.counts import CountSource, TokenCount
from tokentide.stream.tokens.encodings import EncodingName, encoding
from tokentide.stream.tokens.memory import TokenMemory
from tokentide.stream.tokens.models import Family, Tokenizer, tokenizer_of
from tokentide.stream.tokens.prompt import count_prompt
from tokentide.stream.tokens.ranks import RankFileError
from tokentide.stream.tokens.text import count_text

__all__ = [
    "CountSource",
    "EncodingName",
    "Family",
    "Message",
    "RankFileError",
    "TokenCount",
    "TokenMemory",
    "Tokenizer",
    "count_completion",
    "count_messages",
    "count_prompt",
    "count_text",
    "encoding",
    "tokenizer_of",
]
