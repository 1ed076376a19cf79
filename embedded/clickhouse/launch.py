"""How a supervisor starts the embedded ClickHouse server, and reads what it says at the start.

Imports the standard library only: neither the engine nor the HTTP server are loaded before the process serves.

On standard output the process writes exactly one line of JSON: when it serves, or when it cannot.

    {"event": "ready", "service": "clickhouse", "url": "http://127.0.0.1:8123", "host": "127.0.0.1",
     "port": 8123, "pid": 4711, "version": "26.9.2.1", "data_dir": "/…"}
    {"event": "failed", "service": "clickhouse", "reason": "port_unavailable", "message": "…"}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, cast

MODULE: Final = "tokentide.embedded.clickhouse"
SERVICE: Final = "clickhouse"


class ExitCode(IntEnum):
    """What the process ends with."""

    STOPPED = 0
    """It was asked to end, or its parent is gone."""
    ENGINE_FAILED = 1
    """The engine does not start on this data directory."""
    USAGE = 2
    """The arguments are wrong, or not safe: no password on a public address."""
    PORT_UNAVAILABLE = 3
    DATA_DIR_UNAVAILABLE = 4
    """Used by another process, or not writable."""
    ENGINE_MISSING = 5
    """`chdb` is not installed."""
    UNCLEAN = 6
    """Statements were still running when the grace time passed; stored data is safe, they are lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The server answers requests.

    Attributes:
        url: address for clients, without user and password.
        port: where it listens; the chosen one if 0 was asked for.
        pid: its process.
        version: of the engine, such as `26.9.2.1`.
        data_dir: absolute path.
    """

    url: str
    host: str
    port: int
    pid: int
    version: str
    data_dir: str

    def line(self) -> str:
        """The line as written to standard output, with its newline."""
        return _line({"event": "ready", "service": SERVICE, **asdict(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailure:
    """The server cannot start.

    Attributes:
        reason: one word for programs: `port_unavailable`, `data_dir_unavailable`, `engine_missing`,
            `engine_failed`, `usage`.
        message: for people, with the remedy.
    """

    reason: str
    message: str

    def line(self) -> str:
        """The line as written to standard output, with its newline."""
        return _line({"event": "failed", "service": SERVICE, **asdict(self)})


def parse_start_line(line: str) -> Ready | StartFailure | None:
    """Read what the process wrote; None for a line that is not of it."""
    try:
        value: object = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or value.get("service") != SERVICE:
        return None
    fields = cast("dict[str, object]", value)
    if fields.get("event") == "ready":
        return Ready(
            url=str(fields["url"]),
            host=str(fields["host"]),
            port=int(str(fields["port"])),
            pid=int(str(fields["pid"])),
            version=str(fields["version"]),
            data_dir=str(fields["data_dir"]),
        )
    if fields.get("event") == "failed":
        return StartFailure(reason=str(fields["reason"]), message=str(fields["message"]))
    return None


def command(
    *,
    data_dir: Path,
    port: int,
    host: str = "127.0.0.1",
    parent_pid: int | None = None,
    password_file: Path | None = None,
    reader_password_file: Path | None = None,
    max_memory_mb: int | None = None,
    extra: Sequence[str] = (),
    python: str = sys.executable,
) -> list[str]:
    """The arguments that start the server as a process of its own.

    Args:
        data_dir: its own directory; made if it is missing.
        port: 0 lets the system choose; the ready line tells.
        host: anything but a loopback address needs `password_file`.
        parent_pid: the process whose end is to end the server too, SIGKILL included.
        password_file: first line: the password of user `default`; without it, none.
        reader_password_file: the same for the read-only user `reader`.
        max_memory_mb: of the engine, in MiB; None leaves the default, half of the machine's memory.
        extra: further options, see `python -m tokentide.embedded.clickhouse --help`.
        python: the interpreter.
    """
    argv = [python, "-m", MODULE, "--data-dir", str(data_dir), "--port", str(port), "--host", host]
    options: list[tuple[str, object | None]] = [
        ("--parent-pid", parent_pid),
        ("--password-file", password_file),
        ("--reader-password-file", reader_password_file),
        ("--max-memory-mb", max_memory_mb),
    ]
    for name, value in options:
        if value is not None:
            argv += [name, str(value)]
    return [*argv, *extra]


def _line(fields: dict[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"
