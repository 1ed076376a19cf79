"""What can go wrong with the database's schema.

SqlError
├── InvalidIdentifierError   a name that must not be written into SQL
├── SqlFileError             a file of this package is not as it should be
├── ChangedMigrationError    a file was changed after it had been applied
├── NewerDatabaseError       the database holds migrations that this release does not know
└── StatementError           ClickHouse refused a statement
"""

from __future__ import annotations

from collections.abc import Sequence


class SqlError(Exception):
    """Base of all errors of `tokentide.sql`."""


class InvalidIdentifierError(SqlError, ValueError):
    """A database name that cannot be written into SQL safely. Choose another name."""


class SqlFileError(SqlError):
    """A file of this package is broken: an open quote, an unknown dependency. A defect of the release."""


class ChangedMigrationError(SqlError):
    """An applied migration is not the one in this release. Nothing was done.

    Migrations never change once they are released: install the release that the database was
    migrated with, or, where the file was edited by hand, restore it and write a new migration.
    """

    def __init__(self, *, name: str, applied_sha256: str, file_sha256: str) -> None:
        self.name = name
        self.applied_sha256 = applied_sha256
        self.file_sha256 = file_sha256
        super().__init__(
            f"migration {name} was applied with SHA-256 {applied_sha256[:12]}… and has {file_sha256[:12]}… now: "
            "restore the file, and put the change into a new migration"
        )


class NewerDatabaseError(SqlError):
    """The database was migrated by a newer release. Nothing was done; install that release or a later one."""

    def __init__(self, unknown: Sequence[str]) -> None:
        self.unknown = tuple(unknown)
        super().__init__(
            f"the database holds migrations that this release does not know ({', '.join(unknown)}): "
            "install the release that applied them, or a later one"
        )


class StatementError(SqlError):
    """ClickHouse refused a statement; `code` is its error code, the cause its answer.

    Steps before it are applied and recorded; after mending, the run goes on from here.
    """

    def __init__(self, *, file: str, number: int, code: int | None) -> None:
        self.file = file
        self.number = number
        self.code = code
        super().__init__(
            f"ClickHouse refused statement {number} of {file} (code {code}); its answer is the cause"
        )
