"""Spans in every form that OpenTelemetry exports, with old and new names of attributes."""

from __future__ import annotations

import io
import json

import pytest

from tokentide.producers.replay.compiling import MappedRow, RowSettings
from tokentide.producers.replay.load import load_mapping
from tokentide.producers.replay.run import map_rows
from tokentide.schemas.call import CallEvent

START_NS, END_NS = 1_776_685_494_855_935_000, 1_776_685_509_572_759_123
END_TEXT = "2026-04-20T11:45:09.572759Z"


def attribute(key: str, value: object) -> dict:
    match value:
        case bool():
            wrapped: dict = {"boolValue": value}
        case int():
            wrapped = {"intValue": str(value)}
        case float():
            wrapped = {"doubleValue": value}
        case list():
            wrapped = {"arrayValue": {"values": [{"stringValue": item} for item in value]}}
        case _:
            wrapped = {"stringValue": value}
    return {"key": key, "value": wrapped}


def otlp_span(attributes: dict, **more) -> dict:
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "eee19b7ec3c1b173",
        "name": "chat gpt-4o",
        "kind": 3,
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(END_NS),
        "attributes": [attribute(key, value) for key, value in attributes.items()],
        "status": {"code": 1},
        **more,
    }


def otlp(*spans: dict, resource: dict | None = None) -> dict:
    attributes = [attribute(key, value) for key, value in (resource or {}).items()]
    return {
        "resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}]
    }


def rows(*documents: object, pretty: bool = False, **values: str):
    text = "\n".join(json.dumps(document, indent=1 if pretty else None) for document in documents)
    settings = RowSettings(values=values)
    return list(map_rows(io.BytesIO(text.encode()), load_mapping("otel-spans"), settings))


def event_of(document: object, **values: str) -> dict:
    (row,) = rows(document, **values)
    assert isinstance(row, MappedRow), row
    CallEvent.model_validate(row.event)
    return row.event


NEW = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 60,
    "gen_ai.usage.cache_write.input_tokens": 10,
    "gen_ai.usage.reasoning.output_tokens": 5,
    "gen_ai.conversation.id": "c1",
    "gen_ai.request.stream": True,
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.prompt.name": "answer",
}
RESOURCE = {
    "service.name": "shop",
    "deployment.environment.name": "staging",
    "service.version": "1.4",
    "cloud.region": "eu",
}
EXPECTED = {
    "timestamp": END_TEXT,
    "service": "shop",
    "environment": "staging",
    "region": "eu",
    "deployment": "1.4",
    "trace_id": "5b8efff798038103d269b633813fc60c",
    "span_id": "eee19b7ec3c1b174",
    "parent_span_id": "eee19b7ec3c1b173",
    "request_id": "chatcmpl-1",
    "conversation_id": "c1",
    "operation": "chat",
    "provider": "openai",
    "request_model": "gpt-4o",
    "response_model": "gpt-4o-2024-08-06",
    "stream": True,
    "finish_reasons": ["stop"],
    "prompt_name": "answer",
    "input_tokens": 100,
    "output_tokens": 20,
    "cache_read_input_tokens": 60,
    "cache_write_input_tokens": 10,
    "reasoning_output_tokens": 5,
    "status": "ok",
    "duration_ms": 14716.824,
    "time_to_first_chunk_ms": 250.0,
}


def test_otlp_json_becomes_an_event_field_by_field():
    event = event_of(otlp(otlp_span(NEW), resource=RESOURCE))
    assert {key: value for key, value in event.items() if key != "event_id"} == EXPECTED


def test_the_event_time_is_the_end_of_the_span():
    assert event_of(otlp(otlp_span(NEW)))["timestamp"] == END_TEXT


@pytest.mark.parametrize(
    ("old", "field", "value"),
    [
        ({"gen_ai.system": "anthropic"}, "provider", "anthropic"),
        ({"gen_ai.usage.prompt_tokens": 7}, "input_tokens", 7),
        ({"gen_ai.usage.completion_tokens": 8}, "output_tokens", 8),
        ({"gen_ai.usage.cache_creation.input_tokens": 3}, "cache_write_input_tokens", 3),
        ({"gen_ai.usage.cache_creation_input_tokens": 3}, "cache_write_input_tokens", 3),
        ({"gen_ai.usage.cache_read_input_tokens": 2}, "cache_read_input_tokens", 2),
        ({"gen_ai.usage.reasoning_tokens": 1}, "reasoning_output_tokens", 1),
        ({"llm.token_count.prompt": 7, "openinference.span.kind": "LLM"}, "input_tokens", 7),
        ({"llm.token_count.prompt_details.cache_read": 2}, "cache_read_input_tokens", 2),
        ({"llm.model_name": "m"}, "request_model", "m"),
        ({"llm.provider": "azure"}, "provider", "azure"),
        ({"llm.is_streaming": False}, "stream", False),
        ({"deployment.environment": "prod"}, "environment", "prod"),
        ({"session.id": "s1"}, "conversation_id", "s1"),
        ({"gen_ai.openai.response.service_tier": "flex"}, "service_tier", "flex"),
        ({"gen_ai.server.time_to_first_token": 0.1}, "time_to_first_chunk_ms", 100.0),
    ],
)
def test_old_and_foreign_names_are_understood(old, field, value):
    base = {} if "openinference.span.kind" in old else {"gen_ai.operation.name": "chat"}
    assert event_of(otlp(otlp_span({**base, **old})))[field] == value


