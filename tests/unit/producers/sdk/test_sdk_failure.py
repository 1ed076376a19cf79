from __future__ import annotations

import urllib.error
from email.message import Message
from types import SimpleNamespace

import pytest

from tokentide.producers.failure import failure_of, http_status


def error_of(error: BaseException) -> dict[str, object]:
    failure = failure_of(error, stage=None, with_message=True)
    assert failure.status == "error"
    assert failure.error is not None
    return failure.error


def made(name: str, text: str = "text", **attributes: object) -> Exception:
    """An exception of a class with this name, as another library would raise it."""
    error: Exception = type(name, (Exception,), {})(text)
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


def test_openai_s_code_tells_a_spent_quota_from_a_rate_limit():
    quota = made("RateLimitError", status_code=429, code="insufficient_quota", body={"message": "…"})
    limit = made("RateLimitError", status_code=429, code=None, body=None)
    assert error_of(quota) == {"type": "insufficient_quota", "message": "text", "http_status": 429}
    assert error_of(limit) == {"type": "RateLimitError", "message": "text", "http_status": 429}


def test_anthropic_s_type_is_in_the_body():
    error = made(
        "InternalServerError",
        status_code=529,
        body={"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    )
    assert error_of(error)["type"] == "overloaded_error"
    assert error_of(error)["http_status"] == 529


def test_botocore_s_code_and_status_are_in_the_response():
    error = made(
        "ClientError",
        response={"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 429}},
    )
    assert error_of(error) == {"type": "ThrottlingException", "message": "text", "http_status": 429}


@pytest.mark.parametrize(
    "error",
    [
        made("HTTPStatusError", response=SimpleNamespace(status_code=503)),  # httpx, requests
        made("ClientResponseError", status=503),  # aiohttp
        made("ServiceUnavailable", code=503),  # google.api_core
        urllib.error.HTTPError("http://x", 503, "Service Unavailable", Message(), None),
    ],
)
def test_the_status_is_found_where_each_library_keeps_it(error):
    assert http_status(error) == 503
    assert error_of(error)["type"] == type(error).__name__


@pytest.mark.parametrize("value", ["503", 7, 1000, True, None, object()])
def test_what_is_no_status_is_left_out(value):
    assert "http_status" not in error_of(made("X", status_code=value))


def test_a_number_is_no_code():
    assert error_of(made("ApiError", code="401"))["type"] == "ApiError"


def test_texts_are_cut_to_what_the_contract_keeps():
    assert len(str(error_of(made("X", "a" * 5000))["message"])) == 500
    assert len(str(error_of(made("X", code="c" * 300))["type"])) == 200


def test_an_exception_whose_text_raises_is_still_recorded():
    class Rude(Exception):  # noqa: N818 - as rude as its name
        def __str__(self) -> str:
            raise RuntimeError

    assert error_of(Rude()) == {"type": "Rude"}


def test_the_text_is_left_out_where_that_is_set():
    failure = failure_of(ValueError("secret"), stage="context", with_message=False)
    assert failure.error == {"type": "ValueError", "stage": "context"}
