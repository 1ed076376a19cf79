"""Multipart forms: a query with its parameters as fields, and tables that the request brings along as files.

As on a server, fields count like URL parameters, and a file `t` is a table that `t_format` and `t_structure` or
`t_types` describe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, web

from tokentide.embedded.clickhouse.body import Spool, body_pieces
from tokentide.embedded.clickhouse.data_dir import DataDir
from tokentide.embedded.clickhouse.errors import Code, ServerError
from tokentide.embedded.clickhouse.options import ServerOptions
from tokentide.embedded.clickhouse.request_params import EXTERNAL_NAME
from tokentide.embedded.clickhouse.statement import MAX_QUERY_BYTES


@dataclass(slots=True)
class Form:
    """What a form holds; its spools are to be closed."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    tables: dict[str, Spool] = field(default_factory=dict)

    def close(self) -> None:
        """Give the tables' space back."""
        for spool in self.tables.values():
            spool.close()


async def read_form(
    request: web.Request, form: Form, url_names: set[str], options: ServerOptions, data_dir: DataDir
) -> None:
    """Read a request's form into `form`, which the caller closes, also after an error.

    Args:
        request: its body is read.
        form: is filled.
        url_names: parameters of the URL; a part that they describe is a table.
        options: limits and time-outs.
        data_dir: where tables are kept.

    Raises:
        ServerError: it cannot be read, or is too large.
        ClientGoneError: the connection ended early.
    """
    try:
        reader = await request.multipart()
    except ValueError as error:
        raise ServerError(Code.BAD_ARGUMENTS, f"The form cannot be read: {error}") from error
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or not part.name:
            raise ServerError(Code.BAD_ARGUMENTS, "The form has a part without a name, or a form inside")
        is_table = part.filename is not None or f"{part.name}_structure" in url_names
        if is_table or f"{part.name}_types" in url_names:
            form.tables[part.name] = spool = _spool(part.name, form, options, data_dir)
            async for piece in _pieces(part, options):
                await spool.add(piece)
        else:
            value = b""
            async for piece in _pieces(part, options):
                value += piece
                if len(value) > MAX_QUERY_BYTES:
                    raise ServerError(Code.QUERY_IS_TOO_LARGE, f"Field {part.name} is too large")
            form.fields.append((part.name, value.decode(errors="surrogateescape")))


def _spool(name: str, form: Form, options: ServerOptions, data_dir: DataDir) -> Spool:
    if not EXTERNAL_NAME.fullmatch(name) or name in form.tables:
        raise ServerError(Code.BAD_ARGUMENTS, f"{name!r} cannot be the name of an external table")
    return Spool(data_dir.incoming, options.max_body_bytes)


def _pieces(part: BodyPartReader, options: ServerOptions) -> AsyncIterator[bytes]:
    async def read() -> bytes:
        return bytes(await part.read_chunk(1 << 18))

    return body_pieces(read, encoding="", is_blocks=False, silence_s=options.receive_timeout_s)
