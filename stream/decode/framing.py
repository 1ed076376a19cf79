r"""From the values of Kafka records to lines of JSON, without parsing: which bytes are one event.

A value may be one object, an array in the layout that the SDK writes (`[{…},\n{…}]`), or objects one to a
line. Values in any other form are left to the reference path. All of it is byte work on one buffer:
per-record Python is what makes pipelines slow.

Why this is exact. Every line of the result begins with `{` and ends with `}`, and inside a line no `}` is
followed by anything but `,`, `]`, `}` or the line's end. A JSON text can then not run over a line's end: a
string may not hold a raw newline, and `}` newline `{` is valid only between two top-level values. And a line cannot
hold two values, because the first would have to end in `}` and be followed by something else. So a parser that accepts
the buffer has read one object per line. (A stray root-level `null` would also crash Arrow's parser.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from tokentide.schemas.limits import MAX_ITEMS_PER_RECORD, MAX_RECORD_BYTES
from tokentide.stream.decode.batch import Bools, Bytes8, Int32s, Int64s

_NEWLINE: Final = 0x0A
_SPACE: Final = 0x20
_COMMA: Final = 0x2C
_OPEN_LIST, _CLOSE_LIST = 0x5B, 0x5D
_OPEN, _CLOSE = 0x7B, 0x7D
_WHITE: Final = b" \t\r\n"
_AFTER_CLOSE: Final = np.zeros(256, dtype=np.bool_)
_AFTER_CLOSE[[_NEWLINE, _COMMA, _CLOSE_LIST, _CLOSE]] = True

_PART_BYTES: Final = 131_072

DEEP_BYTES: Final = 16_384
"""Only longer lines can be nested deeply enough to matter to a recursive parser."""
DEEP_BRACKETS: Final = 1_000


class Framed(NamedTuple):
    """Lines of JSON and where they came from."""

    buffer: memoryview
    """The lines, joined by newlines."""
    record: Int32s
    """Per line: position of its record in the batch."""
    item: Int32s
    """Per line: position in its record."""
    starts: Int64s
    """Per line: where it begins in the buffer."""
    irregular: Sequence[int]
    """Positions of the records that are not in the buffer and must go through the reference path."""


_NO_LINES: Final = Framed(
    memoryview(b""), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64), ()
)


def frame(values: Sequence[bytes | None]) -> Framed:
    """Join the values to lines. Nothing of a value is changed but white space around it and, in an array,
    the brackets and the commas between lines.
    """
    contents = [value or b"" for value in values]
    kept = np.arange(len(contents))
    while len(kept):
        framed, wrong = _frame_all([contents[i] for i in kept] if len(kept) < len(contents) else contents)
        if not wrong:
            if len(kept) == len(contents):
                return framed
            irregular = np.setdiff1d(np.arange(len(contents)), kept).tolist()
            return framed._replace(record=kept.astype(np.int32)[framed.record], irregular=irregular)
        kept = _without_wrong(contents, kept, wrong)
    return _NO_LINES._replace(irregular=range(len(contents)))


def _without_wrong(contents: list[bytes], kept: Int64s, wrong: list[int]) -> Int64s:
    """Drop the records at fault, but for those that only had white space around them (which counts as part of their size)."""
    dropped = []
    for place in wrong:
        value = contents[kept[place]]
        trimmed = value.strip(_WHITE)
        if trimmed == value or len(value) > MAX_RECORD_BYTES:
            dropped.append(place)
        contents[kept[place]] = trimmed
    return np.delete(kept, dropped)


def _frame_all(values: Sequence[bytes]) -> tuple[Framed, list[int]]:
    """The lines of these values, or the positions of those that have another form."""
    joined = b"\n".join(values)
    lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
    ends = np.cumsum(lengths + 1) - 1
    begins = ends - lengths
    data = np.frombuffer(joined, dtype=np.uint8)
    wrong = _badly_enclosed(data, begins, ends)
    wrong |= lengths > MAX_RECORD_BYTES
    if not wrong.any() and not _is_utf8(joined):
        wrong = np.fromiter((not _is_utf8(value) for value in values), np.bool_, len(values))
    if wrong.any():
        return _NO_LINES, np.flatnonzero(wrong).tolist()
    newlines, closes = _marks(data)
    if newlines > len(values) - 1 or bool((data[begins] == _OPEN_LIST).any()):
        return _unpack(data, begins, ends, closes)
    record = np.arange(len(values), dtype=np.int32)
    framed = Framed(memoryview(joined), record, np.zeros(len(values), np.int32), begins, ())
    odd = _odd_lines(data, closes, ends) | _deep_lines(data, begins, ends)
    return framed, np.flatnonzero(odd).tolist()


def _is_utf8(text: bytes) -> bool:
    """Whether it is; Arrow's JSON reader takes any bytes in strings."""
    if text.isascii():
        return True
    whole = pa.py_buffer(np.array([0, len(text)], np.int32))
    try:
        pa.StringArray.from_buffers(1, whole, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _marks(data: Bytes8) -> tuple[int, Int64s]:
    """How many newlines there are, and where each `}` is; in parts that stay in the processor's cache."""
    newlines, closes = 0, []
    for begin in range(0, len(data), _PART_BYTES):
        part = data[begin : begin + _PART_BYTES]
        newlines += int(np.count_nonzero(part == _NEWLINE))
        closes.append(np.flatnonzero(part == _CLOSE) + begin)
    return newlines, np.concatenate(closes) if closes else np.empty(0, np.int64)


def _badly_enclosed(data: Bytes8, begins: Int64s, ends: Int64s) -> Bools:
    """Records that are empty or neither `{…}` nor `[…]`."""
    if not len(data):
        return np.ones(len(begins), dtype=np.bool_)
    first = data[np.minimum(begins, len(data) - 1)]
    last = data[np.maximum(ends - 1, 0)]
    in_object = (first == _OPEN) & (last == _CLOSE)
    in_array = (first == _OPEN_LIST) & (last == _CLOSE_LIST)
    enclosed: Bools = (in_object | in_array) & (ends - begins >= 2)
    return ~enclosed


def _deep_lines(data: Bytes8, line_starts: Int64s, line_ends: Int64s) -> Bools:
    """Lines with so many brackets that they may be nested deeper than a recursive parser bears."""
    deep = np.zeros(len(line_ends), dtype=np.bool_)
    for line in np.flatnonzero(line_ends - line_starts > DEEP_BYTES).tolist():
        text = data[line_starts[line] : line_ends[line]].tobytes()
        deep[line] = text.count(b"[") + text.count(b"{") > DEEP_BRACKETS
    return deep


def _odd_lines(data: Bytes8, closes: Int64s, line_ends: Int64s) -> Bools:
    """Lines in which a `}` (at `closes`) is followed by what cannot follow it inside, or at the end of, one object."""
    inside = closes[closes < len(data) - 1]
    odd = inside[~_AFTER_CLOSE[data[inside + 1]]]
    lines = np.zeros(len(line_ends), dtype=np.bool_)
    lines[np.searchsorted(line_ends, odd)] = True
    return lines


def _unpack(data: Bytes8, begins: Int64s, ends: Int64s, closes: Int64s) -> tuple[Framed, list[int]]:
    """Split the values at their newlines; blank out array brackets and the commas at line ends."""
    newlines = np.flatnonzero(data == _NEWLINE)
    line_ends = np.concatenate((newlines, [len(data)]))
    line_starts = np.concatenate(([0], newlines + 1))
    owner = np.searchsorted(ends, line_ends)
    in_array = (data[begins] == _OPEN_LIST)[owner]
    is_first, is_last = line_starts == begins[owner], line_ends == ends[owner]
    first = line_starts + (in_array & is_first)
    last = line_ends - 1 - in_array
    separator = np.maximum(line_ends - 1, 0)
    has_separator = data[separator] == np.where(is_last, _CLOSE_LIST, _COMMA)
    bounds = np.clip(first, 0, len(data) - 1), np.clip(last, 0, len(data) - 1)
    odd = (data[bounds[0]] != _OPEN) | (data[bounds[1]] != _CLOSE) | (last < first)
    odd |= (in_array & ~has_separator) | _odd_lines(data, closes, line_ends)
    odd |= _deep_lines(data, line_starts, line_ends)
    counts = np.bincount(owner, minlength=len(begins))
    wrong = counts > MAX_ITEMS_PER_RECORD
    wrong[owner[odd]] = True
    blanked = data.copy()
    blanked[separator[in_array]] = _SPACE
    blanked[line_starts[in_array & is_first]] = _SPACE
    index = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    framed = Framed(blanked.data, owner.astype(np.int32), index.astype(np.int32), line_starts, ())
    return framed, np.flatnonzero(wrong).tolist()
