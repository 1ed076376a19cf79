"""Counting the tokens of one text, in time and memory that grow no faster than the text.

A text is counted exactly as tiktoken would count it, with three guards for texts that nobody would write
but a stream will carry:

* Special tokens in the text (`<|endoftext|>`) are plain text: a user may type them.
* Lone surrogates count as U+FFFD, as tiktoken does it.
* A long text is counted in pieces of at most 262,144 characters. tiktoken's pattern matcher gives up with a
  panic on a run of about a million spaces, and a single list of all tokens would take 36 bytes each. A cut
  is made where every bundled pattern has a boundary anyway (after a line feed between two visible
  characters, the second a letter or digit), so the sum is exact. Where a piece offers no such place the cut
  may split a token, and the count is marked as inexact.

tiktoken before 0.13 takes quadratic time on runs of one character (4.6 s for 100,000); from 0.13 on it is
0.2-0.7 µs a character at the very worst, 0.03 for prose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from tokentide.stream.tokens.counts import TokenCount
from tokentide.stream.tokens.encodings import encoding
from tokentide.stream.tokens.memory import TokenMemory, memory_key
from tokentide.stream.tokens.models import Tokenizer, tokenizer_of

MAX_PIECE_CHARS: Final = 262_144
"""A third of the shortest run of spaces that was seen to end in a panic."""

_CUT_SEARCH_CHARS: Final = 16_384
_REMEMBER_FROM_CHARS: Final = 48  # below, counting anew (1.3 µs) is as fast as a look-up


class Encoder(Protocol):
    """What is called of `tiktoken.Encoding`."""

    def encode_ordinary(self, text: str) -> list[int]:
        """The tokens of `text`, special tokens in it taken as plain text."""
        ...


class PieceCount(NamedTuple):
    """Tokens of a text, and whether tiktoken would give the very same number for the whole of it."""

    tokens: int
    is_exact: bool


def count_text(text: str, model: str | None, *, memory: TokenMemory | None = None) -> TokenCount:
    """Tokens of a bare text, as a completion or embedding request is billed. Never raises for any text.

    Args:
        text: any string.
        model: the model's name as in the event; None counts as unknown.
        memory: remembers counts from one call to the next.

    Raises:
        RankFileError: the bundled rank files are damaged (see `ranks.py`).
    """
    tokenizer = tokenizer_of(model)
    piece = raw_count(text, tokenizer, memory)
    is_counted = tokenizer.is_own and piece.is_exact
    return TokenCount(
        scaled(piece.tokens, tokenizer), "counted" if is_counted else "estimated", tokenizer.encoding
    )


def scaled(tokens: int, tokenizer: Tokenizer) -> int:
    """`tokens` of the encoding as tokens of the model, rounded up."""
    numerator, denominator = tokenizer.scale
    return -(-tokens * numerator // denominator)


def raw_count(text: str, tokenizer: Tokenizer, memory: TokenMemory | None) -> PieceCount:
    """Tokens of `text` in the tokenizer's encoding, before scaling; remembered when the text is long."""
    encoder = encoding(tokenizer.encoding)
    if memory is None or len(text) < _REMEMBER_FROM_CHARS:
        return encode_count(text, encoder)
    key = memory_key(text, tokenizer.encoding)
    packed = memory.recall(key)
    if packed is None:
        piece = encode_count(text, encoder)
        memory.remember(key, piece.tokens * 2 + piece.is_exact)
        return piece
    return PieceCount(packed >> 1, bool(packed & 1))


def encode_count(text: str, encoder: Encoder, *, max_piece_chars: int = MAX_PIECE_CHARS) -> PieceCount:
    """Tokens of `text`, counted in pieces of at most `max_piece_chars`."""
    if len(text) <= max_piece_chars:
        return _piece_count(text, encoder)
    total = 0
    is_exact = True
    for piece, ends_at_boundary in _pieces(text, max_piece_chars):
        counted = _piece_count(piece, encoder)
        total += counted.tokens
        is_exact = is_exact and counted.is_exact and ends_at_boundary
    return PieceCount(total, is_exact)


def _pieces(text: str, max_chars: int) -> Iterator[tuple[str, bool]]:
    """The text in order, each piece with whether a token boundary is certain at its end."""
    start = 0
    while len(text) - start > max_chars:
        cut = _boundary_before(text, start, start + max_chars)
        end = start + max_chars if cut is None else cut
        yield text[start:end], cut is not None
        start = end
    yield text[start:], True


def _boundary_before(text: str, start: int, limit: int) -> int | None:
    lowest = max(start + 1, limit - _CUT_SEARCH_CHARS)
    feed = text.rfind("\n", lowest, limit)
    while feed != -1:
        after = text[feed + 1 : feed + 2]
        if after.isascii() and after.isalnum() and not text[feed - 1].isspace():
            return feed + 1
        feed = text.rfind("\n", lowest, feed)
    return None


def _piece_count(text: str, encoder: Encoder) -> PieceCount:
    try:
        return PieceCount(len(encoder.encode_ordinary(text)), is_exact=True)
    except BaseException as error:
        # A panic of the Rust core arrives as a class that derives from BaseException and cannot be
        # imported. A text that makes the matcher give up must not end the worker: 4 bytes a token is
        # tiktoken's own rule of thumb for English.
        if type(error).__name__ != "PanicException":
            raise
        return PieceCount(-(-len(text.encode("utf-8", "replace")) // 4), is_exact=False)
