"""The result of a count, and what its source means."""

from __future__ import annotations

from typing import Literal, NamedTuple

CountSource = Literal["counted", "estimated"]
"""`counted`: made with the model's own tokenizer and, for messages, a framing seen in recorded API answers.
`estimated`: anything less: the tokenizer is not public, the model is unknown, the framing was never seen
recorded, or a part (image, tool definition, hidden reasoning) cannot be counted from outside. The third
source of the contract, `reported`, is the provider's own figure and never comes from here."""


class TokenCount(NamedTuple):
    """A number of tokens, how far it can be trusted, and the encoding it was made with."""

    tokens: int
    source: CountSource
    encoding: str
