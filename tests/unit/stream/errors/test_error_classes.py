"""Errors as providers, SDKs and HTTP libraries report them get the class and the owner of the contract."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import get_args

import pytest

from tokentide.schemas.call import ErrorClass, ErrorStage
from tokentide.stream.errors import Owner, Verdict, classify
from tokentide.stream.errors.codes import ABANDONED, BEYOND_STATUS, BUGS, FRAGMENTS, PHRASES, STATUSES, WORDS


@pytest.mark.parametrize(
    ("http_status", "error_type", "verdict"),
    [
        # OpenAI: type, code, or both; the type is general beside a code that says more
        (401, "invalid_request_error/invalid_api_key", ("auth", "application")),
        (429, "insufficient_quota", ("quota", "application")),
        (429, "tokens/rate_limit_exceeded", ("rate_limit", "provider")),
        (429, "requests", ("rate_limit", "provider")),
        (400, "invalid_request_error/context_length_exceeded", ("context_length", "application")),
        (404, "invalid_request_error/model_not_found", ("invalid_request", "application")),
        (400, "invalid_request_error/invalid_image_url", ("invalid_request", "application")),
        (400, "content_policy_violation", ("content_filter", "user")),
        (500, "server_error", ("server", "provider")),
        (503, "engine_overloaded", ("server", "provider")),
        (403, "unsupported_country_region_territory", ("auth", "application")),
        # its SDKs
        (429, "RateLimitError", ("rate_limit", "provider")),
        (None, "openai.APITimeoutError", ("timeout", "provider")),
        (None, "openai.APIConnectionError", ("network", "provider")),
        (400, "BadRequestError", ("invalid_request", "application")),
        (422, "UnprocessableEntityError", ("invalid_request", "application")),
        # Anthropic
        (529, "overloaded_error", ("server", "provider")),
        (400, "invalid_request_error", ("invalid_request", "application")),
        (401, "authentication_error", ("auth", "application")),
        (402, "billing_error", ("quota", "application")),
        (403, "permission_error", ("auth", "application")),
        (404, "not_found_error", ("invalid_request", "application")),
        (413, "request_too_large", ("context_length", "application")),
        (500, "api_error", ("server", "provider")),
        (504, "timeout_error", ("timeout", "provider")),
        (200, "overloaded_error", ("server", "provider")),  # inside a stream
        # Amazon Bedrock
        (429, "ThrottlingException", ("rate_limit", "provider")),
        (400, "ServiceQuotaExceededException", ("quota", "application")),
        (400, "ValidationException", ("invalid_request", "application")),
        (403, "AccessDeniedException", ("auth", "application")),
        (408, "ModelTimeoutException", ("timeout", "provider")),
        (424, "ModelErrorException", ("server", "provider")),
        (424, "ModelStreamErrorException", ("server", "provider")),
        (429, "ModelNotReadyException", ("server", "provider")),
        (503, "ServiceUnavailableException", ("server", "provider")),
        (403, "botocore.errorfactory.ExpiredTokenException", ("auth", "application")),
        (None, "botocore.exceptions.NoCredentialsError", ("auth", "application")),
        (None, "botocore.exceptions.EndpointConnectionError", ("network", "provider")),
        # Gemini and Vertex
        (429, "RESOURCE_EXHAUSTED", ("rate_limit", "provider")),
        (400, "INVALID_ARGUMENT", ("invalid_request", "application")),
        (400, "API_KEY_INVALID", ("auth", "application")),
        (400, "FAILED_PRECONDITION", ("invalid_request", "application")),
        (403, "PERMISSION_DENIED", ("auth", "application")),
        (503, "UNAVAILABLE", ("server", "provider")),
        (504, "DEADLINE_EXCEEDED", ("timeout", "provider")),
        (200, "SAFETY", ("content_filter", "user")),
        (200, "PROHIBITED_CONTENT", ("content_filter", "user")),
        (None, "google.api_core.exceptions.ResourceExhausted", ("rate_limit", "provider")),
        # Azure
        (200, "content_filter", ("content_filter", "user")),
        (400, "ResponsibleAIPolicyViolation", ("content_filter", "user")),
        (404, "DeploymentNotFound", ("invalid_request", "application")),
        (401, "401", ("auth", "application")),
        (None, "OperationTimedOut", ("timeout", "provider")),
        # Cohere, Mistral, OpenRouter, LiteLLM
        (429, "TooManyRequestsError", ("rate_limit", "provider")),
        (498, "InvalidTokenError", ("auth", "application")),
        (422, "HTTPValidationError", ("invalid_request", "application")),
        (402, None, ("quota", "application")),
        (400, "litellm.ContextWindowExceededError", ("context_length", "application")),
        (400, "litellm.ContentPolicyViolationError", ("content_filter", "user")),
        (None, "BudgetExceededError", ("quota", "application")),
        (500, "litellm.APIConnectionError", ("network", "provider")),
        (408, "litellm.Timeout", ("timeout", "provider")),
        # HTTP libraries
        (None, "httpx.ReadTimeout", ("timeout", "provider")),
        (None, "httpx.ConnectError", ("network", "provider")),
        (None, "httpx.RemoteProtocolError", ("network", "provider")),
        (None, "requests.exceptions.ConnectionError", ("network", "provider")),
        (None, "requests.exceptions.Timeout", ("timeout", "provider")),
        (None, "aiohttp.client_exceptions.ServerDisconnectedError", ("network", "provider")),
        (None, "asyncio.TimeoutError", ("timeout", "provider")),
        (None, "socket.timeout", ("timeout", "provider")),
        (None, "ssl.SSLCertVerificationError", ("network", "provider")),
        (None, "socket.gaierror", ("network", "provider")),
        (None, "ECONNRESET", ("network", "provider")),
        (None, "ETIMEDOUT", ("timeout", "provider")),
        (None, "BrokenPipeError", ("network", "provider")),
        # OpenTelemetry's error.type: a status, a class, or _OTHER
        (None, "429", ("rate_limit", "provider")),
        (None, "503", ("server", "provider")),
        (None, "timeout", ("timeout", "provider")),
        (None, "_OTHER", ("other", None)),
        # a sentence
        (None, "429 Too Many Requests", ("rate_limit", "provider")),
        (None, "RateLimitError: the model is overloaded, try again", ("rate_limit", "provider")),
        (None, "Not Found", ("invalid_request", "application")),
        (None, "the model said no", ("other", None)),
        # names that are in no list
        (None, "AcmeGatewayTimeoutReached", ("timeout", "provider")),
        (None, "AcmeThrottled2", ("rate_limit", "provider")),
        (None, "UserAuthenticationRejected", ("auth", "application")),
        (None, "SomethingElse", ("other", None)),
        # the application's own, and the caller's
        (None, "ValueError", ("other", "application")),
        (None, "json.JSONDecodeError", ("other", "application")),
        (None, "asyncio.CancelledError", ("other", "user")),
        (None, "APIUserAbortError", ("other", "user")),
        (499, None, ("other", "user")),
        # nothing at all
        (None, None, ("other", None)),
        (None, "", ("other", None)),
        (None, "   ", ("other", None)),
        (200, None, ("other", None)),
    ],
)
def test_an_error_as_reported_has_its_class_and_owner(
    http_status: int | None, error_type: str | None, verdict: tuple[ErrorClass, Owner | None]
) -> None:
    assert classify(http_status, error_type) == verdict


@pytest.mark.parametrize(
    ("http_status", "expected"),
    [
        (400, "invalid_request"),
        (404, "invalid_request"),
        (409, "invalid_request"),
        (418, "invalid_request"),
        (401, "auth"),
        (402, "quota"),
        (403, "auth"),
        (408, "timeout"),
        (413, "context_length"),
        (422, "invalid_request"),
        (424, "server"),
        (429, "rate_limit"),
        (500, "server"),
        (502, "server"),
        (503, "server"),
        (504, "timeout"),
        (520, "server"),
        (522, "timeout"),
        (524, "timeout"),
        (529, "server"),
        (302, "other"),
    ],
)
def test_a_status_alone_has_a_class(http_status: int, expected: ErrorClass) -> None:
    assert classify(http_status, None).error_class == expected


def test_a_general_word_gives_way_to_the_status() -> None:
    """Anthropic uses `invalid_request_error` for any 4xx, OpenAI `api_error` for any 5xx."""
    assert classify(429, "invalid_request_error").error_class == "rate_limit"
    assert classify(504, "api_error").error_class == "timeout"
    assert classify(500, "invalid_request_error").error_class == "server"


@pytest.mark.parametrize(
    ("http_status", "error_type", "message", "expected"),
    [
        (
            400,
            "invalid_request_error",
            "prompt is too long: 212345 tokens > 200000 maximum",
            "context_length",
        ),
        (400, "ValidationException", "Input is too long for requested model.", "context_length"),
        (400, None, "This model's maximum context length is 8192 tokens.", "context_length"),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", "quota"),
        (None, None, "You exceeded your current quota, please check your plan.", "quota"),
        (None, "Error", "Request timed out.", "timeout"),
        (400, None, "The response was filtered due to Azure Content management policy.", "content_filter"),
        (429, None, "This model's maximum context length is 8192 tokens.", "rate_limit"),
        (401, "AuthenticationError", "rate limit", "auth"),
        (400, None, "something unusual", "invalid_request"),
    ],
)
def test_a_message_is_asked_only_where_nothing_else_is_specific(
    http_status: int | None, error_type: str | None, message: str, expected: ErrorClass
) -> None:
    assert classify(http_status, error_type, message=message).error_class == expected


def test_the_class_that_the_application_states_is_kept() -> None:
    assert classify(500, "RateLimitError", given_class="quota") == ("quota", "application")
    assert classify(None, None, given_class="other") == ("other", None)


@pytest.mark.parametrize(
    ("stage", "error_type", "owner"),
    [
        (None, "ReadTimeout", "provider"),
        ("model_call", "ReadTimeout", "provider"),
        ("context", "ReadTimeout", "application"),
        ("prompt_render", "KeyError", "application"),
        ("prompt_render", None, "application"),
        ("output", "OutputParserException", "application"),
        ("output", "content_filter", "user"),
        ("compliance", None, "application"),
        ("compliance", "content_filter", "user"),
        ("input_parse", "ValidationError", "user"),
        ("input_parse", None, "user"),
        ("input_parse", "TimeoutError", "application"),
        ("model_call", "KeyError", "application"),
        ("model_call", None, None),
        ("context", "asyncio.CancelledError", "user"),
    ],
)
def test_the_owner_follows_the_stage(
    stage: ErrorStage | None, error_type: str | None, owner: Owner | None
) -> None:
    assert classify(None, error_type, stage=stage).owner == owner


@pytest.mark.parametrize("stage", [None, *get_args(ErrorStage)])
@pytest.mark.parametrize("given", get_args(ErrorClass))
def test_every_class_in_every_stage_has_a_verdict_of_the_contract(
    given: ErrorClass, stage: ErrorStage | None
) -> None:
    verdict = classify(None, None, stage=stage, given_class=given)
    assert isinstance(verdict, Verdict)
    assert verdict.error_class == given
    assert verdict.owner in (*get_args(Owner), None)
    assert (verdict.owner is None) == (given == "other" and stage in (None, "model_call"))


def test_the_words_are_written_as_they_are_looked_up_and_in_one_class_only() -> None:
    words = [
        word for listed in (*WORDS.values(), " ".join(ABANDONED), " ".join(BUGS)) for word in listed.split()
    ]
    assert sorted(words) == sorted(set(words))
    assert set(WORDS["server"].split()) > BEYOND_STATUS
    for word in words:
        assert word.isascii()
        assert word.isalnum()
        assert word == word.lower()
        assert not word.endswith(("error", "exception", "fault"))
    classes = set(get_args(ErrorClass)) - {"other"}
    assert set(WORDS) == set(FRAGMENTS) == classes
    assert {name for _, name in PHRASES} < classes
    assert set(STATUSES.values()) <= classes | {"other"}


@pytest.mark.parametrize(
    "odd", ["." * 99_999, "_.-" * 99_999, "error" * 99_999 + "x", "A." * 99_999, "\x00", "…", "/"]
)
def test_a_text_that_is_no_name_is_no_burden(odd: str) -> None:
    assert classify(None, odd, message=odd) == ("other", None)
    assert classify(503, odd) == ("server", "provider")


@pytest.mark.data
def test_the_recorded_failures_have_their_classes(public_data: Path) -> None:
    folder = public_data / "provider_calls"
    with gzip.open(folder / "llm_calls_openllmetry.jsonl.gz") as file:
        statuses = {call["id"]: call["status"] for call in map(json.loads, file)}
    found = {}
    for line in (folder / "llm_calls_openllmetry.expected.jsonl").read_text().splitlines():
        call = json.loads(line)
        if error := call["error"]:
            named = "/".join(str(part) for part in (error["type"], error["code"]) if part is not None)
            verdict = classify(statuses[call["id"]], named or None)
            with_message = classify(statuses[call["id"]], named or None, message=error["message"])
            assert with_message == verdict
            found[call["provider"], error["code"]] = verdict
    assert found == {
        ("cohere", None): ("invalid_request", "application"),  # a model that was removed, twice
        ("openai", "model_not_found"): ("invalid_request", "application"),
        ("openai", "invalid_image_url"): ("invalid_request", "application"),
        ("azure.ai.openai", "DeploymentNotFound"): ("invalid_request", "application"),
        ("azure.ai.openai", "content_filter"): ("content_filter", "user"),
        ("azure.ai.openai", "401"): ("auth", "application"),
    }
