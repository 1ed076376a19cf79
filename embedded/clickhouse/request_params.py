"""What a request asks for: its URL parameters and headers as one frozen value. Pure; nothing is read or run.

Every URL parameter that is not listed here is a setting of the engine, as in `src/Server/HTTPHandler.cpp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tokentide.embedded.clickhouse.errors import Code, ServerError

_OWN: Final = frozenset(
    {
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "quota_key",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "compress",
        "decompress",
        "stacktrace",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "role",
    }
)
_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_EXTERNAL: Final = re.compile(r"(?P<table>\w+)_(?P<part>format|types|structure)")
EXTERNAL_NAME: Final = re.compile(r"[A-Za-z_]\w{0,127}", re.ASCII)
"""What a table that comes with a request may be called."""
DEFAULT_SESSION_TIMEOUT_S: Final = 60
MAX_SESSION_TIMEOUT_S: Final = 3600
DEFAULT_BUFFER_BYTES: Final = 1 << 20
"""Held back before the status is sent, so that an early error gets a status of its own; ClickHouse's buffer."""
MAX_BUFFER_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """A session that the request belongs to."""

    id: str
    timeout_s: int
    must_exist: bool
    close: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTable:
    """A table that the request brings along: how its part of the form is to be read."""

    format: str = "TabSeparated"
    structure: str = ""
    types: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestParams:
    """What the URL and the headers ask for, except who asks.

    Attributes:
        query: the statement in the URL; the body follows it after a line break.
        parameters: values of `{name:Type}`.
        settings: of the engine, for this statement.
        external: by table name; only requests with a form have them.
        protocol_version: of the native protocol; 0: the client speaks none.
        buffer_bytes: how much of the result is held back before it is sent.
        wait_end: hold back the whole result, on disk if need be.
    """

    query: str = ""
    query_id: str = ""
    database: str = ""
    default_format: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    external: Mapping[str, ExternalTable] = field(default_factory=dict)
    session: SessionRequest | None = None
    block_compression: bool = False
    block_decompression: bool = False
    protocol_version: int = 0
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    wait_end: bool = False

    def setting_is_on(self, name: str) -> bool:
        """Whether a boolean setting is given and true."""
        return is_true(self.settings.get(name, ""))


def parse_params(
    pairs: Iterable[tuple[str, str]], headers: Mapping[str, str], *, has_form: bool = False
) -> RequestParams:
    """Read URL parameters and headers.

    Args:
        pairs: decoded; of a name given twice the last one counts.
        headers: case-insensitive.
        has_form: the body is a multipart form, so `…_format`, `…_types`, `…_structure` describe its parts.

    Raises:
        ServerError: a value is not of its type, or a name cannot be a setting's.
    """
    given = dict(pairs)
    parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
    external = _external_tables(given) if has_form else {}
    settings = {
        name: value
        for name, value in given.items()
        if name not in _OWN and not name.startswith("param_") and not (has_form and _EXTERNAL.fullmatch(name))
    }
    for name in settings:
        if not _SETTING_NAME.fullmatch(name):
            raise ServerError(Code.UNKNOWN_SETTING, f"Unknown setting {name!r}")
    if given.get("role"):
        raise ServerError(
            Code.SET_NON_GRANTED_ROLE,
            f"Role {given['role']} is not granted: the embedded server has no roles",
        )
    return RequestParams(
        query=given.get("query", ""),
        query_id=given.get("query_id", ""),
        database=given.get("database", "") or headers.get("X-ClickHouse-Database", ""),
        default_format=given.get("default_format", "") or headers.get("X-ClickHouse-Format", ""),
        parameters=parameters,
        settings=settings,
        external=external,
        session=_session(given),
        block_compression=is_true(given.get("compress", "")),
        block_decompression=is_true(given.get("decompress", "")),
        protocol_version=_integer(given, "client_protocol_version", 0),
        buffer_bytes=min(_integer(given, "buffer_size", DEFAULT_BUFFER_BYTES), MAX_BUFFER_BYTES),
        wait_end=is_true(given.get("wait_end_of_query", "")),
    )


def is_true(value: str) -> bool:
    """Whether a boolean is true, as ClickHouse reads them."""
    return value.lower() in {"1", "true"}


def _integer(given: Mapping[str, str], name: str, default: int) -> int:
    value = given.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdigit()):
        raise ServerError(Code.CANNOT_PARSE_NUMBER, f"Cannot parse number: {name} is {value!r}")
    return int(value)


def _session(given: Mapping[str, str]) -> SessionRequest | None:
    if "session_id" not in given or not given["session_id"]:
        return None
    value = given.get("session_timeout", str(DEFAULT_SESSION_TIMEOUT_S))
    if not (value.isascii() and value.isdigit()):
        raise ServerError(Code.INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{value}'")
    if int(value) > MAX_SESSION_TIMEOUT_S:
        raise ServerError(
            Code.INVALID_SESSION_TIMEOUT,
            f"Session timeout '{value}' is larger than max_session_timeout: {MAX_SESSION_TIMEOUT_S}",
        )
    return SessionRequest(
        id=given["session_id"],
        timeout_s=int(value),
        must_exist=is_true(given.get("session_check", "")),
        close=is_true(given.get("close_session", "")),
    )


def _external_tables(given: Mapping[str, str]) -> dict[str, ExternalTable]:
    parts: dict[str, dict[str, str]] = {}
    for name, value in given.items():
        if name not in _OWN and (match := _EXTERNAL.fullmatch(name)):
            parts.setdefault(match["table"], {})[match["part"]] = value
    return {table: ExternalTable(**described) for table, described in parts.items()}
