"""Splits a file of SQL into statements, with ClickHouse's own rules for quotes and comments."""

from __future__ import annotations

import re
from typing import Final

from tokentide.sql.errors import SqlFileError

_TOKEN: Final = re.compile(
    r"""
      (?P<line_comment>(?:--|\#!|\#[ ])[^\n]*)
    | (?P<block_comment>/\*.*?\*/)
    | (?P<quoted>'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*`)
    | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<unclosed>['"`]|/\*)
    | (?P<end>;)
    | (?P<space>\s+)
    | (?P<other>[\w.]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


def split_statements(text: str, *, where: str = "the text") -> list[str]:
    """Return the statements of a text, without the semicolons and without comments around them.

    Semicolons in quotes, comments and heredocs end nothing. Comments inside a statement stay. `where` names the
    text in errors.

    Raises:
        SqlFileError: a quote or comment is never closed.
    """
    statements: list[str] = []
    start, has_content = 0, False
    for token in _TOKEN.finditer(text):
        match token.lastgroup:
            case "unclosed":
                line = text.count("\n", 0, token.start()) + 1
                raise SqlFileError(f"{where}: the quote or comment that opens on line {line} is never closed")
            case "end":
                if has_content:
                    statements.append(text[start : token.start()].strip())
                start, has_content = token.end(), False
            case "line_comment" | "block_comment" | "space":
                start = start if has_content else token.end()
            case _:
                has_content = True
    if has_content:
        statements.append(text[start:].strip())
    return statements
