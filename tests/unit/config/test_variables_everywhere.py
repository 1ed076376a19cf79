"""A variable that a page, a compose file or a script names must exist: a wrong one would stop the program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tokentide.config.catalogue import names_by_env
from tokentide.config.sources import NOT_SETTINGS

WRONG_ON_PURPOSE = {"TOKENTIDE_KAFKA_BOOTSTRAP_SERVER", "TOKENTIDE_SERVICE_HOST", "TOKENTIDE_PORT"}
"""Named by docs as examples of what is refused or left out."""


def files(repository: Path) -> Iterator[Path]:
    for pattern in (
        "*.md",
        "*.yml",
        "*.yaml",
        "Dockerfile*",
        "Makefile",
        ".ci/*",
        "docs/**/*.md",
        "docker/**/*",
    ):
        yield from (path for path in repository.glob(pattern) if path.is_file())


def test_every_variable_that_is_named_anywhere_is_known(repository: Path) -> None:
    known = {*names_by_env(), *NOT_SETTINGS, *WRONG_ON_PURPOSE}
    wrong = {
        f"{path.relative_to(repository)}: {variable}"
        for path in files(repository)
        for variable in re.findall(r"\bTOKENTIDE_[A-Z][A-Z_]*[A-Z]\b(?!_)", path.read_text(encoding="utf-8"))
        if variable not in known and not variable.startswith("TOKENTIDE_GROUP_")
    }
    assert wrong == set()


def test_the_suites_own_variables_are_no_settings(repository: Path) -> None:
    used = {
        variable
        for path in repository.glob("tests/**/*.py")
        for variable in re.findall(
            r"os\.environ(?:\.get\(|\[)\"(TOKENTIDE_[A-Z_]+)\"", path.read_text(encoding="utf-8")
        )
    }
    assert used - set(names_by_env()) <= NOT_SETTINGS
