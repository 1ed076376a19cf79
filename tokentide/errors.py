"""Errors that any program of Tokentide may end with; the areas have trees of their own.

Apart from `tokentide.config`, so that it can be caught without loading pydantic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class SettingProblem(NamedTuple):
    """One thing that is wrong with the settings; no member ever holds a value of a setting."""

    where: str
    """Where it was read: a variable, a flag, or a file with the name inside it."""
    text: str
    """What is wrong and how to mend it."""


class SettingsError(Exception):
    """The settings cannot be used; `problems` names all that is wrong, so that one run finds everything.

    Programs end with exit code 2 on it; trying again without a change cannot help.
    """

    def __init__(self, problems: Sequence[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{problem.where}: {problem.text}" for problem in self.problems))
