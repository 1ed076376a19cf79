"""HTTP sessions: connections of the engine that outlive a request, with their temporary tables and SET values.

Settings of a request's URL hold for that request only, also inside a session. An engine connection knows no such
difference, so `EngineSession` puts back what a request changed before the next one differs. clickhouse-connect
sends the same settings with every request of a session, for which nothing is to be done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tokentide.embedded.clickhouse.engine import Connection, Engine, quoted
from tokentide.embedded.clickhouse.errors import Code, ServerError
from tokentide.embedded.clickhouse.request_params import SessionRequest
from tokentide.embedded.clickhouse.request_settings import set_statement

MAX_SESSIONS: Final = 1000
"""Kept at once; the one that was idle longest makes room."""
DEFAULT_DATABASE: Final = "default"


@dataclass(slots=True)
class EngineSession:
    """A connection, and what this server has changed on it. Used by one thread at a time."""

    connection: Connection
    is_kept: bool
    """Whether it serves more than one request, so that changes must be put back."""
    database: str = DEFAULT_DATABASE
    """What USE chose; a request's own database does not change it."""
    _current: str = DEFAULT_DATABASE
    _applied: dict[str, str] = field(default_factory=dict)
    """Values that are set now on behalf of a request."""
    _before: dict[str, str | None] = field(default_factory=dict)
    """What those had before; None: the default."""

    def enter(self, settings: Mapping[str, str], database: str) -> None:
        """Bring settings and database to what a request asks for.

        Raises:
            EngineError: a setting or the database does not exist.
        """
        if any(name not in settings for name in self._applied):
            self.restore()
        changed = {name: value for name, value in settings.items() if self._applied.get(name) != value}
        if changed:
            if self.is_kept:
                self._remember([name for name in changed if name not in self._before])
            self.connection.run(set_statement(changed))
            self._applied.update(changed)
        self._use(database or self.database)

    def restore(self) -> None:
        """Put back what requests changed, so that a SET of the session's own meets the true values."""
        for name in self._applied:
            before = self._before[name]
            self.connection.run(f"SET {name} = {'DEFAULT' if before is None else quoted(before)}")
        self._applied.clear()
        self._before.clear()

    def left_by_use(self) -> None:
        """Remember the database that a USE statement chose."""
        self.database = self._current = self.connection.text("SELECT currentDatabase()")

    def _use(self, database: str) -> None:
        if database != self._current:
            self.connection.run("USE {db:Identifier}", parameters={"db": database})
            self._current = database

    def _remember(self, names: list[str]) -> None:
        if not names:
            return
        listed = "[" + ", ".join(quoted(name) for name in names) + "]"
        rows = self.connection.run(
            "SELECT name, value, changed FROM system.settings WHERE has({names:Array(String)}, name)",
            "JSONCompactEachRow",
            {"names": listed},
        )
        for line in rows.body.splitlines():
            name, value, changed = json.loads(line)
            self._before[str(name)] = str(value) if int(changed) else None


@dataclass(slots=True)
class _Entry:
    session: EngineSession
    timeout_s: int
    is_busy: bool = True
    expiry: asyncio.TimerHandle | None = None


class Sessions:
    """All sessions, by user and id. Lives in the event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._entries: dict[tuple[str, str], _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def enter(self, user: str, request: SessionRequest) -> EngineSession:
        """The session of a request, for it alone until `leave`.

        Raises:
            ServerError: it is used by another request, or does not exist though it must.
        """
        key = (user, request.id)
        entry = self._entries.get(key)
        if entry is None:
            if request.must_exist:
                raise ServerError(Code.SESSION_NOT_FOUND, f"Session {request.id} not found")
            self._make_room()
            entry = self._entries[key] = _Entry(
                EngineSession(self._engine.connect(), is_kept=True), request.timeout_s
            )
            return entry.session
        if entry.is_busy:
            raise ServerError(
                Code.SESSION_IS_LOCKED, f"Session {request.id} is locked by a concurrent client"
            )
        if entry.expiry:
            entry.expiry.cancel()
        entry.is_busy, entry.timeout_s = True, request.timeout_s
        return entry.session

    def leave(self, user: str, request: SessionRequest) -> None:
        """Give a session back; it ends after its time-out, or at once if the request wants that."""
        key = (user, request.id)
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        if request.close:
            entry.session.connection.close()
            return
        self._entries[key] = entry  # the last one in order is the one used last
        entry.is_busy = False
        entry.expiry = asyncio.get_running_loop().call_later(entry.timeout_s, self._expire, key)

    def close(self) -> None:
        """End all sessions; none may be in use."""
        for key in list(self._entries):
            self._expire(key)

    def _expire(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        if entry.expiry:
            entry.expiry.cancel()
        entry.session.connection.close()

    def _make_room(self) -> None:
        if len(self._entries) < MAX_SESSIONS:
            return
        oldest = next((key for key, entry in self._entries.items() if not entry.is_busy), None)
        if oldest is not None:
            self._expire(oldest)
