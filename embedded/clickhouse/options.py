"""What the server is started with: a frozen value, checked once."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tokentide.embedded.clickhouse.share import concurrent_readers, reader_nice, reading_threads

MEBIBYTE: Final = 1 << 20


class UsageError(ValueError):
    """The options are wrong or not safe; the message says which, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLimits:
    """What one statement of the read-only user may use; requests may ask for less, never for more."""

    max_execution_s: float = 60.0
    max_memory_bytes: int = 2048 * MEBIBYTE
    max_result_rows: int = 1_000_000
    max_result_bytes: int = 1024 * MEBIBYTE
    max_threads: int = field(default_factory=reading_threads)
    nice: int = field(default_factory=reader_nice)
    """Priority of its threads, as the system counts: 0 is that of all others, 19 the lowest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Everything that decides how the server runs.

    Attributes:
        port: 0 lets the system choose.
        password, reader_password: empty means that none is asked.
        parent_pid: the process whose end ends this one.
        max_memory_bytes: of the engine, over all statements; 0: half of the machine's memory.
        max_concurrent_queries: statements that run at once; more wait `queue_wait_s`, then are refused.
        max_concurrent_readers: of these, statements of the read-only user.
        reading_threads: of a statement of the full user that reads, unless its request says otherwise.
        max_body_bytes: of one request's data after decompression; it is kept on disk while it arrives.
        receive_timeout_s, send_timeout_s: how long a client may stay silent while it sends or reads.
        shutdown_grace_s: time for running statements after SIGTERM.
        timezone: of the engine, a name of the tz database.
    """

    data_dir: Path
    port: int
    host: str = "127.0.0.1"
    password: str = field(default="", repr=False)
    reader_password: str = field(default="", repr=False)
    parent_pid: int | None = None
    max_memory_bytes: int = 0
    max_concurrent_queries: int = 64
    max_concurrent_readers: int = field(default_factory=concurrent_readers)
    reading_threads: int = field(default_factory=reading_threads)
    queue_wait_s: float = 5.0
    max_body_bytes: int = 10_240 * MEBIBYTE
    receive_timeout_s: float = 60.0
    send_timeout_s: float = 300.0
    shutdown_grace_s: float = 10.0
    timezone: str = "UTC"
    reader: ReaderLimits = field(default_factory=ReaderLimits)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def reader_enabled(self) -> bool:
        """Whether the read-only user exists: always on loopback, elsewhere with a password of its own."""
        return self.is_loopback or bool(self.reader_password)

    def checked(self) -> ServerOptions:
        """These options, if they may be served with.

        Raises:
            UsageError: no password although other machines can reach the address, or a value out of range.
        """
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port {self.port} is not a port: use 0 to 65535")
        if not self.is_loopback and not self.password:
            raise UsageError(
                f"--host {self.host} can be reached from other machines, so a password is required: "
                "write one into a file that only you can read and name it with --password-file, "
                "or use --host 127.0.0.1"
            )
        if self.max_concurrent_queries < 1 or self.max_concurrent_readers < 1:
            raise UsageError("--max-concurrent-queries and --reader-max-concurrent must be at least 1")
        if self.reader.max_threads < 1:
            raise UsageError("--reader-max-threads must be at least 1")
        return self


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine only; names other than `localhost` count as reachable."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_password(file: Path, option: str) -> str:
    """The first line of a password file.

    Raises:
        UsageError: it cannot be read, is empty, or others may read it.
    """
    try:
        mode = file.stat().st_mode
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{option} {file} cannot be read: {error}") from error
    if mode & 0o077 and os.name == "posix":
        raise UsageError(f"{option} {file} can be read by other users: run chmod 600 on it")
    if not lines or not lines[0]:
        raise UsageError(f"{option} {file} has an empty first line: write the password there")
    return lines[0]


def half_of_memory_bytes() -> int:
    """Half of the machine's memory; the engine's own default, nine tenths, leaves workers and broker too little."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError):  # a system that does not tell
        return 2048 * MEBIBYTE
