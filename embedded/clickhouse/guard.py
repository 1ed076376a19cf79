r"""Decides whether a statement may run: one at a time, and nothing that reaches out of the data directory.

What a statement is, the engine's own parser says (`Connection.classify`); what it may touch, the engine's own
rights and `readonly` say (`engine_config.py`, `request_settings.py`). Here is what those leave open in
`clickhouse-local`, on which `chdb` rests (tried with version 26.9):

- the scalar function `file(path)` reads any file and asks for no right, also under `readonly = 1`. It can hide in
  escapes (`"f\\x69le"(…)`), behind APPLY, as an argument (`arrayMap(file, …)`), in a query parameter;
- the table functions `eval` (runs the text it is given) and `Python` (reads this process's variables);
- some table engines keep their data anywhere (`EmbeddedRocksDB`), run programs, or need what is not here;
- a disk declared inside CREATE TABLE makes requests to any address;
- some settings name files to read or write, or an address (`format_template_row`, `output_format_schema`, …), and
  `dialect` changes the language, so that nothing here would understand the statements;
- KILL QUERY is open to a reader, because both users are one to the engine.

So a statement in which such a name may occur is looked at again as the engine parsed it, by EXPLAIN AST; and so is
every one that creates something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

from tokentide.embedded.clickhouse.engine import Connection, StatementClass, escaped
from tokentide.embedded.clickhouse.engine_config import DATABASE_ENGINES, TABLE_ENGINES
from tokentide.embedded.clickhouse.errors import Code, EngineError, ServerError
from tokentide.embedded.clickhouse.statement import Statement
from tokentide.embedded.clickhouse.tokens import identifier, tokens


class Access(Enum):
    """What a request may do."""

    FULL = "full"
    GET = "get"
    """The full user by method GET, which never changes data in ClickHouse."""
    READER = "reader"


READING_VERBS: Final = frozenset(
    {"SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"}
)
_CREATING_VERBS: Final = frozenset({"CREATE", "ATTACH", "REPLACE"})
_SESSION_VERBS: Final = frozenset({"SET", "USE"})


def check(
    connection: Connection, statement: Statement, parameters: Mapping[str, str], access: Access
) -> StatementClass:
    """What the statement does, if it may run.

    Returns:
        Its class, never UNKNOWN.

    Raises:
        ServerError: it may not, or does not parse.
    """
    text = statement.from_file("/dev/null") if statement.takes_data else statement.text
    kind, count = connection.classify(text)
    if kind is StatementClass.UNKNOWN:
        raise _unknown(connection, statement.text)
    if count > 1:
        raise ServerError(Code.SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
    if kind is StatementClass.CONTROL and statement.verb in READING_VERBS:
        raise ServerError(Code.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    _check_access(kind, statement.verb, access)
    if statement.verb in _CREATING_VERBS or _may_reach_out(text, parameters):
        _check_tree(connection, text, parameters)
    return kind


def _unknown(connection: Connection, text: bytes) -> ServerError:
    """Why a text is no statement. It is never run to find out: it may be several, of which the first ones parse."""
    if not text.strip():
        return ServerError(Code.SYNTAX_ERROR, "Syntax error: empty query")
    try:
        connection.run(
            "SELECT formatQuerySingleLine({query:String}) FORMAT Null",
            parameters={"query": escaped(text.decode(errors="replace"))},
        )
    except EngineError as error:
        message = error.message.partition(": In scope SELECT formatQuery")[0]
        return ServerError(error.code, message, name=error.name)
    return ServerError(Code.NOT_IMPLEMENTED, "This kind of statement is not available in the embedded server")


def _check_access(kind: StatementClass, verb: str, access: Access) -> None:
    if access is Access.GET and kind is not StatementClass.READ_ONLY and verb not in _SESSION_VERBS:
        raise ServerError(
            Code.READONLY,
            "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
            "You should use method POST for modifying queries",
        )
    if access is Access.READER and not (kind is StatementClass.READ_ONLY and verb in READING_VERBS):
        raise ServerError(
            Code.READONLY,
            "reader: Cannot execute query in readonly mode: this user may SELECT, SHOW, DESCRIBE, EXPLAIN and EXISTS",
        )


REFUSED_SETTINGS: Final = frozenset(
    {
        "dialect",
        "format_avro_schema_registry_url",
        "format_schema",
        "format_template_resultset",
        "format_template_row",
        "input_format_record_errors_file_path",
        "output_format_schema",
    }
)

_SUSPICIOUS: Final = re.compile(
    rb"file|eval|python|arrowstream|disk|identifier|schema|template|dialect|\\", re.IGNORECASE
)
"""Without any of these in its text no statement contains a refused name: a backslash can spell one in a quoted
identifier, and a parameter of type Identifier can bring one in."""


def _may_reach_out(text: bytes, parameters: Mapping[str, str]) -> bool:
    return _SUSPICIOUS.search(text) is not None or (
        b"{" in text and any(_SUSPICIOUS.search(value.encode()) for value in parameters.values())
    )


_FUNCTION: Final = re.compile(r"^ *Function (file|eval|(?i:python|arrowstream))(?: \(|$)", re.MULTILINE)
_ARGUMENT: Final = re.compile(
    r"^( *)Function (?:array|map)\w*(?: \(.*)?\n\1 ExpressionList.*\n\1  Identifier file(?: \(|$)",
    re.MULTILINE | re.IGNORECASE,
)
"""A function given by name to a higher-order function, all of which are called `array…` or `map…`."""
_APPLY: Final = re.compile(r"^ *ColumnsApplyTransformer", re.MULTILINE)

_STORAGE: Final = re.compile(r"^( *)Storage definition.*\n\1 Function (?P<engine>\w+)", re.MULTILINE)
_ENGINES: Final = frozenset(TABLE_ENGINES + DATABASE_ENGINES)
_DEFINES: Final = re.compile(r"(?:Create|Alter|Attach|Replace)\w*Query")


def _check_tree(connection: Connection, text: bytes, parameters: Mapping[str, str]) -> None:
    for token in tokens(text):
        if (identifier(text, token) or "").lower() in REFUSED_SETTINGS:
            raise not_reachable(f"setting {identifier(text, token)}")
    try:
        tree = connection.run(b"EXPLAIN AST " + text, "TSVRaw", parameters).body.decode(errors="replace")
    except EngineError as error:
        # What cannot be explained is not run: a missing parameter, a statement inside EXPLAIN that has no tree.
        raise error from None
    if found := _FUNCTION.search(tree):
        raise not_reachable(f"function {found[1]}")
    if _ARGUMENT.search(tree):
        raise not_reachable("function file")
    if _APPLY.search(tree) and re.search(rb"file|\\", text):
        raise not_reachable("APPLY beside the word `file` or a backslash")
    for storage in _STORAGE.finditer(tree):
        if storage["engine"] not in _ENGINES:
            raise not_reachable(f"engine {storage['engine']}")
    if _DEFINES.match(tree) and _calls_disk(text):
        raise not_reachable("a disk of a table's own")


def _calls_disk(text: bytes) -> bool:
    previous = ""
    for token in tokens(text):
        if previous == "disk" and text[token.start : token.end] == b"(":
            return True
        previous = (identifier(text, token) or "").lower()
    return False


def not_reachable(what: str) -> ServerError:
    """The error for something that is left out of the embedded server for safety."""
    return ServerError(
        Code.ACCESS_DENIED,
        f"Not enough privileges: {what} is not available in the embedded server, because it could reach files, "
        "programs or addresses outside of the data directory",
    )
