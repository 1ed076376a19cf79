"""OpenTelemetry spans in the forms they are exported in → one flat row per span.

Understood are OTLP JSON (`resourceSpans`, with typed attribute values), the span JSON of the SDKs (`context`,
`attributes`, `start_time`) and flat objects with one span each, as trace data sets publish them.

A row has the attributes of the resource and of the span under their own names, and what belongs to the
span itself under names that begin with `span.`: `id`, `trace_id`, `parent_id`, `name`, `start_us`, `end_us`,
`duration_ms`, `status` (`ok`, `error`), `status_message`, `error_type`, `http_status`, `session_id`. Which spelling of an
attribute is which field is told by the mapping `otel-spans`, not here. Times without a zone are UTC, as
the SDKs write them.

Specifications: OTLP 1.x JSON encoding; https://github.com/open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tokentide.producers.replay.moments import moment_reader
from tokentide.producers.replay.values import BadValueError, as_number

Span = dict[str, object]

_NOT_CALLS: Final = frozenset(
    {"execute_tool", "invoke_agent", "create_agent", "invoke_workflow", "retrieval", "memory", "plan"}
)
"""Operations around a call. Agents repeat the usage of their calls: counting both would count twice."""
_CALL_KINDS: Final = frozenset({"LLM", "EMBEDDING"})
_SIGNS_OF_A_CALL: Final = (
    "gen_ai.request.model",
    "gen_ai.response.model",
    "llm.model_name",
    "llm.request.type",
    "request_model",
    "response_model",
)
_ERROR_STATUSES: Final = frozenset({"2", "error", "status_code_error", "statuscode.error"})
_FROM_TEXT: Final = moment_reader("text", "UTC", 0)
_FROM_NS: Final = moment_reader("ns", None, 0)
_FROM_S: Final = moment_reader("s", None, 0)


def is_model_call(span: Mapping[str, object]) -> bool:
    """A call of a model, as opposed to a span of an agent, a tool, a chain, or an HTTP request."""
    kind = span.get("openinference.span.kind")
    if kind is not None:
        return isinstance(kind, str) and kind in _CALL_KINDS
    operation = span.get("gen_ai.operation.name") or span.get("operation_name")
    if isinstance(operation, str) and operation in _NOT_CALLS:
        return False
    return operation is not None or any(span.get(name) is not None for name in _SIGNS_OF_A_CALL)


def spans_of(document: Span) -> Iterator[Span]:
    """The rows of one JSON object: of many spans, or of one.

    Raises:
        BadValueError: it is a span whose times or attributes cannot be read.
    """
    resources = document.get("resourceSpans") or document.get("resource_spans") or document.get("batches")
    if resources is not None:
        for resource in _objects(resources):
            yield from _resource_spans(resource)
    elif "startTimeUnixNano" in document or "start_time_unix_nano" in document:
        yield _otlp_span(document, {})
    elif isinstance(document.get("attributes"), dict):
        yield _sdk_span(document)
    else:
        yield _flat_span(document)


def _resource_spans(resource: Span) -> Iterator[Span]:
    shared = _attributes(_object(resource.get("resource")).get("attributes"))
    for key in ("scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
        for scope in _objects(resource.get(key)):
            for span in _objects(scope.get("spans")):
                yield _otlp_span(span, shared)


def _otlp_span(span: Span, resource: Span) -> Span:
    status = _object(span.get("status"))
    return _row(
        attributes={**resource, **_attributes(span.get("attributes"))},
        own={
            "span.id": _either(span, "spanId", "span_id"),
            "span.trace_id": _either(span, "traceId", "trace_id"),
            "span.parent_id": _either(span, "parentSpanId", "parent_span_id"),
            "span.name": span.get("name"),
            "span.status_message": status.get("message"),
        },
        start_us=_moment(_either(span, "startTimeUnixNano", "start_time_unix_nano"), _FROM_NS),
        end_us=_moment(_either(span, "endTimeUnixNano", "end_time_unix_nano"), _FROM_NS),
        is_error=_is_error(status.get("code")),
        events=[_attributes(event.get("attributes")) for event in _objects(span.get("events"))],
    )


def _sdk_span(span: Span) -> Span:
    context, status = _object(span.get("context")), _object(span.get("status"))
    resource = _object(_object(span.get("resource")).get("attributes"))
    return _row(
        attributes={**resource, **_object(span.get("attributes"))},
        own={
            "span.id": _hex(context.get("span_id") or span.get("span_id")),
            "span.trace_id": _hex(context.get("trace_id") or span.get("trace_id")),
            "span.parent_id": _hex(span.get("parent_id") or span.get("parent_span_id")),
            "span.name": span.get("name"),
            "span.status_message": status.get("description") or status.get("message"),
        },
        start_us=_moment(span.get("start_time"), _FROM_TEXT),
        end_us=_moment(span.get("end_time"), _FROM_TEXT),
        is_error=_is_error(status.get("status_code") or status.get("code")),
        events=[_object(event.get("attributes")) for event in _objects(span.get("events"))],
    )


def _flat_span(span: Span) -> Span:
    row = _row(
        attributes=span,
        own={
            "span.id": span.get("span_id"),
            "span.trace_id": span.get("trace_id"),
            "span.parent_id": span.get("parent_span_id"),
            "span.name": span.get("span_name") or span.get("name"),
            "span.status_message": span.get("status_message"),
            "span.session_id": span.get("session_id"),
        },
        start_us=_moment(_either(span, "start_time_iso", "start_time"), _FROM_TEXT),
        end_us=_moment(_either(span, "end_time_iso", "end_time"), _FROM_TEXT),
        is_error=span.get("is_error") is True or _is_error(span.get("status_code")),
        events=[],
    )
    if span.get("duration_ms") is not None:
        row["span.duration_ms"] = span["duration_ms"]
    return row


def _row(
    *,
    attributes: Span,
    own: Span,
    start_us: int | None,
    end_us: int | None,
    is_error: bool,
    events: list[Span],
) -> Span:
    row = {**attributes, **own, "span.start_us": start_us, "span.end_us": end_us}
    if start_us is not None and end_us is not None:
        row["span.duration_ms"] = (end_us - start_us) / 1000
    row["span.status"] = "error" if is_error else "ok"
    if is_error:
        # A span that went well may have seen exceptions and retried; only the failed one is told by them.
        row["span.error_type"] = _first("error.type", attributes, events) or _first(
            "exception.type", {}, events
        )
        row["span.http_status"] = attributes.get(
            "http.response.status_code", attributes.get("http.status_code")
        )
    else:
        row["span.status_message"] = None
    return row


def _first(name: str, attributes: Span, events: list[Span]) -> object:
    return next((found for part in (attributes, *events) if (found := part.get(name)) is not None), None)


def _moment(value: object, read: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int | float) and read is _FROM_TEXT:
        return _FROM_S(value)
    return _FROM_NS(value) if read is _FROM_NS else _FROM_TEXT(value)


def _attributes(value: object) -> Span:
    """OTLP's list of `{key, value: {stringValue | intValue | …}}`; a plain object is taken as it is."""
    if isinstance(value, dict):
        return value
    return {str(item.get("key")): _plain(item.get("value")) for item in _objects(value)}


def _plain(value: object) -> object:
    if not isinstance(value, dict):
        return value
    for key, inner in value.items():
        match key:
            case "stringValue" | "boolValue" | "string_value" | "bool_value":
                return inner
            case "intValue" | "doubleValue" | "int_value" | "double_value":
                return as_number(inner)
            case "arrayValue" | "array_value":
                return [_plain(item) for item in _object(inner).get("values") or []]  # type: ignore[attr-defined] # checked by _objects below
            case "kvlistValue" | "kvlist_value":
                return _attributes(_object(inner).get("values"))
            case _:
                pass
    return None


def _is_error(code: object) -> bool:
    return isinstance(code, str | int) and str(code).lower() in _ERROR_STATUSES


def _either(span: Span, *names: str) -> object:
    return next((span[name] for name in names if span.get(name) is not None), None)


def _hex(value: object) -> object:
    return value.removeprefix("0x") if isinstance(value, str) else value


def _object(value: object) -> Span:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadValueError("is no span: an object is expected where there is something else")
    return value


def _objects(value: object) -> list[Span]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadValueError("is no span: a list is expected where there is something else")
    return [_object(item) for item in value]
