"""Turns what clickhouse-connect raises into a decision: try again or not, and what may be said about it."""

from __future__ import annotations

from typing import Final, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError, NotSupportedError, ProgrammingError

from tokentide.sinks.codes import CODES, CodeInfo
from tokentide.sinks.errors import ClickHouseAnswerError

_LONGEST_QUOTE: Final = 300

ForeignError = ClickHouseError | OSError


class Failure(NamedTuple):
    """One failed try, understood."""

    code: int | None
    name: str
    is_retriable: bool
    what: str
    """What happened, for a message; without values of rows."""
    remedy: str
    """What to do about it; empty where trying again is all there is to do."""
    cause: BaseException
    """The foreign error, or a stand-in where its text may quote rows."""


def understand(error: ForeignError) -> Failure:
    """Return what an error means for the insert that raised it."""
    code: int | None = getattr(error, "code", None) if isinstance(error, ClickHouseError) else None
    if code is not None:
        info = CODES.get(code)
        return _unlisted(error, code) if info is None else _listed(error, code, info)
    if isinstance(error, (ProgrammingError, NotSupportedError)):
        return _refused_by_the_client(error)
    return Failure(
        code=None,
        name="NO_ANSWER",
        is_retriable=True,
        what="no answer from ClickHouse, or one that is not its own",
        remedy="",
        cause=error,
    )


def _listed(error: ForeignError, code: int, info: CodeInfo) -> Failure:
    what = f"ClickHouse error {code} {info.name}"
    if info.is_retriable:
        what += f" ({info.meaning})"
    elif info.names_only:
        what += f" ({_quote(error)})"
    return Failure(
        code=code,
        name=info.name,
        is_retriable=info.is_retriable,
        what=what,
        remedy="" if info.is_retriable else info.meaning,
        cause=error if info.names_only else _stand_in(error, code),
    )


def _unlisted(error: ForeignError, code: int) -> Failure:
    return Failure(
        code=code,
        name="UNLISTED",
        is_retriable=True,
        what=f"ClickHouse error {code}",
        remedy="",
        cause=_stand_in(error, code),
    )


def _refused_by_the_client(error: ForeignError) -> Failure:
    """Before anything was sent: most often a setting of ours that the server's user may not change."""
    return Failure(
        code=None,
        name=type(error).__name__,
        is_retriable=False,
        what=f"the client refused ({_quote(error)})",
        remedy="the user of clickhouse.url must be allowed to change settings",
        cause=error,
    )


def _stand_in(error: BaseException, code: int) -> ClickHouseAnswerError:
    return ClickHouseAnswerError(code, type(error).__name__)


def _quote(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
