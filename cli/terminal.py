"""How text looks: colour where a terminal wants it, tables, counts. Standard library only.

Standard output carries results, standard error everything else.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Literal, TextIO

Tone = Literal["bold", "dim", "red", "green", "yellow", "cyan"]

_CODES: Final[Mapping[Tone, str]] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}


def has_colour(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR (no-color.org) or TERM=dumb; FORCE_COLOR overrides."""
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


def toned(text: str, tone: Tone, stream: TextIO | None = None) -> str:
    """The text in a tone, or as it is where the stream (standard output by default) has no colour."""
    if not has_colour(stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[tone]}m{text}\x1b[0m"


def say(text: str) -> None:
    """Write a line for a human beside the results: to standard error, at once, and after all results so far."""
    with suppress(OSError, ValueError):  # closed by its reader: whoever writes to it next is told
        sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Write one line of JSON, at once, so that a program may read it while we go on."""
    print(json_line(value), flush=True)


_STEERING: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, and some terminals obey: DEL, the upper control characters, those of the direction of text."""


def json_line(value: object) -> str:
    """One line of JSON, as text is written; in ASCII where it holds half a surrogate pair, which UTF-8 cannot say.

    What could steer a terminal is escaped, which means the same to every reader of JSON.
    """
    line = json.dumps(value, ensure_ascii=False, default=_plain)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=_plain)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, indent: str = "") -> str:
    """Aligned columns, headers underlined; numbers to the right.

    Args:
        headers: one per column.
        rows: cells; None shows as `-`, a whole number with thousands separators.
        indent: put before each line.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([_width(head), *(_width(row[i]) for row in cells)]) for i, head in enumerate(headers)]
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        padded = [_padded(cell, widths[i], right=numeric[i]) for i, cell in enumerate(row)]
        return indent + "  ".join(padded).rstrip()

    return "\n".join([line(headers), indent + "  ".join("─" * width for width in widths), *map(line, cells)])


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.6g}"
        case Decimal():
            return format(value, "f")
        case _:
            return printable(str(value))


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def printable(text: str) -> str:
    """The text with control characters spelt out, so that foreign text cannot steer the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines: line feeds and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def printable_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same for UTF-8 that comes in pieces, cut anywhere; bytes that are none are spelt out, too."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
    for piece in pieces:
        yield printable_lines(decoder.decode(piece)).encode()
    yield printable_lines(decoder.decode(b"", final=True)).encode()


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def _padded(text: str, width: int, *, right: bool) -> str:
    gap = " " * max(0, width - _width(text))
    return gap + text if right else text + gap


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 partition`, `1,200 partitions`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clipped(text: str, width: int) -> str:
    """At most `width` characters, the end marked where it was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
