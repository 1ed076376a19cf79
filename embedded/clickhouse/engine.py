"""The engine in this process: opening and closing it, connections, statements.

`chdb` allows one data directory a process and any number of connections to it. Measured with version 4.4: a
connection costs 0.1 ms and keeps settings, current database and temporary tables to itself; statements of several
connections run in parallel, without Python's lock. So every request gets a connection of its own.

Not used on purpose: `send_insert`, which answers "stored" to rows that a constraint, a timeout or KILL QUERY
rejected (version 26.9), and `send_query`, whose pieces of most formats do not make one document.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections.abc import Mapping
from enum import IntEnum
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self, cast

from tokentide.embedded.clickhouse.data_dir import DataDir
from tokentide.embedded.clickhouse.errors import (
    EngineError,
    EngineMissingError,
    EngineStartError,
    engine_error,
)

_OVERLAY: Final = "_local"
"""Name of the database that the engine makes of the whole file system; see `DataDir`."""


class StatementClass(IntEnum):
    """What a statement does, as the engine's parser sees it."""

    READ_ONLY = 0
    MUTATING = 1
    MUTATING_GLOBAL = 2
    CONTROL = 3
    """SET, USE, SYSTEM, KILL, BACKUP, temporary tables, and everything with INTO OUTFILE."""
    UNKNOWN = 4
    """It does not parse."""


class Outcome(NamedTuple):
    """What a statement gave; rows and bytes as ClickHouse counts them."""

    body: bytes
    result_rows: int
    result_bytes: int
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    elapsed_s: float


class _RawResult(Protocol):
    def bytes(self) -> bytes: ...
    def rows_read(self) -> int: ...
    def bytes_read(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...
    def elapsed(self) -> float: ...


class _RawClass(Protocol):
    name: str


class _RawConnection(Protocol):
    def query(self, sql: str | bytes, format: str, *, params: Mapping[str, str]) -> _RawResult: ...  # noqa: A002
    def classify_query(self, sql: str) -> Mapping[str, object]: ...
    def close(self) -> None: ...


class _RawModule(Protocol):
    def connect(self, connection_string: str) -> _RawConnection: ...


class Connection:
    """One session of the engine. One statement at a time; any thread may run it."""

    def __init__(self, raw: _RawConnection) -> None:
        self._raw = raw

    def run(
        self,
        sql: str | bytes,
        output_format: str = "TabSeparated",
        parameters: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run one statement and wait for it.

        Args:
            sql: the statement; with INTO OUTFILE the result goes there, and the outcome's body is empty.
            output_format: used where the statement names none.
            parameters: values of `{name:Type}`, in ClickHouse's escaped form.

        Raises:
            EngineError: as the engine says it.
        """
        try:
            result = self._raw.query(sql, output_format, params=parameters or {})
        except RuntimeError as error:
            raise engine_error(str(error)) from error
        return Outcome(
            body=result.bytes(),
            result_rows=result.rows_read(),
            result_bytes=result.bytes_read(),
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            elapsed_s=result.elapsed(),
        )

    def text(self, sql: str, parameters: Mapping[str, str] | None = None) -> str:
        """Run one statement; return its tab-separated result without the last newline."""
        return self.run(sql, parameters=parameters).body.decode(errors="replace").removesuffix("\n")

    def classify(self, sql: bytes) -> tuple[StatementClass, int]:
        """What the statements in a text do at most, and how many there are; nothing is run."""
        report = self._raw.classify_query(sql.decode(errors="replace"))
        kind = cast("_RawClass", report["query_class"])
        return StatementClass[kind.name], int(str(report["statement_count"]))

    def close(self) -> None:
        """End the session; waits for a statement that another thread runs on it."""
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Engine:
    """The open engine."""

    def __init__(self, module: _RawModule, path: str, anchor: Connection) -> None:
        self._module = module
        self._path = path
        self._anchor = anchor  # the engine closes with its last connection
        self._anchor_lock = threading.Lock()
        self.version = anchor.text("SELECT version()")
        self.timezone = anchor.text("SELECT timezone()")
        self.display_name = anchor.text("SELECT displayName()")
        formats = [
            line.split("\t")
            for line in anchor.text("SELECT name, content_type FROM system.formats").split("\n")
        ]
        self.content_types = {name: content_type for name, content_type in formats if content_type}
        self._formats = {name.lower(): name for name, _ in formats}

    @classmethod
    def start(cls, data_dir: DataDir, *, timezone: str) -> Engine:
        """Load the engine and open the data directory.

        Changes this process: its time zone, its working directory.

        Raises:
            EngineMissingError: `chdb` is not installed.
            EngineStartError: the engine does not open the directory.
        """
        os.environ["TZ"] = timezone
        # The engine takes a `config.xml` of the working directory for its own, already when it is imported.
        os.chdir(data_dir.config_file.parent.parent / "incoming")
        try:
            module = cast("_RawModule", importlib.import_module("chdb._chdb"))
        except ImportError as error:
            raise EngineMissingError(
                f"the ClickHouse engine is not installed ({error}): pip install 'tokentide[embedded]'"
            ) from error
        path = str(data_dir.engine)
        options = f"config-file={data_dir.config_file}&default_database={_OVERLAY}"
        try:
            anchor = Connection(module.connect(f"{path}?{options}"))
        except RuntimeError as error:
            raise EngineStartError(
                f"the engine does not open {path}: {error}. What it wrote to standard error says more; if the "
                "directory was written by a newer engine, or is damaged, start with another --data-dir"
            ) from error
        with contextlib.suppress(EngineError):
            anchor.run(f"DROP DATABASE {_OVERLAY}")
        return cls(module, path, anchor)

    def format_name(self, name: str) -> str:
        """A format's name as the engine writes it; it takes any case. Unknown names come back as they are."""
        return self._formats.get(name.lower(), name)

    def connect(self) -> Connection:
        """A new session, with the rights of user `default`."""
        return Connection(self._module.connect(self._path))

    def kill(self, query_id: str) -> None:
        """Cancel the statements that were started with this id; returns before they have ended."""
        with self._anchor_lock:
            self._anchor.run(
                "KILL QUERY WHERE Settings['log_comment'] = {id:String} ASYNC FORMAT Null",
                parameters={"id": escaped(query_id)},
            )

    def stop(self) -> None:
        """Close the data directory; no other connection may be open, or it stays open with them."""
        with self._anchor_lock:
            self._anchor.close()


def escaped(value: str) -> str:
    """A value as ClickHouse reads parameters: in the escaping of its tab-separated format."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def quoted(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
