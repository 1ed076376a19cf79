"""Errors: their class and owner where the application named none, and messages fit to be stored."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokentide.schemas.call import ErrorClass, ErrorStage
from tokentide.stream.enrich.content import Redact
from tokentide.stream.enrich.tables import where_known, with_column
from tokentide.stream.errors import Owner, classify
from tokentide.stream.grouping import combinations, one_chunk
from tokentide.stream.texts import coalesce, is_one_of, pick

_EVIDENCE: Final = ("error_http_status", "error_type", "error_stage", "error_class", "error_message")


def classify_errors(table: pa.Table) -> pa.Table:
    """Derive `error_class` where it is absent, and add `error_owner`, for the calls that failed."""
    failed = is_one_of(one_chunk(table, "status"), ("error",))
    if not failed.any():
        return table
    rows = np.flatnonzero(failed)
    few = _with_text_status(table.take(pa.array(rows)))
    groups, texts = combinations(few, _EVIDENCE)
    verdicts = [_verdict(*text) for text in texts]
    place = np.full(table.num_rows, len(verdicts))
    place[rows] = groups.of_row
    classes = pick([*(verdict[0] for verdict in verdicts), None], place)
    if "error_class" in table.column_names:
        classes = coalesce(one_chunk(table, "error_class"), classes)
    table = with_column(table, "error_class", classes)
    return table.append_column("error_owner", pick([*(verdict[1] for verdict in verdicts), None], place))


def _with_text_status(table: pa.Table) -> pa.Table:
    if "error_http_status" not in table.column_names:
        return table
    return with_column(
        table, "error_http_status", pc.cast(one_chunk(table, "error_http_status"), pa.string())
    )


def _verdict(
    http_status: str, error_type: str, stage: str, given_class: str, message: str
) -> tuple[ErrorClass | None, Owner | None]:
    if not (http_status or error_type or given_class or message):
        return "other", classify(None, None, stage=_stage(stage)).owner if stage else None
    verdict = classify(
        int(http_status) if http_status else None,
        error_type or None,
        stage=_stage(stage),
        given_class=cast("ErrorClass", given_class) if given_class else None,
        message=message or None,
    )
    return verdict.error_class, verdict.owner


def _stage(stage: str) -> ErrorStage | None:
    # Decoding has let only the contract's own words through.
    return cast("ErrorStage", stage) if stage else None


def scrub_error_messages(table: pa.Table, longest: int, redact: Redact) -> pa.Table:
    """Redact and cut `error_message`; messages of providers quote prompts and keys. One that cannot be redacted is dropped."""
    if not where_known(table, "error_message").any():
        return table
    messages: list[Any] = one_chunk(table, "error_message").to_pylist()
    scrubbed = [None if message is None else redact(message[: 4 * longest]) for message in messages]
    cut = [None if message is None else message[:longest] for message in scrubbed]
    return with_column(table, "error_message", pa.array(cut, pa.string()))
