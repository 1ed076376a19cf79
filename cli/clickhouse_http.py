"""ClickHouse over its HTTP interface with the standard library: what `query`, `doctor` and `wait` need.

Reads only; rows are written by `tokentide.sinks`. Works in the base install. Results are streamed, so
their size does not matter. Name and password travel in headers, never in the URL, which servers log.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode

from tokentide import __version__
from tokentide.cli.exits import CliError, ForbiddenError, RefusedError, UnknownTableError, UnreachableError
from tokentide.cli.terminal import clipped
from tokentide.config import ClickHouseSettings, ClickHouseUrl

CHUNK_BYTES: Final = 65_536
_CODE: Final = re.compile(r"Code: (\d+)\.")
_LATE_ERROR: Final = re.compile(rb"(?:__exception__|Code: \d+\. DB::Exception: )")
_TAIL_BYTES: Final = 16_384
"""How far from the end an error text of a broken-off result is looked for; ClickHouse writes less."""

EXPECTED_CHARACTERS: Final = 200
"""How much of the list of what a syntax error expected is shown."""

UNKNOWN_TABLE: Final = frozenset({60, 81})
SYNTAX_ERROR: Final = 62
READONLY: Final = 164
ACCESS_DENIED: Final = 497
HINTS: Final[Mapping[int, str]] = {
    36: "A value or parameter does not fit; parameters are written {name:Type} and given as --param name=value.",
    46: "`SELECT name FROM system.functions` lists the functions.",
    47: "`DESCRIBE TABLE events` and `DESCRIBE TABLE windows` list the columns.",
    62: "A syntax error; the position is named above.",  # where it is: see `_hint`
    73: "Formats: JSONEachRow, TabSeparatedWithNames, CSVWithNames, PrettyCompact, Parquet, …",
    159: "The query took longer than allowed; narrow the time, or raise clickhouse.request_timeout_seconds.",
    164: "Queries are read-only here; use clickhouse-client to change data.",
    184: "An alias has the name of a column inside an aggregate: write sum(calls) AS total_calls, not AS calls.",
    241: "The query needs more memory than allowed; narrow the time or group by less.",
    394: "The query was ended by somebody.",
    456: "Give each {name:Type} of the query a value: --param name=value.",
    457: "A --param value does not fit its type in {name:Type}.",
    497: "The user of clickhouse.url lacks a right; ask who runs ClickHouse to grant it.",
    516: "User or password of clickhouse.url are wrong.",
}


class ClickHouseHttp:
    """One ClickHouse, asked over HTTP; each query is a connection of its own."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings

    @property
    def url(self) -> ClickHouseUrl:
        """The address; prints masked."""
        return self._settings.url

    def stream(
        self,
        sql: str,
        *,
        output_format: str | None = None,
        parameters: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        database: str | None = None,
    ) -> Iterator[bytes]:
        """Yield the result in pieces, as it arrives.

        Args:
            sql: one statement; it may name a format itself.
            output_format: used where the statement names none.
            parameters: values of `{name:Type}` in the statement.
            options: settings of ClickHouse for this query.
            database: instead of the one of the URL.

        Raises:
            UnreachableError: no answer, or the connection broke.
            UnknownTableError: no such database or table.
            RefusedError: ClickHouse refused the query, or gave up in the middle of the result.
        """
        arguments = {
            "database": self.url.database if database is None else database,
            **({"default_format": output_format} if output_format else {}),
            **{f"param_{name}": _escaped(value) for name, value in (parameters or {}).items()},
            **(options or {}),
        }
        connection = self._connect()
        try:
            response = self._send(connection, sql, arguments)
            yield from self._body(response)
        finally:
            connection.close()

    def read_only(
        self,
        sql: str,
        *,
        output_format: str,
        parameters: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:
        """Like `stream`, and ClickHouse is told to change nothing.

        A user who is read-only already may not even say so; the query is then sent without options.
        """
        try:
            wanted = {**(options or {}), "readonly": "1"}
            yield from self.stream(sql, output_format=output_format, parameters=parameters, options=wanted)
        except RefusedError as error:
            if READONLY_REFUSED not in error.message:
                raise
            yield from self.stream(sql, output_format=output_format, parameters=parameters)

    def rows(
        self, sql: str, *, parameters: Mapping[str, str] | None = None, database: str | None = None
    ) -> list[dict[str, object]]:
        """The result as a list of rows; for small ones. Wide integers come as text.

        Raises:
            UnreachableError, UnknownTableError, RefusedError: as `stream`.
        """
        body = b"".join(
            self.stream(sql, output_format="JSONEachRow", parameters=parameters, database=database)
        )
        return [json.loads(line) for line in body.splitlines() if line]

    def value(self, sql: str, *, database: str | None = None) -> object:
        """The first column of the first row; None where there is no row."""
        rows = self.rows(sql, database=database)
        return next(iter(rows[0].values())) if rows else None

    def ping(self) -> None:
        """Ask whether anybody is there; needs no user.

        Raises:
            UnreachableError: no ClickHouse answers at this address.
        """
        connection = self._connect()
        try:
            connection.request("GET", "/ping")
            response = connection.getresponse()
            if response.status != http.client.OK or not response.read(64).startswith(b"Ok"):
                raise self._unreachable("something answers there, but it is not ClickHouse's HTTP interface")
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(_reason(error)) from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        timeout_s = self._settings.connect_timeout_seconds
        if not self.url.is_secure:
            return http.client.HTTPConnection(self.url.host, self.url.port, timeout=timeout_s)
        try:
            context = ssl.create_default_context(cafile=self._settings.tls_ca_file)
        except OSError as error:
            raise CliError(f"clickhouse.tls_ca_file cannot be used: {_reason(error)}") from error
        return http.client.HTTPSConnection(self.url.host, self.url.port, timeout=timeout_s, context=context)

    def _send(
        self, connection: http.client.HTTPConnection, sql: str, arguments: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        headers = {
            "X-ClickHouse-User": self.url.user,
            "User-Agent": f"tokentide/{__version__}",
            "Content-Type": "text/plain; charset=utf-8",
        }
        if password := self.url.password.get_secret_value():
            headers["X-ClickHouse-Key"] = password
        try:
            connection.connect()
            connection.sock.settimeout(self._settings.request_timeout_seconds)
            connection.request("POST", f"/?{urlencode(arguments)}", sql.encode(), headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise _refused(response.read(CHUNK_BYTES).decode(errors="replace"), response)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(_reason(error)) from error
        return response

    def _body(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """The body; an error that ClickHouse wrote into it after it had begun ends it."""
        marker = _marker(response)
        tail = held = b""
        try:
            while piece := response.read1(CHUNK_BYTES):
                tail = (tail + piece)[-_TAIL_BYTES:]
                held += piece
                if marker and marker in held:
                    yield held.partition(marker)[0]
                    raise self._broken_off(tail + response.read())
                # The marker may be cut in two by the pieces: as much as may be its beginning is held back.
                keep = len(marker) - 1 if marker else 0
                yield held[: len(held) - keep]
                held = held[len(held) - keep :] if keep else b""
        except http.client.IncompleteRead as error:
            tail = (tail + error.partial)[-_TAIL_BYTES:]
            raise self._broken_off(tail) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._broken_off(tail, _reason(error)) from error
        yield held

    def _broken_off(self, tail: bytes, reason: str = "the connection was closed") -> CliError:
        match = _LATE_ERROR.search(tail)
        if match is None:
            return self._unreachable(f"{reason} in the middle of the result")
        error = _refused(tail[match.start() :].decode(errors="replace"), None)
        error.message = f"the result is incomplete: {error.message}"
        return error

    def _unreachable(self, reason: str) -> UnreachableError:
        return UnreachableError(
            f"ClickHouse at {self.url} cannot be used: {reason}",
            hint="Check the address in TOKENTIDE_CLICKHOUSE_URL (the HTTP port, 8123 by default).",
        )


READONLY_REFUSED: Final = f"(code {READONLY}) Cannot modify"


def _marker(response: http.client.HTTPResponse) -> bytes:
    """What stands before an error that a newer server writes into a result; empty for older ones."""
    tag = response.headers.get("X-ClickHouse-Exception-Tag")
    return f"\r\n__exception__\r\n{tag}\r\n".encode() if tag else b""


def _escaped(value: str) -> str:
    """A parameter's value as ClickHouse reads it: in its tab-separated form."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def _refused(body: str, response: http.client.HTTPResponse | None) -> RefusedError:
    header = response.headers.get("X-ClickHouse-Exception-Code") if response else None
    found = _CODE.search(body)
    code = int(header or (found[1] if found else 0))
    text = _message(body) or (f"HTTP {response.status} {response.reason}" if response else "unknown error")
    if code in UNKNOWN_TABLE:
        return UnknownTableError(
            f"ClickHouse (code {code}) {text}",
            hint="Tables: events, windows, and those of `SHOW TABLES`. "
            "`tokentide init` creates them where they are missing.",
        )
    kind = ForbiddenError if code == ACCESS_DENIED else RefusedError
    return kind(f"ClickHouse (code {code}) {text}", hint=_hint(code, text))


def _hint(code: int, text: str) -> str:
    if code == SYNTAX_ERROR and "at position" not in text:
        return ""  # the message says all
    return HINTS.get(code, "")


def _message(body: str) -> str:
    """The sentence of an exception, without its frame of code and version."""
    text = re.sub(r"^.*?DB::Exception: ", "", body.strip(), count=1, flags=re.DOTALL)
    text = re.sub(r"\s*\(version \d.*$", "", text, flags=re.DOTALL)
    return _without_grammar(text.strip())


def _without_grammar(text: str) -> str:
    """A syntax error without the list of all that could stand at its place, which may have 3,000 characters."""
    said, expected, rest = text.partition(" Expected one of: ")
    if not expected:
        return text
    if "Maybe you meant:" in said:
        return said
    return f"{said}{expected}{clipped(rest, EXPECTED_CHARACTERS)}"


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); see clickhouse.tls_ca_file"
    if isinstance(error, ssl.SSLError):
        return f"no TLS there ({error.reason or 'handshake failed'}); is it http instead of https?"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer (https instead of http?)"
    return type(error).__name__


class ServerVersion(NamedTuple):
    """Version of a ClickHouse, comparable."""

    major: int
    minor: int
    text: str


def server_version(clickhouse: ClickHouseHttp) -> ServerVersion:
    """Ask for the server's version.

    Raises:
        UnreachableError, RefusedError: as `ClickHouseHttp.stream`.
    """
    text = str(clickhouse.value("SELECT version() AS v", database=""))
    major, minor, *_ = (*(int(part) for part in re.findall(r"\d+", text)[:2]), 0, 0)
    return ServerVersion(major, minor, text)
