"""The data directory: its lock, its layout, and what must be there before the engine opens it.

    DIR/lock       held with flock while a process serves; names that process
    DIR/engine/    the engine's own
    DIR/config/    its configuration, written at each start
    DIR/incoming/  request bodies while they arrive; emptied at each start

Not here: any SQL.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tokentide.embedded.clickhouse.engine_config import config_xml, users_xml
from tokentide.embedded.clickhouse.errors import DataDirUnavailableError

_UNUSABLE: Final = "?&%#"
"""The engine takes its path as part of a connection string, and does not decode it."""


@dataclass(frozen=True, slots=True)
class DataDir:
    """A data directory that this process holds."""

    root: Path
    _lock_fd: int

    @classmethod
    def acquire(cls, root: Path) -> Self:
        """Make the directory if needed and take its lock.

        Raises:
            DataDirUnavailableError: another process holds it, or it cannot be written.
        """
        root = root.absolute()
        if any(character in str(root) for character in _UNUSABLE):
            raise DataDirUnavailableError(
                f"the data directory {root} has one of {' '.join(_UNUSABLE)} in its path, which the engine cannot "
                "open: choose another with --data-dir"
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock_fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirUnavailableError(
                f"the data directory {root} cannot be used ({error.strerror}): choose another with --data-dir, "
                "or mend its permissions"
            ) from error
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(lock_fd, 100).decode(errors="replace").strip()
            os.close(lock_fd)
            raise DataDirUnavailableError(
                f"the data directory {root} is used by another process ({holder or 'unknown'}): "
                "stop that one, or choose another directory with --data-dir"
            ) from error
        os.ftruncate(lock_fd, 0)
        os.write(lock_fd, f"process {os.getpid()}\n".encode())
        return cls(root, lock_fd)

    @property
    def engine(self) -> Path:
        """Where the engine keeps its data."""
        return self.root / "engine"

    @property
    def incoming(self) -> Path:
        """Where request bodies wait."""
        return self.root / "incoming"

    @property
    def config_file(self) -> Path:
        """The engine's main configuration."""
        return self.root / "config" / "config.xml"

    def prepare(self, *, max_memory_bytes: int) -> None:
        """Write the configuration, empty `incoming`, and see that database `default` is an ordinary one.

        Raises:
            DataDirUnavailableError: it cannot be written.
        """
        try:
            self._write_config(max_memory_bytes)
            shutil.rmtree(self.incoming, ignore_errors=True)
            self.incoming.mkdir(mode=0o700)
            self._prepare_default_database()
        except OSError as error:
            raise DataDirUnavailableError(
                f"the data directory {self.root} cannot be written ({error.strerror}): "
                "mend its permissions or free some space"
            ) from error

    def release(self) -> None:
        """Give the lock back; the engine must have closed the directory."""
        with contextlib.suppress(OSError):
            os.close(self._lock_fd)

    def _write_config(self, max_memory_bytes: int) -> None:
        folder = self.config_file.parent
        folder.mkdir(exist_ok=True)
        users_file = folder / "users.xml"
        users_file.write_text(users_xml(), encoding="utf-8")
        self.config_file.write_text(
            config_xml(users_file=str(users_file), max_memory_bytes=max_memory_bytes), encoding="utf-8"
        )

    def _prepare_default_database(self) -> None:
        """Declare `default` as an Atomic database, as on a server.

        Left alone, the engine makes it an overlay of a database and the file system, in which every file of the
        machine is a table. The overlay gets another name in the connection string and is dropped after the start
        (`engine.py`). It takes the identity that the link `metadata/default` names, which is the one of our
        database then, and the engine dies of that; it makes the link anew, so we remove it.
        """
        metadata = self.engine / "metadata"
        metadata.mkdir(parents=True, exist_ok=True)
        declaration = metadata / "default.sql"
        if not declaration.exists():
            partial = metadata / "default.sql.partial"
            partial.write_text(
                f"ATTACH DATABASE _ UUID '{uuid.uuid4()}'\nENGINE = Atomic\n", encoding="utf-8"
            )
            partial.replace(declaration)
        link = metadata / "default"
        if link.is_symlink():
            link.unlink()
