"""The settings that a statement runs with: the request's own, those we add, and what a reader may change.

A reader's statement runs under `readonly = 1`, with which the engine refuses every further change, also in a
SETTINGS clause. What a reader's *request* may set is therefore decided here, before: how results look and how they
are computed, not how much they may use; limits can only be lowered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tokentide.embedded.clickhouse.engine import quoted
from tokentide.embedded.clickhouse.errors import Code, ServerError
from tokentide.embedded.clickhouse.guard import REFUSED_SETTINGS, Access, not_reachable
from tokentide.embedded.clickhouse.options import ReaderLimits

_READER_MAY_SET: Final = re.compile(
    r"(?:output_format|format|input_format|date_time|http)_\w+"
    r"|(?:join|group_by|distinct|sort|aggregat\w+|prefer|optimize|use|query_plan|force)_\w+"
    r"|limit|offset|extremes|final|max_block_size|session_timezone|join_algorithm"
    r"|enable_http_compression|send_progress_in_http_headers|cancel_http_readonly_queries_on_client_close"
    r"|add_http_cors_header|any_join_distinct_right_table_keys|cast_keep_nullable|count_distinct_implementation"
    r"|decimal_check_overflow|enable_analyzer|allow_experimental_analyzer|union_default_mode"
    r"|network_compression_method|network_zstd_compression_level|log_comment|log_queries|readonly"
    r"|timeout_overflow_mode|result_overflow_mode|wait_for_async_insert|async_insert"
)
_LIMITED: Final = frozenset(
    {"max_execution_time", "max_memory_usage", "max_result_rows", "max_result_bytes", "max_threads"}
)


def statement_settings(
    requested: Mapping[str, str],
    *,
    access: Access,
    query_id: str,
    limits: ReaderLimits,
    reading_threads: int | None = None,
) -> dict[str, str]:
    """All settings for one statement, in the order in which they may be applied.

    Args:
        requested: of the URL.
        access: of the user.
        query_id: stands in `log_comment`, by which the statement can be found and cancelled: the engine in
            process gives statements ids of its own.
        limits: of readers.
        reading_threads: of a statement of the full user that reads, unless the request says otherwise; None: as the engine
            likes.

    Raises:
        ServerError: a reader asks for what only the full user may set.
    """
    for name in requested:
        if name.lower() in REFUSED_SETTINGS:
            raise not_reachable(f"setting {name}")
    settings = dict(requested)
    if access is Access.READER:
        settings = _reader_settings(requested, limits)
    elif reading_threads is not None:
        settings.setdefault("max_threads", str(reading_threads))
    settings["log_comment"] = query_id
    if "readonly" in settings:  # last: it forbids the others
        settings["readonly"] = settings.pop("readonly")
    return settings


def set_statement(settings: Mapping[str, str]) -> str:
    """The SET statement for some settings; values are checked by the engine."""
    return "SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items())


def _reader_settings(requested: Mapping[str, str], limits: ReaderLimits) -> dict[str, str]:
    settings = {
        "max_execution_time": repr(limits.max_execution_s),
        "max_memory_usage": str(limits.max_memory_bytes),
        "max_result_rows": str(limits.max_result_rows),
        "max_result_bytes": str(limits.max_result_bytes),
        "max_threads": str(limits.max_threads),
        **({"os_thread_priority": str(limits.nice)} if limits.nice else {}),
    }
    for name, value in requested.items():
        if name == "max_threads" and not value.isdecimal():  # `auto` is as many as there are cores
            continue
        if name in _LIMITED:
            settings[name] = _lower(value, settings[name])
        elif _READER_MAY_SET.fullmatch(name):
            settings[name] = value
        else:
            raise ServerError(Code.READONLY, f"Cannot modify '{name}' setting in readonly mode")
    settings["readonly"] = "1"
    return settings


def _lower(wanted: str, limit: str) -> str:
    """The smaller limit; 0 is none, so it is the larger one. What is not a number is left to the engine."""
    try:
        number = float(wanted)
    except ValueError:
        return wanted
    return wanted if 0 < number < float(limit) else limit
