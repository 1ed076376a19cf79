from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import from_json

from tokentide.schemas.call import CallEvent
from tokentide.schemas.problems import Problem, kind_of, problem_of
from tokentide.schemas.rejects import RejectReason

BASE = {"event_id": "e", "timestamp": 1_769_860_800, "service": "s"}
CANARY = "canary-7f3a-prompt"


def problem(**fields: Any) -> Problem:
    event = {name: value for name, value in {**BASE, **fields}.items() if value is not ...}
    with pytest.raises(ValidationError) as refused:
        CallEvent.model_validate(event)
    return problem_of(refused.value)


@pytest.mark.parametrize(
    ("fields", "reason", "field", "text"),
    [
        ({"service": ...}, "missing_field", "service", "service: is required and missing; add it"),
        ({"service": None}, "wrong_type", "service", "service: is null; must be text"),
        ({"service": ""}, "invalid_value", "service", "service: is text of 0 characters; must not be empty"),
        (
            {"output_tokens": "12"},
            "wrong_type",
            "output_tokens",
            "output_tokens: is text of 2 characters; must be a whole number; leave it out if unknown",
        ),
        (
            {"output_tokens": 1.5},
            "wrong_type",
            "output_tokens",
            "output_tokens: is the number 1.5; must be a whole number; leave it out if unknown",
        ),
        (
            {"output_tokens": -1},
            "inconsistent",
            "output_tokens",
            "output_tokens: is the number -1; must be at least 0; leave it out if unknown",
        ),
        (
            {"cost_usd": -0.5},
            "inconsistent",
            "cost_usd",
            "cost_usd: is the number -0.5; must be at least 0; leave it out if unknown",
        ),
        (
            {"duration_ms": float("nan")},
            "inconsistent",
            "duration_ms",
            "duration_ms: is the number nan; must be a finite number; leave it out if unknown",
        ),
        (
            {"duration_ms": [1]},
            "wrong_type",
            "duration_ms",
            "duration_ms: is a list of 1; must be a number; leave it out if unknown",
        ),
        (
            {"gpu_utilization": 2},
            "invalid_value",
            "gpu_utilization",
            "gpu_utilization: is the number 2; must be at most 1.0",
        ),
        (
            {"stream": "yes"},
            "wrong_type",
            "stream",
            "stream: is text of 3 characters; must be true or false; leave it out if unknown",
        ),
        (
            {"feature": "x" * 201},
            "invalid_value",
            "feature",
            "feature: is text of 201 characters; must not be longer than 200",
        ),
        (
            {"response_cache": "warm"},
            "invalid_value",
            "response_cache",
            "response_cache: is text of 4 characters; must be one of 'none', 'exact' or 'semantic'",
        ),
        ({"error": []}, "wrong_type", "error", "error: is a list of 0; must be an object"),
        (
            {"error": {"class": 5}},
            "invalid_value",
            "error.class",
            (
                "error.class: is the number 5; must be one of 'timeout', 'rate_limit', 'auth', 'quota', 'context_length', "
                "'invalid_request', 'content_filter', 'server', 'network' or 'other'"
            ),
        ),
        (
            {"finish_reasons": ["stop", 5]},
            "wrong_type",
            "finish_reasons.1",
            "finish_reasons.1: is the number 5; must be text",
        ),
        (
            {"finish_reasons": "stop"},
            "wrong_type",
            "finish_reasons",
            "finish_reasons: is text of 4 characters; must be a list",
        ),
        (
            {"input": 5},
            "wrong_type",
            "input",
            "input: is the number 5; must be text or a list of messages (objects)",
        ),
        (
            {"timestamp": "2026-01-31T12:00:00"},
            "invalid_value",
            "timestamp",
            (
                "timestamp: is text of 19 characters; not RFC 3339 with a zone, such as 2026-01-31T12:00:00.250Z "
                "(no leap second)"
            ),
        ),
        (
            {"timestamp": True},
            "wrong_type",
            "timestamp",
            "timestamp: is true; must be RFC 3339 text or a number since 1970",
        ),
        (
            {"schema_version": 2},
            "unsupported_version",
            "schema_version",
            "schema_version: is the number 2; must be one of 1",
        ),
        (
            {"cache_read_input_tokens": 7, "input_tokens": 5},
            "inconsistent",
            None,
            "cache_read_input_tokens + cache_write_input_tokens (7) is more than input_tokens (5), which contains it",
        ),
    ],
)
def test_the_text_names_field_kind_and_remedy(
    fields: dict[str, Any], reason: str, field: str | None, text: str
) -> None:
    assert problem(**fields) == Problem(RejectReason(reason), text, field)


def test_up_to_three_problems_are_named_and_the_rest_is_counted() -> None:
    found = problem(event_id=..., turn=0, attempts=0, memory_mb=-1, stream=3)
    assert found.reason is RejectReason.MISSING_FIELD  # the first one decides
    assert found.field == "event_id"
    assert found.error == (
        "event_id: is required and missing; add it; "
        "turn: is the number 0; must be at least 1; leave it out if unknown; "
        "stream: is the number 3; must be true or false; leave it out if unknown; and 2 more"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"service": [CANARY]},
        {"status": CANARY},
        {"timestamp": CANARY},
        {"cost_usd": CANARY},
        {"input_tokens": CANARY},
        {"duration_ms": CANARY},
        {"stream": CANARY},
        {"error": CANARY},
        {"error": {"class": CANARY}},
        {"feature": CANARY * 20},
        {"finish_reasons": [{CANARY: CANARY}]},
        {"input": {CANARY: CANARY}},
        {"output": [CANARY]},
        {"labels": {CANARY: 5}},
        {"labels": {CANARY * 20: "x"}},
        {"labels": {"x": CANARY * 20}},
        {"labels": CANARY},
        {"quality": {"score": CANARY}},
        {"schema_version": CANARY},
        {"event_type": CANARY},
        {CANARY: 1, "input_tokens": 1, "cache_read_input_tokens": 2},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_no_text_of_the_sender_is_repeated(fields: dict[str, Any]) -> None:
    found = problem(**fields)
    assert CANARY not in f"{found.error} {found.field}"


def test_the_text_stays_short_whatever_was_sent() -> None:
    found = problem(labels={f"{n}" * 10_000: n for n in range(10)}, duration_ms=10**4000, feature="x" * 10**6)
    assert len(found.error) < 1_000


def test_labels_are_named_as_a_whole_and_the_text_says_what_of_them() -> None:
    assert problem(labels={"secret_name": 5}) == Problem(
        RejectReason.WRONG_TYPE, "labels: one value is the number 5; must be text", "labels"
    )
    assert problem(labels={"k" * 65: "x"}).error == (
        "labels: one key is text of 65 characters; must not be longer than 64"
    )


@pytest.mark.parametrize(
    ("json", "kind"),
    [
        ("null", "null"),
        ("true", "true"),
        ("false", "false"),
        ("-1.5", "the number -1.5"),
        ("1e400", "the number inf"),
        ("9" * 41, "a number of many digits"),
        ("9" * 4299, "a number of many digits"),
        ('"secret"', "text of 6 characters"),
        ("[1, 2]", "a list of 2"),
        ('{"a": 1}', "an object of 1 field"),
    ],
)
def test_kinds_are_named_without_text(json: str, kind: str) -> None:
    assert kind_of(from_json(json)) == kind
