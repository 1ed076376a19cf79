"""Strict reading of TOML values: the place of each fault is kept, and a near name is suggested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from tokentide.producers.replay.toml_lines import KeyPath


class FaultError(Exception):
    """One thing wrong at one place; collected by `load`."""

    def __init__(self, path: KeyPath, text: str) -> None:
        super().__init__(text)
        self.path = path
        self.text = text


def check_keys(table: Mapping[str, object], allowed: Iterable[str], path: KeyPath) -> None:
    """Refuse the first key that is not allowed, with the nearest one that is.

    Raises:
        FaultError: there is such a key.
    """
    names = list(dict.fromkeys(allowed))
    for key in table:
        if key not in names:
            raise FaultError((*path, key), f"unknown key{suggestion(key, names)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or what there is."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"


def as_table(value: object, path: KeyPath, what: str) -> dict[str, object]:
    """Raise `FaultError` unless it is a table."""
    if not isinstance(value, dict):
        raise FaultError(path, f"must be {what}")
    return value


def as_list(value: object, path: KeyPath, what: str) -> list[object]:
    """Raise `FaultError` unless it is a list with something in it."""
    if not isinstance(value, list) or not value:
        raise FaultError(path, f"must be {what}")
    return value


def as_text(value: object, path: KeyPath) -> str:
    """Raise `FaultError` unless it is a text with something in it."""
    if not isinstance(value, str) or not value:
        raise FaultError(path, "must be a text")
    return value


def as_number(value: object, path: KeyPath) -> int | float:
    """Raise `FaultError` unless it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
        raise FaultError(path, "must be a number")
    return value


def as_choice(value: object, path: KeyPath, choices: tuple[str, ...]) -> str:
    """Raise `FaultError` unless it is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        near = suggestion(value, choices) if isinstance(value, str) else ""
        raise FaultError(path, f"must be one of {', '.join(choices)}{near if 'mean' in near else ''}")
    return value
