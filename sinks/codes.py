"""ClickHouse's error codes as an insert meets them: which are worth another try, which are not, and why.

The numbers are those of the server's `src/Common/ErrorCodes.cpp`, names checked against `errorCodeToName` of version
26.9. The retriable ones contain those of ClickHouse's own Kafka connector (`Utils.java`), except 164: a read-only
user stays one. A code that stands in neither list is tried again until the deadline: an error that
passes costs a delay, one that stays is reported then, and neither loses rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What an error code means for an insert."""

    name: str
    is_retriable: bool
    meaning: str
    """For a retriable code, what is going on; for a terminal one, what to do."""
    names_only: bool = False
    """The server's text names tables, columns, types or users, never values of rows: it may be shown."""


_RETRIABLE: Final[Mapping[int, tuple[str, str]]] = {
    3: ("UNEXPECTED_END_OF_FILE", "the request was cut off on its way"),
    23: ("CANNOT_READ_FROM_ISTREAM", "the request was cut off on its way"),
    32: ("ATTEMPT_TO_READ_AFTER_EOF", "the request was cut off on its way"),
    33: ("CANNOT_READ_ALL_DATA", "the request was cut off on its way"),
    74: ("CANNOT_READ_FROM_FILE_DESCRIPTOR", "the server's disk failed for a moment"),
    75: ("CANNOT_WRITE_TO_FILE_DESCRIPTOR", "the server's disk is full or failed"),
    76: ("CANNOT_OPEN_FILE", "the server has too many files open"),
    95: ("CANNOT_READ_FROM_SOCKET", "the network failed"),
    96: ("CANNOT_WRITE_TO_SOCKET", "the network failed"),
    107: ("FILE_DOESNT_EXIST", "a part was merged or moved while it was being read"),
    159: ("TIMEOUT_EXCEEDED", "the server took longer than its limit"),
    160: ("TOO_SLOW", "the server is overloaded"),
    173: ("CANNOT_ALLOCATE_MEMORY", "the server is out of memory"),
    198: ("DNS_ERROR", "a name could not be resolved"),
    201: ("QUOTA_EXCEEDED", "the user's quota is used up for this interval"),
    202: ("TOO_MANY_SIMULTANEOUS_QUERIES", "the server is busy"),
    203: ("NO_FREE_CONNECTION", "the server is busy"),
    204: ("CANNOT_FSYNC", "the server's disk is full or failed"),
    209: ("SOCKET_TIMEOUT", "the network is slow"),
    210: ("NETWORK_ERROR", "the network failed"),
    216: ("QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", "the try before is still running"),
    225: ("NO_ZOOKEEPER", "the server has lost its Keeper"),
    236: ("ABORTED", "the server is shutting down"),
    241: ("MEMORY_LIMIT_EXCEEDED", "the server is out of memory"),
    242: ("TABLE_IS_READ_ONLY", "the table is read-only for now: Keeper lost, or being restored"),
    243: ("NOT_ENOUGH_SPACE", "the server's disk is full"),
    244: ("UNEXPECTED_ZOOKEEPER_ERROR", "the server's Keeper failed"),
    252: ("TOO_MANY_PARTS", "merges cannot keep up with inserts"),
    254: ("NO_ACTIVE_REPLICAS", "replicas are away"),
    265: ("NO_AVAILABLE_REPLICA", "replicas are away"),
    279: ("ALL_CONNECTION_TRIES_FAILED", "the server does not reach its peers"),
    285: ("TOO_FEW_LIVE_REPLICAS", "replicas are away"),
    286: ("UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", "replicas lag behind"),
    289: ("REPLICA_IS_NOT_IN_QUORUM", "replicas lag behind"),
    290: ("LIMIT_EXCEEDED", "a limit of the server is reached"),
    294: ("CANNOT_WRITE_TO_FILE", "the server's disk is full or failed"),
    297: ("SHARD_HAS_NO_CONNECTIONS", "a shard is away"),
    319: (
        "UNKNOWN_STATUS_OF_INSERT",
        "the server does not know whether the rows were stored; sending again is safe",
    ),
    341: ("UNFINISHED", "the server was interrupted"),
    364: ("RECEIVED_ERROR_TOO_MANY_REQUESTS", "the server is busy"),
    369: ("ALL_REPLICAS_ARE_STALE", "replicas lag behind"),
    373: ("SESSION_IS_LOCKED", "the try before is still running"),
    384: ("PART_IS_TEMPORARILY_LOCKED", "the table is busy"),
    394: ("QUERY_WAS_CANCELLED", "somebody ended the insert"),
    415: ("ALL_REPLICAS_LOST", "replicas are away"),
    416: ("REPLICA_STATUS_CHANGED", "a replica changed its role"),
    425: ("SYSTEM_ERROR", "the server's system failed for a moment"),
    439: ("CANNOT_SCHEDULE_TASK", "the server has no free thread"),
    473: ("DEADLOCK_AVOIDED", "the table is being changed"),
    499: ("S3_ERROR", "the server's object storage failed"),
    519: ("NO_REMOTE_SHARD_AVAILABLE", "a shard is away"),
    574: ("DISTRIBUTED_TOO_MANY_PENDING_BYTES", "the server's queue to its shards is full"),
    659: (
        "UNKNOWN_STATUS_OF_TRANSACTION",
        "the server does not know whether the rows were stored; sending again is safe",
    ),
    700: ("USER_SESSION_LIMIT_EXCEEDED", "the user has too many sessions"),
    722: ("ASYNC_LOAD_WAIT_FAILED", "the server is starting"),
    733: ("TABLE_IS_BEING_RESTARTED", "the table is starting"),
    735: ("QUERY_WAS_CANCELLED_BY_CLIENT", "the connection was closed"),
    745: ("SERVER_OVERLOADED", "the server is overloaded"),
    749: ("TCP_CONNECTION_LIMIT_REACHED", "the server has too many connections"),
    762: ("HTTP_CONNECTION_LIMIT_REACHED", "the server has too many connections"),
    777: ("MEMORY_RESERVATION_KILLED", "the server is out of memory"),
    778: ("MEMORY_RESERVATION_FAILED", "the server is out of memory"),
    999: ("KEEPER_EXCEPTION", "the server's Keeper failed"),
    1000: ("POCO_EXCEPTION", "the server's network or system failed"),
    1001: ("STD_EXCEPTION", "the server's system failed"),
    1002: ("UNKNOWN_EXCEPTION", "the server failed in a way it does not know"),
    1019: ("QUERY_SLOT_ACQUISITION_TIMEOUT", "the server is busy"),
    1020: ("MEMORY_RESERVATION_ACQUISITION_TIMEOUT", "the server is busy"),
}

