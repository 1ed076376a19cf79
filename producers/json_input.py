"""JSON items of an input: one object a line, arrays of objects, or one document over many lines.

Owns where an item begins and ends and whether it is JSON. What an item means is for others to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tokentide.producers.compact_json import encode_json
from tokentide.producers.lines import Input, Line
from tokentide.schemas.limits import MAX_RECORD_BYTES


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


def read_json(source: Input, limit_bytes: int = MAX_RECORD_BYTES) -> Iterator[JsonItem]:
    """Items in the order of the input; empty lines are no items.

    A line with an array stands for its items. An input that begins with a lone `{`, or with an array that
    goes on over further lines, is read as one document, whole, into memory.

    Raises:
        InputError: the input cannot be read to its end.
    """
    is_first = True
    for line in source.lines(limit_bytes):
        content = line.content.strip()
        if not content:
            continue
        value, problem = parse_json(content)
        if is_first and problem and not line.is_cut and (content == b"{" or content.startswith(b"[")):
            yield from _document(content + b"\n" + source.read_all(), limit_bytes)
            return
        is_first = False
        yield from _items_of(line, value, problem, limit_bytes)


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


def _items_of(line: Line, value: object, problem: str | None, limit_bytes: int) -> Iterable[JsonItem]:
    if line.is_cut:
        return (_too_long(line.number, line.content, limit_bytes),)
    if isinstance(value, list):
        return (_rewritten(line.number, item, limit_bytes) for item in value)
    return (JsonItem(line.number, line.content, value, problem),)


def _document(raw: bytes, limit_bytes: int) -> Iterator[JsonItem]:
    value, problem = parse_json(raw)
    if problem:
        yield JsonItem(1, raw[:limit_bytes], problem=f"is one document over many lines, and {problem}")
        return
    for number, item in enumerate(value if isinstance(value, list) else [value], start=1):
        yield _rewritten(number, item, limit_bytes)


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
