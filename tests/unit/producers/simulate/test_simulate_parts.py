"""Made-up calls in parts: joined again they are the calls that come whole without it."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise

import pytest

from tokentide.producers.event_models import model_for
from tokentide.producers.simulate.generate import SimulatedItem, simulate
from tokentide.producers.simulate.incidents import parse_incident
from tokentide.producers.simulate.options import SimulationOptions
from tokentide.producers.simulate.truth import Truth
from tokentide.producers.traffic_errors import OptionError
from tokentide.schemas.timestamps import parse_timestamp

START_US = 1_790_000_000_000_000
DURATION_S = 600


@cache
def run(parts: float, *incidents: str) -> list[SimulatedItem]:
    """Made once, not to be changed."""
    options = SimulationOptions(
        start_us=START_US,
        rate_per_second=20,
        duration_s=DURATION_S,
        rhythm=0,
        parts=parts,
        incidents=tuple(map(parse_incident, incidents)),
    )
    return list(simulate(options))


def by_type(found: list[SimulatedItem]) -> dict[str, list[dict]]:
    sorted_out: defaultdict[str, list[dict]] = defaultdict(list)
    for simulated in found:
        sorted_out[simulated.item.get("event_type", "call")].append(simulated.item)
    return sorted_out


def truth_of(found: list[SimulatedItem]) -> Truth:
    truth = Truth()
    for simulated in found:
        truth.count(simulated)
    return truth


def test_every_event_is_valid_by_its_type_in_order_and_has_an_id_of_its_own():
    found = run(0.5)
    for simulated in found:
        model_for(simulated.item.get("event_type")).model_validate(simulated.item)
        assert parse_timestamp(simulated.item["timestamp"]) == simulated.finish_us
    assert all(a.finish_us <= b.finish_us for a, b in pairwise(found))
    ids = Counter(simulated.item["event_id"] for simulated in found)
    assert len(ids) == len(found)


def test_the_share_asked_for_comes_in_parts():
    found = by_type(run(0.3))
    assert {name for name, some in found.items() if some} == {
        "call",
        "request",
        "response",
        "error",
        "evaluation",
    }
    assert len(found["request"]) / (len(found["request"]) + len(found["call"])) == pytest.approx(
        0.3, abs=0.03
    )


def test_request_and_answer_are_together_the_call_that_comes_whole_without_parts():
    whole = {simulated.item["event_id"]: simulated.item for simulated in run(0)}
    found = by_type(run(1))
    requests = {request["request_id"]: request for request in found["request"]}
    answers = found["response"] + found["error"]
    assert len(answers) > 10_000
    for answer in answers:
        request = requests[answer["request_id"]]
        call = {**request, **answer}
        for name in ("event_type", "request_id"):
            del call[name]
        us = [parse_timestamp(part["timestamp"]) for part in (request, answer)]
        call["duration_ms"] = (us[1] - us[0]) / 1000
        expected = whole[answer["event_id"]]
        assert call == {name: value for name, value in expected.items() if name != "quality"}
        assert (answer["event_type"] == "error") == (expected["status"] == "error")


def test_calls_that_stay_whole_are_the_same_whatever_share_comes_in_parts():
    whole = {simulated.item["event_id"]: simulated.item for simulated in run(0)}
    stayed = by_type(run(0.5))["call"]
    assert len(stayed) > 5_000
    assert all(call == whole[call["event_id"]] for call in stayed)


def test_some_requests_are_never_answered():
    found = by_type(run(1))
    answered = {answer["request_id"] for answer in found["response"] + found["error"]}
    early = [
        request
        for request in found["request"]
        if parse_timestamp(request["timestamp"]) < START_US + 300_000_000
    ]
    missing = sum(request["request_id"] not in answered for request in early)
    assert missing / len(early) == pytest.approx(0.01, abs=0.005)


def test_what_was_said_of_the_quality_comes_after_the_call_as_an_event_of_its_own():
    whole = {simulated.item["event_id"]: simulated.item for simulated in run(0)}
    found = by_type(run(1))
    answers = {answer["request_id"]: answer for answer in found["response"]}
    assert len(found["evaluation"]) > 100
    for evaluation in found["evaluation"]:
        answer = answers[evaluation["request_id"]]
        delay_us = parse_timestamp(evaluation["timestamp"]) - parse_timestamp(answer["timestamp"])
        assert 5_000_000 <= delay_us <= 120_000_000
        assert evaluation["quality"] == whole[answer["event_id"]]["quality"]
        assert evaluation["service"] == answer["service"]
    assert not any("quality" in answer for answer in answers.values())


def test_calls_that_began_before_the_run_come_whole_so_that_no_answer_lacks_its_request():
    found = by_type(run(1))
    requests = {request["request_id"] for request in found["request"]}
    assert all(answer["request_id"] in requests for answer in found["response"] + found["error"])
    assert 0 < len(found["call"]) < 200


def test_truth_counts_the_joined_calls_and_what_never_came():
    parted, whole = run(1), run(0)
    truth, found = truth_of(parted), by_type(parted)
    answers = found["response"] + found["error"]
    assert truth.events == len(answers) + len(found["call"])
    assert truth.unanswered == len(found["request"]) - len(answers)
    assert truth.evaluations == len(found["evaluation"])
    ended = {event["event_id"] for event in answers + found["call"]}
    answered = truth_of([simulated for simulated in whole if simulated.item["event_id"] in ended])
    assert truth.windows == answered.windows
    assert truth.as_json()["unanswered"] == truth.unanswered > 0


def test_what_is_malformed_on_purpose_is_so_with_parts_too():
    incident = "reject_burst:rate=0.5"
    assert truth_of(run(0.5, incident)).rejects == truth_of(run(0, incident)).rejects


@pytest.mark.parametrize("parts", [-0.1, 1.1, float("nan")])
def test_a_share_outside_its_bounds_is_refused(parts):
    with pytest.raises(OptionError, match=r"parts must be 0 … 1"):
        SimulationOptions(start_us=START_US, parts=parts)
