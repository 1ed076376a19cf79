"""On which line each key of a TOML document stands, which `tomllib` does not tell.

The text must already have been read by `tomllib`: this scanner trusts that it is TOML and only finds its
way through it.
"""

from __future__ import annotations

import re
from typing import Final

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the root: `("fields", "status", "when", 0, "then")`."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SKIP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_INLINE_SKIP = re.compile(r"[ \t]+")
_STRINGS: Final = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every table, key and list item."""
    scanner = _Scanner(text)
    scanner.scan()
    return scanner.lines


def line_of(path: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    """The line of the path, or of the nearest table around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._tables: dict[KeyPath, int] = {}
        self._line = 1
        self._counted = 0

    def scan(self) -> None:
        table: KeyPath = ()
        while self._skip(_SKIP):
            if self._take("[["):
                table = self._next_of(self._keys())
                self._take("]]")
                self._mark(table)
            elif self._take("["):
                table = self._keys()
                self._take("]")
                self._mark(table)
            else:
                self._pair(table)

    def _pair(self, table: KeyPath) -> None:
        path = table + self._keys()
        self._mark(path)
        self._take("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip(_INLINE_SKIP)
        if self._take("{"):
            self._inline_table(path)
        elif self._take("["):
            self._list(path)
        else:
            for pattern in (*_STRINGS, _SCALAR):
                if self._match(pattern) is not None:
                    return

    def _inline_table(self, path: KeyPath) -> None:
        while self._skip(_SKIP) and not self._take("}"):
            self._pair(path)
            self._skip(_SKIP)
            self._take(",")

    def _list(self, path: KeyPath) -> None:
        index = 0
        while self._skip(_SKIP) and not self._take("]"):
            self._mark((*path, index))
            self._value((*path, index))
            index += 1
            self._skip(_SKIP)
            self._take(",")

    def _keys(self) -> KeyPath:
        keys: list[str | int] = [self._key()]
        while self._take("."):
            keys.append(self._key())
        return tuple(keys)

    def _key(self) -> str:
        self._skip(_INLINE_SKIP)
        for pattern in _STRINGS[2:]:
            found = self._match(pattern)
            if found is not None:
                return found[1:-1]
        return self._match(_BARE) or ""

    def _next_of(self, path: KeyPath) -> KeyPath:
        index = self._tables.get(path, 0)
        self._tables[path] = index + 1
        return (*path, index)

    def _mark(self, path: KeyPath) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self._line)

    def _take(self, token: str) -> bool:
        self._skip(_INLINE_SKIP)
        found = self._text.startswith(token, self._at)
        if found:
            self._at += len(token)
        return found

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found.group()

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Skip blanks; False at the end of the text."""
        self._match(pattern)
        return self._at < len(self._text)
