"""Whether a request was sent by a browser for another site's page. Pure; for servers that answer without a login.

A page of any site can have its visitor's browser send requests to loopback and inner addresses. The browser says so in `Origin` and
`Sec-Fetch-Site`; and where the page's owner points a name of theirs to such an address (DNS rebinding), in `Host`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

_HOST: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s\[\]:@/?#\\]+))(?::\d*)?")
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")


def is_for_another_page(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that a page of another origin asks."""
    if headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}:
        return True
    origin = headers.get("Origin", "")
    found = _ORIGIN.fullmatch(origin)
    return origin != "" and (found is None or found[1].lower() != headers.get("Host", "").lower())


def host_name(host: str) -> str:
    """The name or address in a `Host` header, in small letters, without port, brackets and last dot; empty if it is none."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower().rstrip(".") if found else ""


def is_local_name(name: str) -> bool:
    """Whether `host_name` is an address or `localhost`, which nobody can point elsewhere."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
