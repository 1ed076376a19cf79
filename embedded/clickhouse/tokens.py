"""ClickHouse's tokens: enough to find the clauses at both ends of a statement.

Follows `src/Parsers/Lexer.cpp`: nested comments, heredocs, backslash and doubled quotes. What a statement *does* is
never decided here but by the engine's parser (`Connection.classify`); this only finds where a clause may be put.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    """A keyword or a bare identifier."""
    QUOTED = auto()
    """An identifier in backticks or double quotes."""
    STRING = auto()
    """A string literal or a heredoc."""
    NUMBER = auto()
    SYMBOL = auto()
    """One byte of anything else; also a quote that is never closed."""


class Token(NamedTuple):
    """One token and where it is in the text, in bytes."""

    kind: Kind
    start: int
    end: int


_BLANK: Final = re.compile(
    rb"(?:[ \t\n\r\f\v]|\xc2\xa0|\xe2\x80[\x80-\x8f\xaf]|\xe3\x80\x80|\xef\xbb\xbf|\xe2\x81\x9f)+"
)
_LINE_COMMENT: Final = re.compile(rb"(?:--|#!|# )[^\n]*")
_COMMENT_EDGE: Final = re.compile(rb"/\*|\*/")
_WORD: Final = re.compile(rb"[A-Za-z_$][A-Za-z0-9_$]*")
_NUMBER: Final = re.compile(rb"[0-9][0-9A-Za-z_]*(?:\.[0-9A-Za-z_]*)?")
_HEREDOC: Final = re.compile(rb"\$\w*\$")
_QUOTES: Final[dict[bytes, tuple[Kind, re.Pattern[bytes]]]] = {
    # Possessive, so that a quote which is never closed costs one pass over the text.
    b"'": (Kind.STRING, re.compile(rb"'(?:[^'\\]++|\\.|'')*+'", re.DOTALL)),
    b"`": (Kind.QUOTED, re.compile(rb"`(?:[^`\\]++|\\.|``)*+`", re.DOTALL)),
    b'"': (Kind.QUOTED, re.compile(rb'"(?:[^"\\]++|\\.|"")*+"', re.DOTALL)),
}
_TYPOGRAPHIC: Final = (
    (Kind.STRING, b"\xe2\x80\x98", b"\xe2\x80\x99"),
    (Kind.QUOTED, b"\xe2\x80\x9c", b"\xe2\x80\x9d"),
)


def tokens(text: bytes, start: int = 0) -> Iterator[Token]:
    """The tokens of a text, without blanks and comments. Lazy: data after a statement is not looked at."""
    at = start
    closings = _Closings(text)
    while (at := _skip(text, at)) < len(text):
        token = _token(text, at, closings)
        yield token
        at = token.end


def word(text: bytes, token: Token) -> bytes:
    """A bare word in upper case; empty for other tokens."""
    return text[token.start : token.end].upper() if token.kind is Kind.WORD else b""


def identifier(text: bytes, token: Token) -> str | None:
    """The name that a word or a quoted identifier stands for; None for other tokens."""
    raw = text[token.start : token.end].decode(errors="replace")
    if token.kind is Kind.WORD:
        return raw
    if token.kind is not Kind.QUOTED:
        return None
    quote, inner = raw[0], raw[1:-1]
    return _ESCAPE.sub(_unescape, inner.replace(quote * 2, quote))


def _skip(text: bytes, at: int) -> int:
    while True:
        if blank := _BLANK.match(text, at):
            at = blank.end()
        elif comment := _LINE_COMMENT.match(text, at):
            at = comment.end()
        elif text.startswith(b"/*", at):
            at = _comment_end(text, at)
        else:
            return at


def _comment_end(text: bytes, at: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, at):
        depth += 1 if edge[0] == b"/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


class _Closings:
    """Finds the ends of heredocs and typographic quotes, each of which could mean a search to the end of the text.

    A text full of openings without an end would take quadratic time. What was not found once is not searched for
    again, and after some failures nothing is: then an opening counts as an ordinary symbol.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._absent: set[bytes] = set()

    def end(self, closing: bytes, start: int) -> int | None:
        if closing in self._absent or len(self._absent) >= _MAX_FAILURES:
            return None
        found = self._text.find(closing, start)
        if found < 0:
            self._absent.add(closing)
            return None
        return found + len(closing)


_MAX_FAILURES: Final = 32


def _token(text: bytes, at: int, closings: _Closings) -> Token:
    first = text[at : at + 1]
    if first in _QUOTES:
        kind, pattern = _QUOTES[first]
        found = pattern.match(text, at)
        return Token(kind, at, found.end()) if found else Token(Kind.SYMBOL, at, len(text))
    if first == b"$" and (opening := _HEREDOC.match(text, at)):
        end = closings.end(opening[0], opening.end())
        if end is not None:
            return Token(Kind.STRING, at, end)
    if first == b"\xe2":
        for kind, opener, closer in _TYPOGRAPHIC:
            end = closings.end(closer, at) if text.startswith(opener, at) else None
            if end is not None:
                return Token(kind, at, end)
    if found := _WORD.match(text, at):
        return Token(Kind.WORD, at, found.end())
    if found := _NUMBER.match(text, at):
        return Token(Kind.NUMBER, at, found.end())
    return Token(Kind.SYMBOL, at, at + 1)


_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)


def _unescape(match: re.Match[str]) -> str:
    body = match[1]
    return chr(int(body[1:], 16)) if len(body) == 3 else body
