"""The address of ClickHouse, read from a URL, with its password kept apart.

Writes as a masked URL wherever it is printed; the password leaves it only through `password`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

DEFAULT_DATABASE: Final = "tokentide"
DEFAULT_USER: Final = "default"
DEFAULT_PORTS: Final = {"http": 8123, "https": 8443}
_FORM: Final = "http://user:password@host:8123/tokentide"


@dataclass(frozen=True, slots=True)
class ClickHouseUrl:
    """Scheme, host, port, user, password and database of one ClickHouse HTTP interface."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    user: str
    password: SecretStr
    database: str

    def __str__(self) -> str:
        return self._written("***")

    def __repr__(self) -> str:
        return f"ClickHouseUrl({self})"

    @property
    def is_secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme == "https"

    def revealed(self) -> str:
        """The URL with its password in clear, for a client's or a child process's eyes only."""
        return self._written(quote(self.password.get_secret_value(), safe=""))

    def _written(self, password: str) -> str:
        has_password = bool(self.password.get_secret_value())
        login = quote(self.user, safe="") + (f":{password}" if has_password else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{login}@{host}:{self.port}/{quote(self.database, safe='')}"


def parse_clickhouse_url(url: str) -> ClickHouseUrl:
    """Read `http[s]://[user[:password]@]host[:port][/database]`.

    Raises:
        ValueError: with a text that says what is wrong and never repeats any part of the URL.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError(
            f"is no URL of the form {_FORM}; write the characters @ : / ? # % "
            "in user and password percent-encoded"
        ) from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"must begin with http:// or https:// (the HTTP interface), as in {_FORM}")
    if not parts.hostname:
        raise ValueError(f"names no host; the form is {_FORM}")
    if parts.query or parts.fragment:
        raise ValueError("has something after the database; options are settings of their own")
    database = unquote(parts.path.strip("/"))
    if "/" in database:
        raise ValueError(f"has a path of more than the database; the form is {_FORM}")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return ClickHouseUrl(
        scheme=scheme,
        host=parts.hostname,
        port=port or DEFAULT_PORTS[scheme],
        user=unquote(parts.username or "") or DEFAULT_USER,
        password=SecretStr(unquote(parts.password or "")),
        database=database or DEFAULT_DATABASE,
    )
