"""Dockerfile and .dockerignore as far as a test needs them: which files a build sees, and what it does with them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Final, NamedTuple

_NEVER_READ: Final = {".git", ".venv", ".tools", ".cache", "__pycache__", "build", "node_modules"}
"""Folders that are not walked: large, and `test_dockerfile.py` tries the patterns on their names."""


class Instruction(NamedTuple):
    """One line of a Dockerfile, continued ones joined."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """As a shell splits it; the words of `["a", "b"]` too."""
        return shlex.split(re.sub(r'^\[|\]$|(?<="),', " ", self.rest))


class Stage(NamedTuple):
    """One `FROM` and what follows it."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        """Every instruction of that name, in order."""
        return [instruction for instruction in self.instructions if instruction.name == name]


def read_dockerfile(text: str) -> list[Stage]:
    """Return the stages in order."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    stages: list[Stage] = []
    for line in joined.splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            stages.append(Stage(base, alias, ()))
        else:
            last = stages.pop()
            added = (*last.instructions, Instruction(name, rest.strip()))
            stages.append(last._replace(instructions=added))
    return stages


class Ignore:
    """What .dockerignore leaves out: of all patterns that match a path or a folder above it, the last one decides."""

    def __init__(self, text: str) -> None:
        """Read the patterns."""
        lines = [line.strip() for line in text.splitlines()]
        self._patterns = [
            (not line.startswith("!"), _regex(line.removeprefix("!").strip("/")))
            for line in lines
            if line and not line.startswith("#")
        ]

    def excludes(self, path: str) -> bool:
        """Whether a file at this path, relative to the context, is not seen by the build."""
        parts = path.split("/")
        prefixes = ["/".join(parts[: length + 1]) for length in range(len(parts))]
        excluded = False
        for excludes, regex in self._patterns:
            if any(regex.fullmatch(prefix) for prefix in prefixes):
                excluded = excludes
        return excluded


def copy_context(source: Path, target: Path, ignore: Ignore) -> None:
    """Copy what the build sees; links stay links, as COPY leaves them."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        found = set()
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(source).as_posix()
            is_folder = path.is_dir() and not path.is_symlink()
            if (
                name in _NEVER_READ
                or (not is_folder and ignore.excludes(relative))
                or (is_folder and ignore.excludes(relative) and ignore.excludes(f"{relative}/x"))
            ):
                found.add(name)
        return found

    shutil.copytree(source, target, symlinks=True, ignore=left_out)


def _regex(pattern: str) -> re.Pattern[str]:
    """Go's `filepath.Match`, with `**` for any number of folders."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    forms = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(forms.get(piece, re.escape(piece)) for piece in pieces))
