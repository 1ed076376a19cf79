from __future__ import annotations

from typing import Any

from tests.unit.stream.join.test_join_call import NOON_US, SECOND_US, values
from tokentide.schemas.part import PartType
from tokentide.schemas.problems import Problem
from tokentide.stream.join.waiting import Arrived, Joined, JoinLimits, LogPlace, WaitingParts

LIMITS = JoinLimits(answer_wait_ms=100, request_wait_ms=30, room_bytes=1 << 20)


def at(offset: int, kind: PartType, *, sent_ms: int = 0, item: int = 0, **fields: Any) -> Arrived:
    return Arrived(LogPlace(offset, item), sent_ms, kind, values(kind, **fields))


def call_of(outcome: Joined | Problem | None) -> Joined:
    assert isinstance(outcome, Joined)
    return outcome


def test_the_call_stands_where_its_last_part_does() -> None:
    waiting = WaitingParts(LIMITS)
    assert waiting.take(at(5, "request", request_model="m")) is None
    call = call_of(waiting.take(at(7, "response", item=2, output_tokens=3)))
    assert call.place == LogPlace(7, 2)
    assert (call.values["request_model"], call.values["output_tokens"]) == ("m", 3)
    assert (len(waiting), waiting.places()) == (0, [])


def test_an_answer_before_its_request_is_an_answer_all_the_same() -> None:
    waiting = WaitingParts(LIMITS)
    waiting.take(at(5, "error", attempts=2, timestamp=1_769_860_801))
    call = call_of(waiting.take(at(6, "request", attempts=1)))
    assert call.place == LogPlace(6, 0)
    assert (call.values["attempts"], call.values["event_id"], call.values["assembled_from"]) == (
        2,
        "e",
        "request+error",
    )
    assert call.values["timestamp"] == NOON_US + SECOND_US
    assert call.values["duration_ms"] == 1000


def test_parts_of_other_requests_or_services_are_not_mixed() -> None:
    waiting = WaitingParts(LIMITS)
    waiting.take(at(1, "request"))
    assert waiting.take(at(2, "response", request_id="other")) is None
    assert waiting.take(at(3, "response", service="other")) is None
    assert waiting.places() == [LogPlace(1, 0), LogPlace(2, 0), LogPlace(3, 0)]


def test_requests_wait_longer_than_answers() -> None:
    waiting = WaitingParts(LIMITS)
    waiting.take(at(1, "request", request_id="a"))
    waiting.take(at(2, "response", request_id="b"))
    assert waiting.earliest_deadline_ms == 30
    assert waiting.give_up(3, 29) == []
    assert [call.values["assembled_from"] for call in waiting.give_up(4, 30)] == ["response"]
    assert waiting.give_up(5, 99) == []
    (request,) = waiting.give_up(6, 100)
    assert (request.place, request.is_crowded_out) == (LogPlace(6, -1), False)
    assert request.values["timestamp"] == NOON_US + 100_000
    assert waiting.earliest_deadline_ms is None


def test_however_late_a_request_is_given_up_it_failed_after_the_time_limit() -> None:
    waiting = WaitingParts(LIMITS)
    waiting.take(at(1, "request"))
    (request,) = waiting.give_up(2, 86_400_000)
    assert request.values["timestamp"] == NOON_US + 100_000


def test_places_of_what_one_record_gives_up_are_counted_downwards() -> None:
    waiting = WaitingParts(LIMITS)
    for number in range(3):
        waiting.take(at(number, "request", request_id=f"r{number}"))
    assert [call.place for call in waiting.give_up(9, 100)] == [
        LogPlace(9, -1),
        LogPlace(9, -2),
        LogPlace(9, -3),
    ]
    waiting.take(at(10, "request"))
    assert [call.place for call in waiting.give_up(11, 200)] == [LogPlace(11, -1)]


def test_what_has_no_room_gives_up_the_oldest_and_says_how_long_it_waited() -> None:
    text = "x" * 1_000
    waiting = WaitingParts(LIMITS._replace(room_bytes=7_000))  # two parts of 3,000 and not three
    waiting.take(at(1, "request", request_id="a", input=text))
    waiting.take(at(2, "request", request_id="b", input=text))
    assert waiting.give_up(2, 0) == []
    waiting.take(at(3, "request", request_id="c", input=text, sent_ms=40))
    (given_up,) = waiting.give_up(3, 40)
    assert (given_up.values["request_id"], given_up.values["timestamp"]) == ("a", NOON_US + 40_000)
    assert (given_up.is_crowded_out, given_up.values["error_type"]) == (True, "crowded_out")
    assert waiting.give_up(4, 41) == []


def test_what_waits_is_measured_by_its_texts_as_they_are_held_and_by_its_places() -> None:
    def bytes_of(*parts: Arrived) -> int:
        waiting = WaitingParts(LIMITS)
        for each in parts:
            waiting.take(each)
        return waiting._bytes

    plain = bytes_of(at(1, "request", input="xx"))
    assert bytes_of(at(1, "request", input="xé")) == plain + 6
    assert bytes_of(at(1, "request", input="xx", tenant="abc")) == plain + 3
    assert bytes_of(at(1, "request", input="xx"), at(2, "request", input="xx")) == plain + 150


def test_a_second_request_adds_to_the_first_and_does_not_prolong_its_wait() -> None:
    waiting = WaitingParts(LIMITS)
    waiting.take(at(1, "request", request_model="a", tenant="t"))
    assert waiting.take(at(2, "request", sent_ms=50, request_model="b")) is None
    assert waiting.places() == [LogPlace(1, 0), LogPlace(2, 0)]
    (call,) = waiting.give_up(3, 100)
    assert (call.values["request_model"], call.values["tenant"]) == ("b", "t")


def test_a_part_that_contradicts_its_partner_is_refused_and_the_partner_waits_on() -> None:
    waiting = WaitingParts(LIMITS)
    waiting.take(at(1, "request", cache_read_input_tokens=10))
    assert isinstance(waiting.take(at(2, "response", input_tokens=9)), Problem)
    assert isinstance(waiting.take(at(3, "request", input_tokens=9)), Problem)
    assert waiting.places() == [LogPlace(1, 0)]
    assert call_of(waiting.take(at(4, "response", input_tokens=10))).values["input_tokens"] == 10


def test_what_is_joined_again_and_again_leaves_nothing_behind() -> None:
    waiting = WaitingParts(LIMITS)
    waiting.take(at(0, "request", request_id="stays"))
    for number in range(2_000):
        waiting.take(at(number, "request", sent_ms=1))
        waiting.take(at(number, "response", sent_ms=1))
        assert waiting.earliest_deadline_ms == 100
    assert len(waiting._by_age) < 1_100