_SCHEMA: Final = "the table is not the one of this release: run `tokentide init`"
_ROWS: Final = "the rows are not as the table wants them: a defect, please report it"
_RIGHTS: Final = (
    "the user of clickhouse.url lacks a right: it needs INSERT on the tables and may change settings"
)
_LOGIN: Final = "user or password of clickhouse.url are wrong"

_NAMES_ONLY: Final[Mapping[int, tuple[str, str]]] = {
    8: ("THERE_IS_NO_COLUMN", _SCHEMA),
    10: ("NOT_FOUND_COLUMN_IN_BLOCK", _SCHEMA),
    15: ("DUPLICATE_COLUMN", _ROWS),
    16: ("NO_SUCH_COLUMN_IN_TABLE", _SCHEMA),
    20: ("NUMBER_OF_COLUMNS_DOESNT_MATCH", _SCHEMA),
    44: ("ILLEGAL_COLUMN", _SCHEMA),
    46: ("UNKNOWN_FUNCTION", _SCHEMA),
    47: ("UNKNOWN_IDENTIFIER", _SCHEMA),
    48: ("NOT_IMPLEMENTED", "this ClickHouse cannot do it: use a newer one"),
    50: ("UNKNOWN_TYPE", "this ClickHouse lacks a type: use a newer one"),
    53: ("TYPE_MISMATCH", _SCHEMA),
    60: ("UNKNOWN_TABLE", "run `tokentide init`, and check the database in clickhouse.url"),
    73: ("UNKNOWN_FORMAT", "this ClickHouse was built without Arrow: use an official build"),
    81: ("UNKNOWN_DATABASE", "run `tokentide init`, and check the database in clickhouse.url"),
    115: ("UNKNOWN_SETTING", "this ClickHouse lacks a setting: use a newer one"),
    164: ("READONLY", _RIGHTS),
    192: ("UNKNOWN_USER", _LOGIN),
    193: ("WRONG_PASSWORD", _LOGIN),
    194: ("REQUIRED_PASSWORD", _LOGIN),
    195: (
        "IP_ADDRESS_NOT_ALLOWED",
        "ClickHouse refuses this address: allow it for the user of clickhouse.url",
    ),
    218: ("TABLE_IS_DROPPED", "the table was dropped: run `tokentide init`"),
    291: ("DATABASE_ACCESS_DENIED", _RIGHTS),
    452: ("SETTING_CONSTRAINT_VIOLATION", _RIGHTS),
    472: ("READONLY_SETTING", _RIGHTS),
    497: ("ACCESS_DENIED", _RIGHTS),
    516: ("AUTHENTICATION_FAILED", _LOGIN),
    720: ("USER_EXPIRED", "the user of clickhouse.url is no longer valid"),
    774: ("TABLE_IS_PERMANENTLY_READ_ONLY", "the table is read-only for good: see its settings"),
    1016: ("TABLE_SIZE_LIMIT_EXCEEDED", "the table may not grow: raise its limit or shorten the retention"),
}
_QUOTING: Final[Mapping[int, tuple[str, str]]] = {
    6: ("CANNOT_PARSE_TEXT", _ROWS),
    27: ("CANNOT_PARSE_INPUT_ASSERTION_FAILED", _ROWS),
    36: ("BAD_ARGUMENTS", _ROWS),
    38: ("CANNOT_PARSE_DATE", _ROWS),
    41: ("CANNOT_PARSE_DATETIME", _ROWS),
    43: ("ILLEGAL_TYPE_OF_ARGUMENT", _SCHEMA),
    49: ("LOGICAL_ERROR", "a defect of ClickHouse: see its log"),
    62: ("SYNTAX_ERROR", "a defect, please report it"),
    69: ("ARGUMENT_OUT_OF_BOUND", _ROWS),
    70: ("CANNOT_CONVERT_TYPE", _SCHEMA),
    72: ("CANNOT_PARSE_NUMBER", _ROWS),
    117: ("INCORRECT_DATA", _ROWS),
    128: ("TOO_LARGE_ARRAY_SIZE", _ROWS),
    131: ("TOO_LARGE_STRING_SIZE", _ROWS),
    321: ("VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", _ROWS),
    349: ("CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", _ROWS),
    407: ("DECIMAL_OVERFLOW", _ROWS),
    469: ("VIOLATED_CONSTRAINT", "the table has a constraint of your own that these rows break"),
    565: ("TOO_MANY_PARTITIONS", "the table may not get more partitions: raise its limit"),
    636: ("CANNOT_EXTRACT_TABLE_STRUCTURE", _ROWS),
}

CODES: Final[Mapping[int, CodeInfo]] = {
    **{code: CodeInfo(name, True, why, names_only=True) for code, (name, why) in _RETRIABLE.items()},  # noqa: FBT003  # positional in a table
    **{code: CodeInfo(name, False, remedy, names_only=True) for code, (name, remedy) in _NAMES_ONLY.items()},  # noqa: FBT003  # as above
    **{code: CodeInfo(name, False, remedy) for code, (name, remedy) in _QUOTING.items()},  # noqa: FBT003  # as above
}
"""Every code with a decision; see the module's text for the others."""
