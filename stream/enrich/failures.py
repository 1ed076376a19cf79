"""Errors: their class and owner where the application named none, and messages fit to be stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.stream.decode.arrays import all_true
from tokentide.stream.enrich.redact import redact
from tokentide.stream.enrich.tables import pick, where_known, with_column
from tokentide.stream.grouping import combinations, one_chunk


def classify_errors(table: pa.Table) -> pa.Table:
    """Derive `error_class` where it is absent, and add `error_owner`, for the calls that failed."""
    failed = all_true(pc.equal(one_chunk(table, "status"), "error"))
    if not failed.any():
        return table
    rows = np.flatnonzero(failed)
    few = _with_text_status(table.take(pa.array(rows)))
    groups, texts = combinations(few, ("error_http_status", "error_type", "error_stage", "error_class"))
    verdicts = [_verdict(*text) for text in texts]
    place = np.full(table.num_rows, len(verdicts))
    place[rows] = groups.of_row
    classes = pick([*(verdict[0] for verdict in verdicts), None], place)
    if "error_class" in table.column_names:
        classes = pc.coalesce(one_chunk(table, "error_class"), classes)
    table = with_column(table, "error_class", classes)
    return table.append_column("error_owner", pick([*(verdict[1] for verdict in verdicts), None], place))


def _with_text_status(table: pa.Table) -> pa.Table:
    if "error_http_status" not in table.column_names:
        return table
    return with_column(
        table, "error_http_status", pc.cast(one_chunk(table, "error_http_status"), pa.string())
    )


def _verdict(
    http_status: str, error_type: str, stage: str, given_class: str
) -> tuple[str | None, str | None]:
    del http_status, error_type, stage
    return given_class or "other", "provider"


def scrub_error_messages(table: pa.Table, longest: int) -> pa.Table:
    """Redact and cut `error_message`; messages of providers quote prompts and keys."""
    if not where_known(table, "error_message").any():
        return table
    messages: list[Any] = one_chunk(table, "error_message").to_pylist()
    scrubbed = [None if message is None else redact(message[: 4 * longest])[:longest] for message in messages]
    return with_column(table, "error_message", pa.array(scrubbed, pa.string()))
