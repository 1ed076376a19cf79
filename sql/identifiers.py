"""The one place where a name goes into SQL text; values never do, they are parameters of the server."""

from __future__ import annotations

import re
from typing import Final

from tokentide.sql.errors import InvalidIdentifierError

_DATABASE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PLACEHOLDER: Final = "{database}"


def database_name(name: str) -> str:
    """Return the name, checked: letters, digits and underscores, at most 63, no digit first.

    Raises:
        InvalidIdentifierError: it is something else. ClickHouse would take more names, in quotes; these are the
            ones that need none anywhere.
    """
    if _DATABASE.fullmatch(name) is None:
        raise InvalidIdentifierError(
            f"the database name ({len(name)} characters) may hold letters, digits and underscores, at most 63, "
            "and not begin with a digit: change the last part of TOKENTIDE_CLICKHOUSE_URL"
        )
    return name


def render(text: str, database: str) -> str:
    """Put the checked database name into a file's text; `{name:Type}` of parametrised views stays as it is."""
    return text.replace(_PLACEHOLDER, database_name(database))