def test_the_newest_name_wins_where_a_span_has_several():
    names = {"gen_ai.operation.name": "chat", "gen_ai.usage.prompt_tokens": 1, "gen_ai.usage.input_tokens": 2}
    assert event_of(otlp(otlp_span(names)))["input_tokens"] == 2


@pytest.mark.parametrize(
    ("old", "new"), [("completion", "text_completion"), ("embedding", "embeddings"), ("chat", "chat")]
)
def test_kinds_of_requests_are_translated(old, new):
    assert event_of(otlp(otlp_span({"llm.request.type": old})))["operation"] == new


def test_an_error_span_tells_type_message_and_status():
    span = otlp_span(
        {"gen_ai.operation.name": "chat", "error.type": "RateLimitError", "http.response.status_code": 429},
        status={"code": 2, "message": "slow down"},
    )
    event = event_of(otlp(span))
    assert event["status"] == "error"
    assert event["error"] == {"type": "RateLimitError", "message": "slow down", "http_status": 429}


def test_the_exception_of_an_error_span_names_the_type_where_nothing_else_does():
    events = [{"name": "exception", "attributes": [attribute("exception.type", "TimeoutError")]}]
    span = otlp_span({"gen_ai.operation.name": "chat"}, status={"code": "STATUS_CODE_ERROR"}, events=events)
    assert event_of(otlp(span))["error"] == {"type": "TimeoutError"}


def test_a_span_that_went_well_has_no_error_whatever_it_saw_on_the_way():
    events = [{"name": "exception", "attributes": [attribute("exception.type", "TimeoutError")]}]
    span = otlp_span({"gen_ai.operation.name": "chat", "http.status_code": 200}, events=events)
    event = event_of(otlp(span))
    assert event["status"] == "ok"
    assert "error" not in event


@pytest.mark.parametrize(
    "attributes",
    [
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 5,
        },
        {"gen_ai.operation.name": "execute_tool"},
        {"openinference.span.kind": "CHAIN", "llm.model_name": "m"},
        {"openinference.span.kind": "AGENT"},
        {"http.request.method": "POST"},
        {},
    ],
)
def test_spans_around_a_call_are_left_out_so_that_usage_is_not_counted_twice(attributes):
    assert rows(otlp(otlp_span(attributes), otlp_span(NEW)))[0] is None
    assert rows(otlp(otlp_span(NEW), otlp_span(attributes)))[1] is None


def test_spans_of_one_document_have_ids_of_their_own():
    first, second = rows(otlp(otlp_span(NEW), otlp_span(NEW)))
    assert first.event["event_id"] != second.event["event_id"]


def test_a_file_may_be_one_document_over_many_lines():
    (row,) = rows(otlp(otlp_span(NEW)), pretty=True)
    assert row.event["input_tokens"] == 100


def test_the_json_of_the_python_sdk_is_understood():
    span = {
        "name": "chat gpt-4o",
        "context": {
            "trace_id": "0x5b8efff798038103d269b633813fc60c",
            "span_id": "0xeee19b7ec3c1b174",
            "trace_state": "[]",
        },
        "kind": "SpanKind.CLIENT",
        "parent_id": "0xeee19b7ec3c1b173",
        "start_time": "2026-04-20T11:44:54.855935Z",
        "end_time": END_TEXT,
        "status": {"status_code": "ERROR", "description": "RuntimeError: x"},
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 3},
        "events": [],
        "resource": {"attributes": {"service.name": "shop"}, "schema_url": ""},
    }
    event = event_of(span)
    assert (event["service"], event["span_id"], event["input_tokens"]) == ("shop", "eee19b7ec3c1b174", 3)
    assert (event["timestamp"], event["duration_ms"]) == (END_TEXT, 14716.824)
    assert event["error"] == {"message": "RuntimeError: x"}


def test_a_flat_span_is_understood_and_a_time_without_zone_is_utc():
    flat = {
        "operation_name": "chat",
        "span_id": "a1",
        "session_id": "s1",
        "start_time_iso": "2026-04-20T17:43:21.212927",
        "end_time_iso": "2026-04-20T17:43:21.212927",
        "duration_ms": 0.0,
        "request_model": "azure/Kimi-K2.5",
        "response_id": None,
        "finish_reasons": [],
        "input_tokens": 0,
        "status_code": 2,
        "status_message": "",
        "is_error": True,
    }
    event = event_of(flat)
    assert event["timestamp"] == "2026-04-20T17:43:21.212927Z"
    assert (event["status"], event["conversation_id"], event["span_id"]) == ("error", "s1", "a1")
    assert "finish_reasons" not in event
    assert "error" not in event


def test_exclusive_cache_numbers_are_bad_rows_until_the_user_says_what_they_are():
    span = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 50,
    }
    (row,) = rows(otlp(otlp_span(span)))
    assert "is more than input_tokens" in row.reason
    assert event_of(otlp(otlp_span(span)), cache_reporting="exclusive")["cache_reporting"] == "exclusive"


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"resourceSpans": 5}, "is no span: a list is expected where there is something else"),
        (otlp({"startTimeUnixNano": "x", "attributes": []}), "is text of 1 character; must be a number"),
        ({"operation_name": "chat"}, "is absent; every event needs a time"),
    ],
)
def test_what_is_no_span_makes_a_bad_row(span, reason):
    (row,) = rows(span)
    assert row.reason == reason
