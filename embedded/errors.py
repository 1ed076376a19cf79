"""What can go wrong when the engines of one machine start and run.

EmbeddedError
├── NotInstalledError          a program is not there: which extra to install
├── PortUnavailableError       an address is taken or refused: which one, and how to choose another
├── DataDirError               the data directory is in use, or cannot be written
├── ProcessFailedError         a child ended though it should run; carries the end of its log
├── ProcessNotReadyError       a child runs but did not become ready in time; the same
├── StoppedWhileStartingError  the start was interrupted on request
└── BrokerMemoryError          the broker, which keeps all records in memory, passed its limit

Every message names what failed and what to do. Log ends are quoted: the children write no prompts there.
"""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(RuntimeError):
    """The engines of one machine cannot start or go on."""


class NotInstalledError(EmbeddedError):
    """A program of the one-machine mode is not installed, or not for this platform."""


class PortUnavailableError(EmbeddedError):
    """A port cannot be listened on.

    Attributes:
        port: the port that was wanted.
    """

    def __init__(self, message: str, *, port: int) -> None:
        super().__init__(message)
        self.port = port


class DataDirError(EmbeddedError):
    """The data directory is used by another run, or cannot be used at all."""


class StoppedWhileStartingError(EmbeddedError):
    """Somebody asked for the end before everything was ready; all children are gone again."""


class BrokerMemoryError(EmbeddedError):
    """The broker holds more than its limit; it cannot forget, so it is ended in order."""


class ProcessFailedError(EmbeddedError):
    """A child process ended though it should run.

    Attributes:
        process: its name, such as `broker` or `worker-1`.
        exit_status: exit code, or the negative number of the signal that ended it.
        log_file: where its output is.
    """

    def __init__(
        self, process: str, *, exit_status: int, log_file: Path, log_tail: str, context: str = ""
    ) -> None:
        super().__init__(
            f"{process} {describe_exit(exit_status)}{context}." + _quoted_log(log_file, log_tail)
        )
        self.process = process
        self.exit_status = exit_status
        self.log_file = log_file


class ProcessNotReadyError(EmbeddedError):
    """A child process runs, but its health check does not pass in time; it was ended.

    Attributes:
        process: its name.
        log_file: where its output is.
    """

    def __init__(self, process: str, *, waited_s: float, reason: str, log_file: Path, log_tail: str) -> None:
        super().__init__(
            f"{process} was not ready after {waited_s:.0f} s ({reason}); it was ended."
            + _quoted_log(log_file, log_tail)
        )
        self.process = process
        self.log_file = log_file


def describe_exit(exit_status: int) -> str:
    """Say in words how a process ended, with the likely cause where there is one.

    Args:
        exit_status: exit code, or the negative number of a signal, as `subprocess` gives it.
    """
    if exit_status >= 0:
        return f"ended with exit code {exit_status}"
    name = _SIGNALS.get(-exit_status, f"signal {-exit_status}")
    hint = _CAUSES.get(-exit_status, "")
    return f"was ended by {name}{hint}"


_SIGNALS = {2: "SIGINT", 4: "SIGILL", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"}
_CAUSES = {
    4: " (does this processor lack instructions that the program needs?)",
    9: " (somebody killed it, or the system ran out of memory: see the kernel's log)",
}


def _quoted_log(log_file: Path, log_tail: str) -> str:
    if not log_tail:
        return f" It wrote nothing to {log_file}."
    return f" The end of {log_file}:\n" + "\n".join(f"  | {line}" for line in log_tail.splitlines())
