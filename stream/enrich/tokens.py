"""Token counts where the provider reported none, and where every count comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from tokentide.schemas.limits import MAX_COUNT
from tokentide.stream.enrich.tables import count_array, counts, where_known, with_column
from tokentide.stream.grouping import one_chunk
from tokentide.stream.texts import pick
from tokentide.stream.tokens import TokenCount, TokenMemory, count_completion, count_prompt

Side = Literal["input", "output"]
SOURCES: Final[list[str | None]] = [None, "reported", "counted", "estimated"]
_REPORTED: Final = 1


def add_token_counts(table: pa.Table, memory: TokenMemory) -> pa.Table:
    """Count what was not reported but sent; add `input_tokens_source` and `output_tokens_source`."""
    for side in ("input", "output"):
        table = _add_side(table, side, memory)
    return table


def _add_side(table: pa.Table, side: Side, memory: TokenMemory) -> pa.Table:
    reported = where_known(table, f"{side}_tokens")
    source = np.where(reported, _REPORTED, 0)
    rows = np.flatnonzero(~reported & where_known(table, side))
    if len(rows):
        counted = list(_counted(table.take(pa.array(rows)), side, memory))
        values = counts(table, f"{side}_tokens").copy()
        values[rows] = [min(count.tokens, MAX_COUNT) for count in counted]
        source[rows] = [SOURCES.index(count.source) for count in counted]
        table = with_column(table, f"{side}_tokens", count_array(values))
    return table.append_column(f"{side}_tokens_source", pick(SOURCES, source)) if source.any() else table


def _counted(table: pa.Table, side: Side, memory: TokenMemory) -> Iterator[TokenCount]:
    for content, model, operation in zip(
        _contents(table, side), _models(table), _texts(table, "operation"), strict=True
    ):
        if side == "input":
            yield count_prompt(content, model, operation=operation, memory=memory)
        else:
            yield count_completion(content, model, memory=memory)


def _contents(table: pa.Table, side: Side) -> list[Any]:
    texts: list[str] = one_chunk(table, side).to_pylist()
    flag = f"{side}_is_messages"
    if flag not in table.column_names:
        return texts
    are_messages = one_chunk(table, flag).to_pylist()
    return [
        json.loads(text) if messages else text for text, messages in zip(texts, are_messages, strict=True)
    ]


def _models(table: pa.Table) -> list[str | None]:
    answered, asked = _texts(table, "response_model"), _texts(table, "request_model")
    return [response or request for response, request in zip(answered, asked, strict=True)]


def _texts(table: pa.Table, name: str) -> list[str | None]:
    if name not in table.column_names:
        return [None] * table.num_rows
    texts: list[str | None] = one_chunk(table, name).to_pylist()
    return texts
