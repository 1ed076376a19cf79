"""Who asks: user and password from headers, Basic authentication or the URL. Pure.

Two users: `default`, who may do everything inside the data directory, and `reader`. A user without a password is
open to every program of this machine, also to a web page in its browser, which can send requests to loopback
addresses; so those requests are refused that a browser sends for somebody else's page.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

from tokentide.embedded.clickhouse.errors import Code, ServerError
from tokentide.embedded.clickhouse.guard import Access
from tokentide.embedded.clickhouse.options import ServerOptions
from tokentide.foreign_pages import host_name, is_for_another_page, is_local_name

FULL_USER: Final = "default"
READ_ONLY_USER: Final = "reader"
REALM: Final = 'Basic realm="ClickHouse server HTTP API"'


class Credentials(NamedTuple):
    """What a request says about itself."""

    user: str
    password: str
    given: bool
    """Whether it says anything at all."""


def credentials(headers: Mapping[str, str], params: Mapping[str, str]) -> Credentials:
    """User and password of a request, from the one place that has them.

    Raises:
        ServerError: from two places at once, or unreadable.
    """
    user, key = headers.get("X-ClickHouse-User", ""), headers.get("X-ClickHouse-Key", "")
    in_headers = bool(user or key)
    authorization = headers.get("Authorization", "")
    in_params = "user" in params or "password" in params
    if in_headers + bool(authorization) + in_params > 1:
        raise ServerError(
            Code.AUTHENTICATION_FAILED,
            "Invalid authentication: it is not allowed to use several ways at once: the Authorization header, "
            "X-ClickHouse headers, and URL parameters",
        )
    if in_headers:
        return Credentials(user or FULL_USER, key, given=True)
    if authorization:
        return _basic(authorization)
    if in_params:
        return Credentials(params.get("user", FULL_USER), params.get("password", ""), given=True)
    return Credentials(FULL_USER, "", given=False)


def authenticate(found: Credentials, options: ServerOptions) -> Access:
    """What the user may do; FULL or READER.

    Raises:
        ServerError: unknown user or wrong password, which are told apart for nobody.
    """
    passwords = {FULL_USER: options.password}
    if options.reader_enabled:
        passwords[READ_ONLY_USER] = options.reader_password
    expected = passwords.get(found.user)
    # Compared also for unknown users, so that the time taken tells nothing.
    matches = hmac.compare_digest(found.password.encode(), (expected or "").encode())
    if expected is None or not matches:
        if not found.given:
            raise ServerError(Code.REQUIRED_PASSWORD, "Authentication failed: password is required")
        raise ServerError(
            Code.AUTHENTICATION_FAILED,
            f"{found.user}: Authentication failed: password is incorrect, or there is no user with such name",
        )
    return Access.READER if found.user == READ_ONLY_USER else Access.FULL


def refuse_foreign_page(headers: Mapping[str, str], found: Credentials) -> None:
    """Refuse what a browser sends for another site's page, when no password protects the user.

    Checked are the browser's own headers, and that `Host` is an address or `localhost`: a name could be one that
    the page's owner points to this machine (DNS rebinding).

    Raises:
        ServerError: the request comes from a page of another origin, or names another host.
    """
    if found.password:
        return
    host = headers.get("Host", "")
    if is_for_another_page(headers):
        raise ServerError(
            Code.ACCESS_DENIED,
            "Requests from web pages of other sites are refused: set a password to allow them",
        )
    if host and not is_local_name(host_name(host)):
        raise ServerError(
            Code.ACCESS_DENIED,
            f"Host {host} is neither an address nor localhost: use one of these, or set a password",
        )


def _basic(authorization: str) -> Credentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise ServerError(
            Code.AUTHENTICATION_FAILED,
            f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported",
        )
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ServerError(
            Code.AUTHENTICATION_FAILED, "Invalid authentication: the Authorization header cannot be read"
        ) from error
    return Credentials(user or FULL_USER, password, given=True)
