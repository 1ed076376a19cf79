"""JSON items of an input: one object a line, arrays of objects, or one document over many lines.

Owns where an item begins and ends and whether it is JSON. What an item means is for others to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from tokentide.producers.compact_json import encode_json
from tokentide.producers.lines import Input, Line
from tokentide.producers.traffic_errors import InputError
from tokentide.schemas.limits import MAX_RECORD_BYTES

MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
"""About 100,000 events. As Python's objects, a document takes up to ten times its size."""


class JsonItem(NamedTuple):
    """One value of the input."""

    number: int
    """Its line; items of a document over many lines are counted instead. From 1."""
    raw: bytes
    """Its bytes as they are in the input; written anew where it was part of an array."""
    value: object = None
    problem: str | None = None
    """Why it cannot be used; then `value` is None. Never quotes the content."""
    is_too_long: bool = False
    """Longer than a record may be; `raw` may be only its beginning."""


def read_json(
    source: Input, limit_bytes: int = MAX_RECORD_BYTES, *, document_limit_bytes: int = MAX_DOCUMENT_BYTES
) -> Iterator[JsonItem]:
    """Items in the order of the input; empty lines are no items.

    A line with an array stands for its items. An input whose first lines are the beginning of one object or array is
    read as one document, whole, into memory; of an array, the items are its own.

    Args:
        source: what to read.
        limit_bytes: of an item; a longer one comes with a problem.
        document_limit_bytes: of a document over many lines, and of an array on the first line.

    Raises:
        InputError: the input cannot be read to its end, or is a document over the limit.
    """
    lines = source.lines(limit_bytes, first_limit_bytes=document_limit_bytes)
    ahead = list(islice(_filled(lines), 1))
    if ahead and is_beginning(ahead[0].content):
        ahead += islice(_filled(lines), 1)
        if _is_document(ahead):
            raw = b"".join(_with_ends(ahead)) + source.read_all(document_limit_bytes)
            yield from _document(raw, source, limit_bytes, document_limit_bytes)
            return
    for line in chain(ahead, _filled(lines)):
        yield from _items_of(line, source, limit_bytes)


def _filled(lines: Iterator[Line]) -> Iterator[Line]:
    return (line for line in lines if line.content.strip())


def is_beginning(raw: bytes) -> bool:
    """Whether nothing is wrong with an object or an array but that it has no end."""
    raw = raw.strip()
    try:
        _DECODER.decode(raw.decode("utf-8"))
    except json.JSONDecodeError as error:
        # Positions are of characters, and at the end only if nothing before it is wrong.
        return raw[:1] in (b"{", b"[") and error.pos >= len(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return False


def _is_document(lines: Sequence[Line]) -> bool:
    """Whether an input goes on as the document that its first line begins, or that line is only a broken one."""
    first, *more = (line.content.strip() for line in lines)
    if first in (b"{", b"["):
        return True
    if not more or any(line.is_cut for line in lines):
        return False
    joined = b"\n".join([first, *more])
    if first.endswith(b":") and more[0].startswith(b"{") and parse_json(more[0])[1] is None:
        return False  # a whole event below one that was cut off; whoever lays out JSON breaks no line there
    return is_beginning(joined) or parse_json(joined)[1] is None


def _with_ends(lines: Iterable[Line]) -> Iterator[bytes]:
    """The lines as they were, with the empty ones before them, so that places in the text stay right."""
    number = 1
    for line in lines:
        yield b"\n" * (line.number - number) + line.content + b"\n"
        number = line.number + 1


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON; leave the field out if unknown")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def parse_json(raw: bytes) -> tuple[object, str | None]:
    """The value, or why there is none. `NaN` and infinities are no JSON here, whatever Python says."""
    try:
        return _DECODER.decode(raw.decode("utf-8")), None
    except UnicodeDecodeError as error:
        return None, f"is not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        place = (
            f"line {error.lineno}, character {error.colno}"
            if error.lineno > 1
            else f"character {error.colno}"
        )
        return None, f"is not JSON at {place}: {error.msg}"
    except RecursionError:
        return None, "is nested too deeply"
    except ValueError as error:
        return None, f"is not JSON: {error}"


def _items_of(line: Line, source: Input, limit_bytes: int) -> Iterable[JsonItem]:
    content = line.content.strip()
    if line.is_cut and content.startswith(b"[") and len(content) > limit_bytes:
        raise _document_too_long(source, len(content))
    if line.is_cut:
        return (_too_long(line.number, line.content[:limit_bytes], limit_bytes),)
    value, problem = parse_json(content)
    if isinstance(value, list):
        return (_rewritten(line.number, item, limit_bytes) for item in value)
    if len(line.content) > limit_bytes:
        return (_too_long(line.number, line.content[:limit_bytes], limit_bytes),)
    return (JsonItem(line.number, line.content, value, problem),)


def _document(raw: bytes, source: Input, limit_bytes: int, document_limit_bytes: int) -> Iterator[JsonItem]:
    if len(raw) > document_limit_bytes:
        raise _document_too_long(source, document_limit_bytes)
    value, problem = parse_json(raw)
    if problem:
        remedy = _SEVERAL if problem.endswith("Extra data") else ""
        yield JsonItem(
            1, raw[:limit_bytes], problem=f"is one document over many lines, and {problem}{remedy}"
        )
        return
    for number, item in enumerate(value if isinstance(value, list) else [value], start=1):
        yield _rewritten(number, item, limit_bytes)


_SEVERAL: Final = "; of several documents each goes on a line of its own, as `jq -c .` writes them"


def _document_too_long(source: Input, limit_bytes: int) -> InputError:
    return InputError(
        f"{source.name} is one JSON document of more than {limit_bytes:,} bytes, which would be held in memory whole; "
        "write one event a line, as `jq -c '.[]'` makes of an array"
    )


def _rewritten(number: int, item: object, limit_bytes: int) -> JsonItem:
    try:
        raw = encode_json(item)
    except ValueError:
        return JsonItem(number, b"null", problem="holds a number that is too large for JSON in Python")
    return JsonItem(number, raw, item) if len(raw) <= limit_bytes else _too_long(number, raw, limit_bytes)


def _too_long(number: int, raw: bytes, limit_bytes: int) -> JsonItem:
    return JsonItem(
        number, raw, problem=f"is longer than {limit_bytes:,} bytes, the limit of a record", is_too_long=True
    )
