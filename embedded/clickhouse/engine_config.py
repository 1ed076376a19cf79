"""The engine's configuration files: what it may use, and what a statement may reach.

`chdb` starts the engine as `clickhouse-local` does, whose single user `default` may read and write every file of
the machine, open connections and run programs. A server on a port must not hand that on, so the user gets the
rights of a server's user inside the data directory and nothing else: no sources (files, URLs, other servers), no
dictionaries (their sources can run a shell command), only table engines that keep their data here (`guard.py`
checks those too, because the engine asks for this right only before it opens a source). The engines that fetch by
themselves are also left out because `chdb` cannot run them: `CREATE TABLE … ENGINE = Kafka` fails and leaves a
data directory behind that never opens again.

Both files are written anew at each start; nothing in them is for people to edit.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

TABLE_ENGINES: Final = (
    *(
        f"{prefix}MergeTree"
        for prefix in (
            "",
            "Replacing",
            "Summing",
            "Aggregating",
            "Collapsing",
            "VersionedCollapsing",
            "Graphite",
            "Coalescing",
        )
    ),
    "Memory",
    "Log",
    "TinyLog",
    "StripeLog",
    "Null",
    "Set",
    "Join",
    "Buffer",
    "Merge",
    "View",
    "MaterializedView",
    "GenerateRandom",
    "Alias",
)
"""Table engines whose data is in the data directory or in memory."""

DATABASE_ENGINES: Final = ("Atomic", "Memory")

_STATEMENT_RIGHTS: Final = (
    "GRANT SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE FUNCTION, "
    "CREATE ARBITRARY TEMPORARY TABLE, CREATE TEMPORARY VIEW, DROP DATABASE, DROP TABLE, DROP VIEW, DROP FUNCTION, "
    "UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY, dictGet ON *.*"
)
# Not SYSTEM as a whole: SHUTDOWN and KILL signal the whole process group, the supervisor and its other children.
_SYSTEM_RIGHTS: Final = (
    "GRANT SYSTEM DROP CACHE, SYSTEM RELOAD, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM MOVES, SYSTEM CLEANUP, "
    "SYSTEM FLUSH, SYSTEM WAIT LOADING PARTS, SYSTEM LOAD PRIMARY KEY, SYSTEM UNLOAD PRIMARY KEY ON *.*"
)

RIGHTS: Final = (
    _STATEMENT_RIGHTS,
    _SYSTEM_RIGHTS,
    *(f"GRANT TABLE ENGINE ON {engine}" for engine in TABLE_ENGINES + DATABASE_ENGINES),
)

SERVER_LIKE_SETTINGS: Final = {
    # clickhouse-local's defaults are others: `1 + 1` as a statement, and functions that look into the process
    "implicit_select": "0",
    "allow_introspection_functions": "0",
}


def config_xml(*, users_file: str, max_memory_bytes: int) -> str:
    """The main configuration.

    Args:
        users_file: absolute path of the other file.
        max_memory_bytes: over all statements; statements beyond it fail with MEMORY_LIMIT_EXCEEDED.
    """
    return _document(
        f"<users_config>{escape(users_file)}</users_config>",
        "<display_name>tokentide</display_name>",
        f"<max_server_memory_usage>{max_memory_bytes}</max_server_memory_usage>",
    )


def users_xml() -> str:
    """User, profile and rights; passwords are checked before the engine is asked."""
    settings = "".join(f"<{name}>{value}</{name}>" for name, value in SERVER_LIKE_SETTINGS.items())
    rights = "".join(f"<query>{escape(right)}</query>" for right in RIGHTS)
    return _document(
        f"<profiles><default>{settings}</default></profiles>",
        "<quotas><default/></quotas>",
        "<users><default><password></password><networks><ip>::/0</ip></networks>"
        f"<profile>default</profile><quota>default</quota><grants>{rights}</grants></default></users>",
    )


def _document(*elements: str) -> str:
    return "<clickhouse>\n" + "\n".join(elements) + "\n</clickhouse>\n"
