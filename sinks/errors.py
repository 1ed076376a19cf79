"""What can go wrong with an insert.

    SinkError
    ├── RetriableSinkError   given up at the deadline; the same rows may be sent again, now or later
    ├── TerminalSinkError    sending the same rows again cannot help
    └── SinkStoppedError     the caller asked to stop between two tries

No message holds contents of rows or the password of the address.
"""

from __future__ import annotations


class SinkError(Exception):
    """Base of all errors of `tokentide.sinks`. The rows of the failed insert may be stored in part."""

    def __init__(self, message: str, *, table: str, rows: int, code: int | None, tries: int) -> None:
        self.table = table
        self.rows = rows
        """Rows of the whole insert."""
        self.code = code
        """ClickHouse's error code; None: there was no answer, or none with a code."""
        self.tries = tries
        super().__init__(message)


class RetriableSinkError(SinkError):
    """ClickHouse could not take the rows in time. Nothing is lost: keep them or read them again, and send them
    again later; rows that are there already collapse.
    """


class TerminalSinkError(SinkError):
    """ClickHouse refuses the rows, and would again: schema, rights or rows are not as they should be.
    Stop and say so; the message names the remedy.
    """


class SinkStoppedError(SinkError):
    """`should_stop` said so between two tries. As after a `RetriableSinkError`, nothing is lost."""


class ClickHouseAnswerError(Exception):
    """Stands as the cause where the server's own text may quote values of rows, and so is not kept."""

    def __init__(self, code: int | None, kind: str) -> None:
        self.code = code
        self.kind = kind
        super().__init__(f"{kind}, code {code}; its text is withheld, since it may quote rows")
