"""Reads a request's statement: the URL's part, a line break, the body, as far as the statement goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from tokentide.embedded.clickhouse.errors import Code, ServerError
from tokentide.embedded.clickhouse.request_params import RequestParams
from tokentide.embedded.clickhouse.statement import MAX_QUERY_BYTES, Statement, parse

_MAX_QUERY_LIMIT: Final = 16 << 20
_OFF_LOOP_BYTES: Final = 1 << 16
"""Texts from this size on are taken apart outside of the event loop: some 5 MB/s."""


async def read_statement(params: RequestParams, pieces: AsyncIterator[bytes]) -> tuple[Statement, bytes]:
    """The statement, from the URL and then the body, and the first of an insert's rows.

    Args:
        params: with the part of the statement that stands in the URL.
        pieces: of the body; those that the statement does not need stay unread.

    Raises:
        ServerError: it is longer than `max_query_size`, or works with a file of the server.
    """
    text = params.query.encode(errors="surrogateescape")
    text += b"\n" if text else b""
    limit = _query_limit(params)
    is_complete = False
    while len(text) <= limit and not is_complete:
        piece = await anext(pieces, b"")
        is_complete = not piece
        text += piece
    head = text[:limit]
    statement = parse(head) if len(head) < _OFF_LOOP_BYTES else await asyncio.to_thread(parse, head)
    if statement.data_at is not None:
        return statement, text[statement.data_at :]
    if not is_complete:
        raise ServerError(
            Code.SYNTAX_ERROR,
            f"Max query size exceeded: the statement is longer than {limit} bytes; "
            "max_query_size as a URL parameter raises that",
        )
    return statement, b""


def _query_limit(params: RequestParams) -> int:
    given = params.settings.get("max_query_size", "")
    return min(int(given), _MAX_QUERY_LIMIT) if given.isascii() and given.isdigit() else MAX_QUERY_BYTES


async def no_pieces() -> AsyncIterator[bytes]:
    """The body of a request whose form was read."""
    empty: tuple[bytes, ...] = ()
    for piece in empty:
        yield piece
