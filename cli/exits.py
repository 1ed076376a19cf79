"""Exit codes, and the errors that end a command with one.

    CliError                 a message, a hint and an exit code
    ├── UsageError           2  the command line or a file it names cannot be used
    ├── UnreachableError     3  Kafka or ClickHouse does not answer
    ├── NotReadyError        4  something has to be installed, created or freed first
    └── RefusedError         5  a service answered with an error

Foreign errors become one of these where a service is called (`kafka_access`, `clickhouse_http`), so that
`main` alone decides what is printed. Settings that cannot be used are `tokentide.config.SettingsError`: 2.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """What a command's end means; documented in docs/commands.md."""

    OK = 0
    NEGATIVE = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_READY = 4
    REFUSED = 5
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS: Final = {
    ExitCode.OK: "Done; nothing to object to.",
    ExitCode.NEGATIVE: "The work was done, and the answer is no: a difference, a time-out, a failed check.",
    ExitCode.USAGE: "The command line, the settings or a named file cannot be used.",
    ExitCode.UNREACHABLE: "Kafka or ClickHouse does not answer.",
    ExitCode.NOT_READY: "Something has to come first: an extra, `tokentide init`, a free port.",
    ExitCode.REFUSED: "A service answered with an error: SQL, rights, a refused record.",
    ExitCode.BUG: "An error in Tokentide itself; the traceback belongs in a report.",
    ExitCode.INTERRUPTED: "Ended by Ctrl-C.",
    ExitCode.BROKEN_PIPE: "The reader of the output closed it, as `head` does.",
    ExitCode.TERMINATED: "Ended by SIGTERM.",
}


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, where a command has to end its children in order before it ends."""


class CliError(Exception):
    """Ends the command: `error: message`, then the hint, and the exit code of its class.

    Neither text may hold a secret, a prompt or an answer.
    """

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str = "", may_pass: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.may_pass = may_pass
        """Asking again in a moment may bring an answer, without anything being mended."""


class UsageError(CliError):
    """The command line, or a file that it names, cannot be used."""


class UnreachableError(CliError):
    """A service does not answer; it may do so later."""

    exit_code = ExitCode.UNREACHABLE


class NotReadyError(CliError):
    """Something has to be installed, created or freed first; the hint says what."""

    exit_code = ExitCode.NOT_READY


class RefusedError(CliError):
    """A service answered with an error."""

    exit_code = ExitCode.REFUSED


class ForbiddenError(RefusedError):
    """The user of ClickHouse lacks a right."""


class UnknownTableError(RefusedError):
    """ClickHouse knows no such database or table: most often `tokentide init` has not run yet."""
