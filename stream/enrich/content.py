"""What is kept of prompts and answers: by default their length and a keyed hash, never the text.

The hash lets equal prompts be found without reading them; with its key unknown it cannot be guessed back from
likely texts. Text itself is kept only for services that were named, redacted; a redactor that fails drops the
text, it never passes it on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from tokentide.stream.enrich.tables import where_known
from tokentide.stream.grouping import one_chunk

Redact = Callable[[str], str | None]
"""None: it could not be redacted, and must not pass."""

_HASH_BYTES: Final = 16


class ContentRules(NamedTuple):
    """What may be kept."""

    hash_key: bytes | None = None
    """None: no hash is stored."""
    keep_services: frozenset[str] = frozenset()
    redact: Redact | None = None
    """Must be given where text is kept."""


def reduce_content(table: pa.Table, rules: ContentRules) -> pa.Table:
    """Replace `input` and `output` by what the rules allow to keep of them."""
    for side in ("input", "output"):
        if where_known(table, side).any():
            for name, values in _kept(table, side, rules).items():
                table = table.append_column(name, values)
        table = table.drop_columns(
            [name for name in (side, f"{side}_is_messages") if name in table.column_names]
        )
    return table


def _kept(table: pa.Table, side: str, rules: ContentRules) -> Mapping[str, Any]:
    raws: Sequence[str | None] = one_chunk(table, side).to_pylist()
    flag = f"{side}_is_messages"
    flags = one_chunk(table, flag).to_pylist() if flag in table.column_names else [None] * len(raws)
    columns: dict[str, Any] = {
        f"{side}_chars": pa.array(
            [
                None if raw is None else _characters(raw, is_messages=bool(m))
                for raw, m in zip(raws, flags, strict=True)
            ],
            pa.int64(),
        )
    }
    if rules.hash_key is not None:
        key = rules.hash_key
        columns[f"{side}_hash"] = pa.array([None if raw is None else _hash(raw, key) for raw in raws])
    if rules.keep_services and rules.redact is not None:
        services: Sequence[str] = one_chunk(table, "service").to_pylist()
        columns[f"{side}_text"] = pa.array(
            [
                rules.redact(raw) if raw is not None and service in rules.keep_services else None
                for raw, service in zip(raws, services, strict=True)
            ],
            pa.string(),
        )
    return columns


def _characters(raw: str, *, is_messages: bool) -> int:
    """Characters of the text; of messages, of all the texts in them."""
    return sum(map(len, _texts(json.loads(raw)))) if is_messages else len(raw)


def _texts(value: object) -> Iterator[str]:
    match value:
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for name in ("content", "text"):
                inner = value.get(name)
                if isinstance(inner, str):
                    yield inner
                else:
                    yield from _texts(inner)
        case _:
            return


def _hash(raw: str, key: bytes) -> str:
    return hashlib.blake2b(raw.encode(), digest_size=_HASH_BYTES, key=key[:64]).hexdigest()
