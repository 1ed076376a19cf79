"""The SQL files of this package: what they are, in which order they go, and what they rest on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from typing import Final, Literal

from tokentide.sql.errors import SqlFileError

Kind = Literal["migration", "function", "view"]

_FOLDERS: Final[Mapping[Kind, str]] = {"migration": "migrations", "function": "functions", "view": "views"}
_NEEDS: Final = re.compile(r"^-- Needs: (.+)$", re.MULTILINE)
_MIGRATION_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One file of SQL, with `{database}` where the name of the database goes."""

    kind: Kind
    name: str
    text: str

    @property
    def path(self) -> str:
        """Inside the package, for messages."""
        return f"sql/{_FOLDERS[self.kind]}/{self.name}.sql"

    @property
    def sha256(self) -> str:
        """Of the text, hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def needs(self) -> tuple[str, ...]:
        """Views that must be there first, from the line `-- Needs: a, b` of the header."""
        found = _NEEDS.search(self.text)
        return tuple(name.strip() for name in found[1].split(",")) if found else ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All files that make up the schema."""

    migrations: tuple[SqlFile, ...]
    """In the order of their numbers."""
    functions: tuple[SqlFile, ...]
    views: tuple[SqlFile, ...]
    """Each after the views that it needs."""

    @classmethod
    def of(cls, sql_files: Iterable[SqlFile]) -> Catalogue:
        """Check and order files.

        Raises:
            SqlFileError: a migration's number is missing or twice, or a view needs one that is not there.
        """
        by_kind: dict[Kind, list[SqlFile]] = {"migration": [], "function": [], "view": []}
        for file in sorted(sql_files, key=lambda file: file.name):
            by_kind[file.kind].append(file)
        _check_numbers(by_kind["migration"])
        return cls(
            migrations=tuple(by_kind["migration"]),
            functions=tuple(by_kind["function"]),
            views=_in_order(by_kind["view"]),
        )

    def foundation_sha256(self) -> str:
        """Of all migrations and functions: what every view rests on. ClickHouse keeps `SELECT *` and SQL functions
        in a view as they were when it was created, so all views are created again when any of these changes.
        """
        return _combined(file.sha256 for file in (*self.migrations, *self.functions))

    def view_sha256(self, view: SqlFile) -> str:
        """Of a view and all that it rests on."""
        by_name = {file.name: file for file in self.views}
        below = (self.view_sha256(by_name[name]) for name in view.needs)
        return _combined((view.sha256, self.foundation_sha256(), *below))


def _combined(hashes: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _check_numbers(migrations: Sequence[SqlFile]) -> None:
    for number, file in enumerate(migrations, 1):
        match = _MIGRATION_NAME.fullmatch(file.name)
        if match is None or int(match[1]) != number:
            raise SqlFileError(f"{file.path} should be number {number:04d}: NNNN_name.sql, without a gap")


def _in_order(views: Sequence[SqlFile]) -> tuple[SqlFile, ...]:
    by_name = {file.name: file for file in views}
    for file in views:
        for name in file.needs:
            if name not in by_name:
                raise SqlFileError(f"{file.path} needs the view {name}, which is not there")
    try:
        order = TopologicalSorter({file.name: file.needs for file in views}).static_order()
        return tuple(by_name[name] for name in order)
    except CycleError as error:
        raise SqlFileError(f"views need each other in a circle: {error.args[1]}") from error


@cache
def catalogue() -> Catalogue:
    """The schema of this release."""
    return Catalogue.of(
        SqlFile(kind, path.name.removesuffix(".sql"), path.read_text(encoding="utf-8"))
        for kind, folder in _FOLDERS.items()
        for path in files("tokentide.sql").joinpath(folder).iterdir()
        if path.name.endswith(".sql")
    )


def named_query(name: str) -> str:
    """The text of `sql/queries/NAME.sql`.

    Raises:
        SqlFileError: there is no such file.
    """
    path = files("tokentide.sql").joinpath("queries", f"{name}.sql")
    if not path.is_file():
        raise SqlFileError(f"there is no query {name}")
    return path.read_text(encoding="utf-8")
