"""From an exception to the event's `error` and `status`. No provider's SDK is imported: the attributes
that their exceptions have in common are looked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from tokentide.schemas.limits import MAX_ERROR_MESSAGE, MAX_TEXT

_LONGEST_CHAIN: Final = 8


class Failure(NamedTuple):
    """How a call ended that did not end well."""

    status: str
    error: dict[str, object] | None
    """None for a cancelled call: that is no error."""


def failure_of(error: BaseException, *, stage: str | None, with_message: bool) -> Failure:
    """Return status and error of an exception that left a call.

    Whatever is no `Exception` (cancellation by asyncio, trio or Ctrl-C, a generator that is closed, the
    end of the program) is `cancelled`: the model did not fail.
    """
    if isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception):
        return Failure("cancelled", None)
    fields: dict[str, object] = {"type": _type(error)}
    if with_message and (message := _message(error)):
        fields["message"] = message
    if (status := http_status(error)) is not None:
        fields["http_status"] = status
    if stage is not None:
        fields["stage"] = stage
    return Failure("error", fields)


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status that an exception carries, itself or in its response, or None."""
    response = getattr(error, "response", None)
    candidates: list[object] = [
        getattr(error, "status_code", None),  # openai, anthropic, mistral, cohere
        getattr(response, "status_code", None),  # httpx, requests
        getattr(error, "status", None),  # aiohttp
        getattr(error, "code", None),  # urllib, google.api_core
    ]
    if isinstance(response, Mapping):  # botocore
        metadata = response.get("ResponseMetadata")
        candidates.append(metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None)
    for value in candidates:
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return int(value.value) if isinstance(value, HTTPStatus) else int(value)
    return None


def is_from(error: BaseException, origin: BaseException) -> bool:
    """Return whether `error` is `origin` or was raised because of it."""
    seen: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if seen is origin:
            return True
        if seen is None:
            return False
        seen = seen.__cause__ or seen.__context__
    return False


def _type(error: BaseException) -> str:
    """The provider's own code where there is one: it tells a spent quota from a rate limit."""
    response = getattr(error, "response", None)
    body = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, Mapping) else None
    candidates: list[object] = [
        getattr(error, "code", None),  # openai: insufficient_quota, context_length_exceeded, …
        inner.get("type") if isinstance(inner, Mapping) else None,  # anthropic: overloaded_error, …
    ]
    if isinstance(response, Mapping):  # botocore: ThrottlingException, …
        failure = response.get("Error")
        candidates.append(failure.get("Code") if isinstance(failure, Mapping) else None)
    for value in candidates:
        if isinstance(value, str) and value and not value.isdigit():
            return value[:MAX_TEXT]
    return type(error).__name__[:MAX_TEXT]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MAX_ERROR_MESSAGE]
    except Exception:  # noqa: BLE001 - an exception whose text raises is still an exception
        return ""
