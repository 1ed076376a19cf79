"""What can go wrong: a request that is refused, and a server that cannot start.

ServerError           a request failed; sent to the client as a ClickHouse server would send it
└── EngineError       ... and it was the engine that refused
StartError            the process cannot serve; carries the exit code and the remedy
├── PortUnavailableError
├── DataDirUnavailableError
├── EngineMissingError
└── EngineStartError

Codes and their names are ClickHouse's own, from `src/Common/ErrorCodes.cpp`; the HTTP status of a code follows
`src/Server/HTTP/exceptionCodeToHTTPStatus.cpp` there.
"""

from __future__ import annotations

import re
from enum import IntEnum
from http import HTTPStatus
from typing import Final

from tokentide.embedded.clickhouse.launch import ExitCode


class Code(IntEnum):
    """The codes that this server raises itself, or gives an HTTP status of their own; the engine has many more."""

    UNSUPPORTED_METHOD = 1
    CANNOT_PARSE_TEXT = 6
    THERE_IS_NO_COLUMN = 8
    DUPLICATE_COLUMN = 15
    CANNOT_PARSE_ESCAPE_SEQUENCE = 25
    CANNOT_PARSE_QUOTED_STRING = 26
    CANNOT_PARSE_INPUT_ASSERTION_FAILED = 27
    BAD_ARGUMENTS = 36
    UNKNOWN_ELEMENT_IN_AST = 37
    CANNOT_PARSE_DATE = 38
    CHECKSUM_DOESNT_MATCH = 40
    CANNOT_PARSE_DATETIME = 41
    ILLEGAL_COLUMN = 44
    UNKNOWN_FUNCTION = 46
    UNKNOWN_IDENTIFIER = 47
    NOT_IMPLEMENTED = 48
    UNKNOWN_TYPE = 50
    TYPE_MISMATCH = 53
    UNKNOWN_STORAGE = 56
    UNKNOWN_TABLE = 60
    SYNTAX_ERROR = 62
    UNKNOWN_AGGREGATE_FUNCTION = 63
    CANNOT_PARSE_NUMBER = 72
    UNKNOWN_FORMAT = 73
    CANNOT_OPEN_FILE = 76
    UNKNOWN_TYPE_OF_QUERY = 78
    UNKNOWN_DATABASE = 81
    UNKNOWN_COMPRESSION_METHOD = 89
    UNKNOWN_SETTING = 115
    INCORRECT_DATA = 117
    UNKNOWN_TYPE_OF_AST_NODE = 123
    UNKNOWN_DIRECTION_OF_SORTING = 152
    TIMEOUT_EXCEEDED = 159
    READONLY = 164
    TOO_DEEP_AST = 167
    TOO_BIG_AST = 168
    UNKNOWN_USER = 192
    WRONG_PASSWORD = 193
    REQUIRED_PASSWORD = 194
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    SOCKET_TIMEOUT = 209
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING = 216
    UNEXPECTED_AST_STRUCTURE = 223
    QUERY_IS_TOO_LARGE = 229
    CANNOT_DECOMPRESS = 271
    VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE = 321
    UNKNOWN_DATABASE_ENGINE = 336
    INTO_OUTFILE_NOT_ALLOWED = 358
    SESSION_NOT_FOUND = 372
    SESSION_IS_LOCKED = 373
    INVALID_SESSION_TIMEOUT = 374
    CANNOT_PARSE_UUID = 376
    QUERY_WAS_CANCELLED = 394
    CANNOT_COMPILE_REGEXP = 427
    CANNOT_SCHEDULE_TASK = 439
    CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING = 441
    ACCESS_DENIED = 497
    UNKNOWN_ROLE = 511
    SET_NON_GRANTED_ROLE = 512
    AUTHENTICATION_FAILED = 516
    CANNOT_PARSE_IPV4 = 675
    CANNOT_PARSE_IPV6 = 676
    UNKNOWN_EXCEPTION = 1002


