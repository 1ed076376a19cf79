"""The views of the database for people who ask it: what each answers, and how those with parameters are called.

Taken from the headers of `sql/views`, by the lines `-- Question:` and `-- Use:`; works in the base install.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from tokentide.sql.catalogue import catalogue

_QUESTION: Final = re.compile(r"^-- Question: (.+)$", re.MULTILINE)
_CALL: Final = re.compile(r"^-- Use: SELECT … FROM (\w+\([^)]*\))", re.MULTILINE)
_PARAMETER: Final = re.compile(r"(\w+) = ")
_EVERY: Final = "_every"


class View(NamedTuple):
    """One view."""

    name: str
    question: str
    call: str | None
    """With example values, such as `costs_every(seconds = 3600)`; None: it has no parameters."""

    @property
    def parameters(self) -> list[str]:
        """Names of its parameters."""
        return _PARAMETER.findall(self.call or "")


@cache
def views() -> tuple[View, ...]:
    """All views of this release, by name."""
    return tuple(
        View(
            file.name,
            _capitalised(_QUESTION.findall(file.text)[0]),
            next(iter(_CALL.findall(file.text)), None),
        )
        for file in sorted(catalogue().views, key=lambda file: file.name)
    )


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def missing_parameters(sql: str) -> View | None:
    """The first view with parameters that a statement names without giving it any."""
    return next(
        (view for view in views() if view.call and re.search(rf"\b{view.name}\b(?!\s*\()", sql)), None
    )


def view_with_parameter(sql: str, parameter: str) -> View | None:
    """The first view of a statement that has this parameter."""
    return next(
        (view for view in views() if parameter in view.parameters and re.search(rf"\b{view.name}\b", sql)),
        None,
    )


def views_markdown() -> str:
    """The views as a table; those over windows of any length stand beside those by the minute."""
    return "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    by_name = {view.name: view for view in views()}
    yield "| view | question | over windows of any length |"
    yield "|---|---|---|"
    for view in views():
        if view.name.removesuffix(_EVERY) in by_name and view.name.endswith(_EVERY):
            continue
        every = by_name.get(view.name + _EVERY)
        beside = f"`{every.call}`" if every else ""
        yield f"| `{view.call or view.name}` | {view.question} | {beside} |"
