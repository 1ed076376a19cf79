"""Takes a statement apart: where its data begins, which format it names, where a clause of ours may go.

`SELECT … FORMAT X` becomes `SELECT … INTO OUTFILE '/dev/fd/N' TRUNCATE FORMAT X`, so that the engine streams
the result into a pipe; `INSERT … FORMAT X` followed by data becomes `INSERT … FROM INFILE '/dev/fd/N' FORMAT X`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from tokentide.embedded.clickhouse.errors import Code, ServerError
from tokentide.embedded.clickhouse.tokens import Token, identifier, tokens, word

MAX_QUERY_BYTES: Final = 262_144
"""ClickHouse's default of `max_query_size`: how far a statement may reach, an insert's data not counted."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement without its data, and the places in it.

    Attributes:
        text: the statement; comments and semicolons behind it are cut off.
        verb: its first keyword in upper case; `(` for a bracketed SELECT; empty when there is none.
        named_format: the format that it names, if any.
        data_at: for an insert with data: where the data begins in the text it was parsed from.
    """

    text: bytes
    verb: str
    named_format: str | None = None
    data_at: int | None = None
    _clause_at: int = 0
    """Where INTO OUTFILE or FROM INFILE goes."""
    _settings: bytes = b""
    """A SETTINGS clause: behind a query's format, or in front of an insert's."""

    @property
    def takes_data(self) -> bool:
        """Whether it is an insert whose rows follow in the request."""
        return self.data_at is not None

    def without_format(self) -> bytes:
        """The statement up to its FORMAT clause."""
        return self.text[: self._clause_at]

    def into_file(self, path: str, output_format: str) -> bytes:
        """The statement with its result going to a file."""
        clause = f"\nINTO OUTFILE '{path}' TRUNCATE FORMAT {checked_format(output_format)}".encode()
        return self.without_format() + clause + self._settings

    def from_file(self, path: str) -> bytes:
        """The insert with its data coming from a file."""
        infile = f"\nFROM INFILE '{path}' COMPRESSION 'none'\n".encode()
        output_format = f"\nFORMAT {checked_format(self.named_format or '')}".encode()
        return self.text[: self._clause_at] + infile + self._settings + output_format


def checked_format(name: str) -> str:
    """A format's name that may stand in a statement.

    Raises:
        ServerError: it is no name at all.
    """
    if not _NAME.fullmatch(name):
        raise ServerError(Code.UNKNOWN_FORMAT, f"Unknown format {name}")
    return name


_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


def parse(text: bytes) -> Statement:
    """Take the statement at the start of a text apart.

    Args:
        text: at most the first `MAX_QUERY_BYTES` bytes of a request; for an insert, data may follow.

    Raises:
        ServerError: it writes to or reads from a file of the server.
    """
    stream = tokens(text)
    first = next(stream, None)
    if first is None:
        return Statement(b"", "")
    verb = word(text, first) or text[first.start : first.end]
    if verb == b"INSERT":
        return _parse_insert(text, first)
    return _parse_query(text, verb.decode(errors="replace"))


def _parse_query(text: bytes, verb: str) -> Statement:
    found = list(tokens(text))
    while found and _is(text, found[-1], b";"):
        found.pop()
    _refuse_outfile(text, found)
    end = found[-1].end if found else 0
    at = _format_clause(text, found)
    if at is None:
        return Statement(text[:end], verb, _clause_at=end)
    name = found[at + 1]
    return Statement(
        text[:end],
        verb,
        named_format=identifier(text, name),
        _clause_at=found[at].start,
        _settings=text[name.end : end],
    )


def _format_clause(text: bytes, found: list[Token]) -> int | None:
    """Index of the word FORMAT that begins the last clause, if it is one: `… FORMAT name [SETTINGS …]`."""
    depth = 0
    for at in range(len(found) - 1, 0, -1):
        token = found[at]
        depth += {b")": 1, b"(": -1}.get(text[token.start : token.end], 0)
        if depth == 0 and at + 1 < len(found) and word(text, token) == b"FORMAT":
            follows = word(text, found[at + 2]) if at + 2 < len(found) else b"SETTINGS"
            is_name = identifier(text, found[at + 1]) is not None and word(text, found[at + 1]) != b"SETTINGS"
            return at if is_name and follows == b"SETTINGS" else None
    return None


def _refuse_outfile(text: bytes, found: list[Token]) -> None:
    for token, following in pairwise(found):
        if word(text, token) == b"INTO" and word(text, following) == b"OUTFILE":
            raise ServerError(Code.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")


def _parse_insert(text: bytes, insert: Token) -> Statement:
    """`INSERT INTO [TABLE] [FUNCTION] target [(columns)] [SETTINGS …] (VALUES | FORMAT x | SELECT …)`."""
    depth, position = 0, 0
    settings: Token | None = None
    previous = insert
    for token in tokens(text, insert.end):
        symbol = text[token.start : token.end]
        depth += _NESTING.get(symbol, 0)
        name = word(text, token)
        is_clause = depth == 0 and position > 0 and not _is(text, previous, b".")
        if name in _BEFORE_TARGET and position == 0:
            pass
        elif is_clause and name == b"SETTINGS":
            settings = settings or token
        elif is_clause and name == b"FROM":
            raise ServerError(
                Code.UNSUPPORTED_METHOD, "INSERT FROM INFILE is not allowed: send the data in the request"
            )
        elif is_clause and name in _QUERY_WORDS:
            return _insert_select(text)
        elif is_clause and name == b"VALUES":
            return _insert_with_data(text, token, "Values", token.end, settings)
        elif is_clause and name == b"FORMAT":
            return _insert_format(text, token, settings)
        else:
            position += 1
        previous = token
    return _insert_select(text)


_NESTING: Final = {b"(": 1, b"{": 1, b"[": 1, b")": -1, b"}": -1, b"]": -1}
_BEFORE_TARGET: Final = {b"INTO", b"TABLE", b"FUNCTION"}
_QUERY_WORDS: Final = {b"SELECT", b"WITH", b"WATCH", b"EXPLAIN"}


def _insert_format(text: bytes, token: Token, settings: Token | None) -> Statement:
    name = next(tokens(text, token.end), None)
    if name is None or (format_name := identifier(text, name)) is None:
        return _insert_select(text)  # the engine says what is wrong
    statement = _insert_with_data(text, token, format_name, name.end, settings)
    return replace(statement, data_at=_data_start(text, name.end))


def _insert_with_data(
    text: bytes, clause: Token, format_name: str, data_at: int, settings: Token | None
) -> Statement:
    return Statement(
        text[:data_at],
        "INSERT",
        named_format=format_name,
        data_at=data_at,
        _clause_at=settings.start if settings else clause.start,
        _settings=text[settings.start : clause.start] if settings else b"",
    )


def _insert_select(text: bytes) -> Statement:
    words = [word(text, token) for token in tokens(text)]
    if b"INPUT" in words and b"FORMAT" in words[words.index(b"INPUT") :]:
        # The engine would store nothing and report success (version 26.9).
        raise ServerError(
            Code.NOT_IMPLEMENTED,
            "INSERT … SELECT … FROM input(…) FORMAT is not supported by the embedded engine: "
            "insert into a table, and select from that one",
        )
    return _parse_query(text, "INSERT")


def _data_start(text: bytes, at: int) -> int:
    """As ClickHouse: after blanks and one line break."""
    while text[at : at + 1] in {b" ", b"\t", b"\f"}:
        at += 1
    at += text.startswith(b"\r", at)
    return at + text.startswith(b"\n", at)


def _is(text: bytes, token: Token, symbol: bytes) -> bool:
    return text[token.start : token.end] == symbol