class ServerError(Exception):
    """A request failed.

    Attributes:
        code: ClickHouse's number of the error.
        name: its symbolic name, such as `UNKNOWN_TABLE`.
        message: the sentence alone.
    """

    def __init__(self, code: int, message: str, *, name: str = "") -> None:
        super().__init__(message)
        self.code = int(code)
        self.name = name or _name_of(code)
        self.message = message

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status that ClickHouse gives to this code."""
        return _STATUS.get(self.code, HTTPStatus.INTERNAL_SERVER_ERROR)

    def text(self, version: str) -> str:
        """The body that ClickHouse sends: `Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)`."""
        end = "" if self.message.endswith((".", "!", "?")) else "."
        return f"Code: {self.code}. DB::Exception: {self.message}{end} ({self.name}) (version {version})\n"


class EngineError(ServerError):
    """The engine refused a statement, or failed at it."""


def engine_error(text: str) -> EngineError:
    """The error in a message of the engine.

    The engine wraps some errors once or twice more, and names the file descriptor that an insert reads from;
    both say nothing to a client and are removed.

    Args:
        text: such as `Code: 60. DB::Exception: Unknown table … (UNKNOWN_TABLE)`.
    """
    rest, name, code = text.strip(), "", 0
    while found := _PREFIX.match(rest):
        code = code or int(found["code"])
        rest = rest[found.end() :]
        if end := _SUFFIX.search(rest):
            name = name or end["name"]
            rest = rest[: end.start()]
    for noise in _NOISE:
        rest = noise.sub("", rest)
    if not code:
        return EngineError(Code.UNKNOWN_EXCEPTION, rest or "the engine gave no reason")
    return EngineError(code, rest.strip(), name=name)


_PREFIX: Final = re.compile(r"Code: (?P<code>\d+)\. DB::\w*Exception: ")
_SUFFIX: Final = re.compile(
    r"\s*\((?P<name>[A-Z][A-Z0-9_]+)\)(?:\s*\(version [^()]*(?:\([^()]*\))?\))?[\s.]*\Z"
)
_NOISE: Final = (
    re.compile(r"\(in file/uri /dev/fd/\d+\): "),
    re.compile(r":? ?\(?in file/uri /dev/fd/\d+\)?"),
    re.compile(r": While executing File: data for INSERT was parsed from file"),
    re.compile(r": data for INSERT was parsed from file"),
)


def _name_of(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return f"ERROR_{int(code)}"


_STATUS_CODES: Final[dict[HTTPStatus, tuple[Code, ...]]] = {
    HTTPStatus.UNAUTHORIZED: (Code.REQUIRED_PASSWORD,),
    HTTPStatus.FORBIDDEN: (
        Code.UNKNOWN_USER,
        Code.WRONG_PASSWORD,
        Code.AUTHENTICATION_FAILED,
        Code.SET_NON_GRANTED_ROLE,
        Code.ACCESS_DENIED,
    ),
    HTTPStatus.BAD_REQUEST: (
        Code.BAD_ARGUMENTS,
        Code.CANNOT_COMPILE_REGEXP,
        Code.CANNOT_PARSE_TEXT,
        Code.CANNOT_PARSE_ESCAPE_SEQUENCE,
        Code.CANNOT_PARSE_QUOTED_STRING,
        Code.CANNOT_PARSE_DATE,
        Code.CANNOT_PARSE_DATETIME,
        Code.CANNOT_PARSE_NUMBER,
        Code.CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING,
        Code.CANNOT_PARSE_IPV4,
        Code.CANNOT_PARSE_IPV6,
        Code.CANNOT_PARSE_INPUT_ASSERTION_FAILED,
        Code.CANNOT_PARSE_UUID,
        Code.DUPLICATE_COLUMN,
        Code.ILLEGAL_COLUMN,
        Code.UNKNOWN_ELEMENT_IN_AST,
        Code.UNKNOWN_TYPE_OF_AST_NODE,
        Code.THERE_IS_NO_COLUMN,
        Code.TOO_DEEP_AST,
        Code.TOO_BIG_AST,
        Code.UNEXPECTED_AST_STRUCTURE,
        Code.SYNTAX_ERROR,
        Code.INCORRECT_DATA,
        Code.TYPE_MISMATCH,
        Code.VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE,
    ),
    HTTPStatus.NOT_FOUND: (
        Code.UNKNOWN_TABLE,
        Code.UNKNOWN_FUNCTION,
        Code.UNKNOWN_IDENTIFIER,
        Code.UNKNOWN_TYPE,
        Code.UNKNOWN_STORAGE,
        Code.UNKNOWN_DATABASE,
        Code.UNKNOWN_SETTING,
        Code.UNKNOWN_DIRECTION_OF_SORTING,
        Code.UNKNOWN_AGGREGATE_FUNCTION,
        Code.UNKNOWN_FORMAT,
        Code.UNKNOWN_DATABASE_ENGINE,
        Code.UNKNOWN_TYPE_OF_QUERY,
        Code.UNKNOWN_ROLE,
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (Code.QUERY_IS_TOO_LARGE,),
    HTTPStatus.NOT_IMPLEMENTED: (Code.NOT_IMPLEMENTED,),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        Code.SOCKET_TIMEOUT,
        Code.CANNOT_OPEN_FILE,
        Code.CANNOT_SCHEDULE_TASK,
    ),
    HTTPStatus.REQUEST_TIMEOUT: (Code.TIMEOUT_EXCEEDED,),
}
_STATUS: Final = {int(code): status for status, codes in _STATUS_CODES.items() for code in codes}


class StartError(Exception):
    """The server cannot start; the message says what to do.

    Attributes:
        exit_code: what the process ends with.
        reason: one word for programs.
    """

    exit_code: ExitCode = ExitCode.ENGINE_FAILED
    reason: str = "engine_failed"


class PortUnavailableError(StartError):
    """The address is taken, or may not be listened on."""

    exit_code = ExitCode.PORT_UNAVAILABLE
    reason = "port_unavailable"


class DataDirUnavailableError(StartError):
    """The data directory is used by another process, or cannot be written."""

    exit_code = ExitCode.DATA_DIR_UNAVAILABLE
    reason = "data_dir_unavailable"


class EngineMissingError(StartError):
    """`chdb` is not installed."""

    exit_code = ExitCode.ENGINE_MISSING
    reason = "engine_missing"


class EngineStartError(StartError):
    """The engine does not open the data directory."""
