from __future__ import annotations

from typing import Any

import pytest

from tokentide.schemas.part import PartEvent
from tokentide.schemas.problems import Problem
from tokentide.schemas.rejects import RejectReason
from tokentide.stream.decode.reference import flat_values
from tokentide.stream.join.call import (
    bounded,
    contradiction,
    crowded_out_request,
    lone_answer,
    lone_request,
    merged,
    whole_call,
)

SECOND_US = 1_000_000
NOON_US = 1_769_860_800 * SECOND_US


def part(kind: str, **fields: Any) -> PartEvent:
    return PartEvent.model_validate(
        {
            "event_type": kind,
            "event_id": kind[0],
            "timestamp": 1_769_860_800,
            "service": "s",
            "request_id": "r",
            **fields,
        }
    )


def values(kind: str, **fields: Any) -> Any:
    return bounded(flat_values(part(kind, **fields)))


def test_the_answer_wins_leaf_by_leaf() -> None:
    request = values("request", request_model="a", stages={"queue_ms": 1, "model_ms": 2}, attempts=1)
    answer = values("response", stages={"model_ms": 3}, attempts=2)
    call = whole_call(request, answer, "response")
    assert (call["request_model"], call["stages_queue_ms"], call["stages_model_ms"], call["attempts"]) == (
        "a",
        1,
        3,
        2,
    )
    assert (call["event_id"], call["assembled_from"]) == ("r", "request+response")
    assert "incomplete" not in call


def test_labels_win_key_by_key() -> None:
    request = values("request", labels={"team": "a", "build": "1"})
    answer = values("response", labels={"build": "2"})
    assert merged(request, answer)["labels"] == {"team": "a", "build": "2"}
    assert merged(request, values("response"))["labels"] == {"team": "a", "build": "1"}


@pytest.mark.parametrize("name", ["environment", "region"])
def test_a_default_hides_nothing(name: str) -> None:
    request = values("request", **{name: "here"})
    assert whole_call(request, values("response"), "response")[name] == "here"
    assert whole_call(values("request"), values("response", **{name: "here"}), "response")[name] == "here"
    assert name not in whole_call(values("request"), values("response"), "response")


def test_text_in_the_place_of_messages_is_text() -> None:
    request = values("request", input=[{"role": "user", "content": "hi"}])
    assert request["input_is_messages"] is True
    call = whole_call(request, values("response", input="hi"), "response")
    assert call["input"] == "hi"
    assert "input_is_messages" not in call
    kept = whole_call(request, values("response", output="ho"), "response")
    assert kept["input_is_messages"] is True


@pytest.mark.parametrize(
    ("answered_s", "duration_ms"),
    [(1.5, 1500.0), (0, 0.0), (-0.001, None), (100_000, 100_000_000.0), (100_001, None)],
)
def test_the_duration_is_the_time_between_the_two(answered_s: float, duration_ms: float | None) -> None:
    answer = values("response", timestamp=1_769_860_800 + answered_s)
    assert whole_call(values("request"), answer, "response").get("duration_ms") == duration_ms


@pytest.mark.parametrize("told_by", ["request", "response"])
def test_a_duration_that_is_told_counts(told_by: str) -> None:
    request = values("request", **({"duration_ms": 7} if told_by == "request" else {}))
    answer = values(
        "response", timestamp=1_769_860_801, **({"duration_ms": 7} if told_by == "response" else {})
    )
    assert whole_call(request, answer, "response")["duration_ms"] == 7


def test_an_error_part_is_an_error_unless_it_says_otherwise_itself() -> None:
    believed = whole_call(values("request", status="ok"), values("error"), "error")
    assert believed["status"] == "error"
    assert whole_call(values("request"), values("error"), "error")["status"] == "error"
    assert (
        whole_call(values("request"), values("error", status="cancelled"), "error")["status"] == "cancelled"
    )
    assert "status" not in whole_call(values("request"), values("response"), "response")
    assert lone_answer(values("error"), "error")["status"] == "error"


def test_a_lone_answer_is_what_it_says() -> None:
    answer = values("response", input_tokens=5)
    assert lone_answer(answer, "response") == {**answer, "assembled_from": "response", "incomplete": True}


def test_a_lone_request_failed_when_it_was_given_up() -> None:
    call = lone_request(values("request", request_model="m"), 900_000)
    assert call["timestamp"] == NOON_US + 900 * SECOND_US
    expected = {
        "status": "error",
        "error_class": "timeout",
        "error_type": "no_answer",
        "request_model": "m",
        "assembled_from": "request",
        "incomplete": True,
    }
    assert call.items() >= expected.items()
    assert "duration_ms" not in call


def test_of_a_request_that_was_crowded_out_nobody_knows_whether_it_failed() -> None:
    call = crowded_out_request(values("request"), 5)
    assert (call["error_class"], call["error_type"], call["timestamp"]) == (
        "other",
        "crowded_out",
        NOON_US + 5_000,
    )


def test_labels_of_two_parts_are_no_more_than_the_contract_allows_and_the_answers_stay() -> None:
    request = values("request", labels={f"r{number}": "" for number in range(16)})
    answer = values("response", labels={f"a{number}": "" for number in range(15)})
    labels = merged(request, answer)["labels"]
    assert isinstance(labels, dict)
    assert list(labels) == [*(f"a{number}" for number in range(15)), "r0"]


def test_of_an_unbounded_message_only_so_much_waits_as_is_read() -> None:
    message = values("error", error={"message": "x" * 1_000_000})["error_message"]
    assert message == "x" * 2_000


def test_a_lone_request_that_says_how_it_ended_is_believed() -> None:
    cancelled = lone_request(values("request", status="cancelled"), 1_000)
    assert (cancelled["status"], "error_class" in cancelled) == ("cancelled", False)
    refused = lone_request(values("request", error={"class": "auth", "type": "Denied"}), 1_000)
    assert (refused["status"], refused["error_class"], refused["error_type"]) == ("error", "auth", "Denied")


def test_numbers_of_two_parts_that_cannot_be_together_are_named() -> None:
    request = values("request", cache_read_input_tokens=60, cache_write_input_tokens=50)
    answer = values("response", input_tokens=100)
    problem = contradiction(request, answer, whole_call(request, answer, "response"))
    assert isinstance(problem, Problem)
    assert problem.reason is RejectReason.INCONSISTENT
    for said in ("cache_read_input_tokens", "110", "input_tokens", "100", "request_id"):
        assert said in problem.error


@pytest.mark.parametrize(
    "answer",
    [
        {"input_tokens": 110},
        {"input_tokens": 100, "cache_reporting": "exclusive"},
        {"output_tokens": 1},
    ],
)
def test_numbers_that_can_be_together_are_let_be(answer: dict[str, Any]) -> None:
    request = values("request", cache_read_input_tokens=60, cache_write_input_tokens=50)
    told = values("response", **answer)
    assert contradiction(request, told, whole_call(request, told, "response")) is None
