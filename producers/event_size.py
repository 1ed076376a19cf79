"""How large a value is as JSON, at least: found out without writing it, so that what is too large costs the application little.

Counted are characters, names and brackets; escapes, and the bytes of a character above its first, come on top. The look ends as soon as
the bound is passed, and after some thousand values in any case: it may miss something, and is never wrong about what it says is too large.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

MOST_VALUES: Final = 20_000
"""Looked at, at most: about two milliseconds. Messages of 150 characters come to a megabyte before."""
_NESTED: Final = (dict, list, tuple)
_PLAIN: Final = (str, int, bool, type(None))


class Look(NamedTuple):
    """What was seen of a value."""

    least_bytes: int
    is_plain: bool
    """All of it was seen, and nothing but texts, whole numbers, flags and nulls, in dictionaries, lists and tuples."""


def look(value: Any, most_bytes: int) -> Look:
    """Look at a value until it is known to be larger than so many bytes. It may contain itself."""
    size, seen, is_plain = 0, 0, True
    waiting = [value]
    while waiting and size <= most_bytes and seen < MOST_VALUES:
        item = waiting.pop()
        kind = item.__class__
        if kind is dict:
            seen += len(item)
            size += 2 + 3 * len(item)
            for name, inner in item.items():
                inner_kind = inner.__class__
                if name.__class__ is str:
                    size += len(name)
                if inner_kind is str:
                    size += len(inner) + 2
                elif inner_kind in _NESTED:
                    waiting.append(inner)
                elif inner_kind not in _PLAIN:
                    is_plain = False
                    size += len(inner) if inner_kind is bytes else 0
        elif kind is list or kind is tuple:
            size += 1 + len(item)
            if item and item[0].__class__ in (
                int,
                float,
            ):  # so are the others, as a rule: not to be seen one by one
                size += len(item)
                is_plain = False
            else:
                waiting += item if size <= most_bytes else ()
        else:
            seen += 1
            if kind is str:
                size += len(item) + 2
            elif kind is bytes:
                size += len(item)
                is_plain = False
            elif kind not in _PLAIN:
                is_plain = False
    return Look(size, is_plain and not waiting)
