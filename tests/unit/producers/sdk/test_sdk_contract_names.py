"""Misspelt fields: an error where the application asked for it, else a line in its log."""

from __future__ import annotations

import typing

import pydantic
import pytest

from tests.support.waiting import HANGING_S
from tokentide import EventError, MemoryTransport, Producer
from tokentide.producers.contract_names import (
    EVALUATION_FIELDS,
    EVENT_FIELDS,
    OF_APPLICATIONS,
    PART_FIELDS,
    Misnomer,
    misnamed,
)
from tokentide.producers.counts import MOST_NAMES
from tokentide.producers.rfc3339 import rfc3339
from tokentide.schemas.call import CallEvent
from tokentide.schemas.evaluation import EvaluationEvent
from tokentide.schemas.part import PartEvent


@pytest.fixture
def broker() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def strict(broker) -> Producer:
    return Producer(service="s", transport=broker, strict=True)


def names(model: type[pydantic.BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_the_names_are_those_of_the_contract():
    assert names(CallEvent) == EVENT_FIELDS
    parts = {
        name: names(kind)
        for name, field in CallEvent.model_fields.items()
        for kind in typing.get_args(field.annotation)
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)
    }
    assert parts == PART_FIELDS
    assert names(PartEvent) == EVENT_FIELDS
    assert names(EvaluationEvent) == EVALUATION_FIELDS
    assert EVENT_FIELDS > OF_APPLICATIONS


def test_strict_a_misspelt_keyword_of_a_call_is_an_error_that_names_the_nearest(strict):
    with pytest.raises(EventError) as caught:
        strict.call(provider="openai", modle="gpt-4o")
    assert str(caught.value) == "modle: is no field of the contract; did you mean model (request_model)?"
    assert caught.value.field == "modle"
    with pytest.raises(EventError, match=r"modle: .* did you mean model \(request_model\)\?"):
        strict.observed(modle="gpt-4o")
    with strict.call() as call:
        with pytest.raises(EventError, match=r"inpt: .* did you mean input\?"):
            call.set(inpt="x")
        with pytest.raises(EventError, match=r"inptu_tokens: .* did you mean input_tokens\?"):
            call.usage(inptu_tokens=1)
        with pytest.raises(EventError, match=r"model: .* did you mean request_model\?"):
            call.set(model="gpt-4o")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"request_modle": "m"}, "request_modle: is no field of the contract; did you mean request_model?"),
        ({"type": "request"}, "type: is no field of the contract; did you mean event_type?"),
        (
            {"stages": {"modle_ms": 1}},
            "stages.modle_ms: is no field of the contract; did you mean stages.model_ms?",
        ),
        ({"error": {"clas": "x"}}, "error.clas: is no field of the contract; did you mean error.class?"),
        (
            {"event_type": "request", "request_id": "r", "request_modle": "m"},
            "request_modle: is no field of the contract; did you mean request_model?",
        ),
        (
            {"event_type": "evaluation", "request_id": "r", "score": 1},
            "score: is no field of the contract; did you mean quality.score?",
        ),
        (
            {"event_type": "evaluation", "request_id": "r", "quality": {"scor": 1}},
            "quality.scor: is no field of the contract; did you mean quality.score?",
        ),
        (
            {"event_type": "evaluation", "request_id": "r", "quality": {"score": 1}, "cost_usd": 1},
            "cost_usd: is no field of an evaluation; send it with the call",
        ),
        ({"temperature": 1}, "temperature: is no field of the contract"),
        ({"jane@example.org": 1}, "a name of 16 characters: is no field of the contract"),
    ],
)
def test_strict_a_misspelt_field_is_an_error(strict, broker, event, message):
    with pytest.raises(EventError) as caught:
        strict.emit(event)
    assert str(caught.value) == message
    assert strict.close()
    assert broker.events == []


def test_strict_a_part_without_request_id_and_a_type_that_is_unknown_are_errors(strict):
    with pytest.raises(EventError, match="request_id: is required and missing; add it"):
        strict.emit({"event_type": "response"})
    with pytest.raises(EventError, match=r"event_type: is text of 7 characters and not known; use call \("):
        strict.emit({"event_type": "requset", "request_id": "r"})


def test_strict_parts_and_evaluations_that_are_right_are_sent(broker):
    defaults = dict.fromkeys(OF_APPLICATIONS - {"test"}, "x")
    strict = Producer(service="s", transport=broker, strict=True, defaults=defaults)
    strict.emit({"event_type": "request", "request_id": "r", "request_model": "m"})
    strict.emit({"event_type": "evaluation", "request_id": "r", "quality": {"score": 0.5}})
    now = 1_767_323_045_000_000
    strict.emit(
        EvaluationEvent(
            event_type="evaluation",
            event_id="e",
            timestamp=1_767_323_045,
            service="s",
            request_id="r",
            quality={"label": "good"},
        )
    )
    assert strict.close()
    assert [event["event_type"] for event in broker.events] == ["request", "evaluation", "evaluation"]
    assert broker.events[2]["timestamp"] == rfc3339(now)


def test_names_that_are_right_are_none_strictly_either(strict, broker):
    strict.emit({"labels": {"anything": "goes"}, "error": {"class": "server"}, "input": [{"role": "user"}]})
    with strict.call(model="m", request_id="r", tenant="t") as call:
        call.set(feature="f", stages={"model_ms": 1.0})
    assert strict.close()
    assert len(broker.events) == 2


def test_else_a_misspelt_keyword_is_sent_and_logged_at_once_and_once(broker, clock, caplog):
    producer = Producer(service="s", transport=broker, clock=clock.clock)
    for attempt in range(3):
        with producer.call(provider="openai", modle="canary") as call:
            if attempt == 0:
                assert caplog.messages == [
                    "modle is sent unchanged, but is no field of the contract; did you mean model (request_model)?"
                ]
            call.set(inpt=None)
            call.usage(inptu_tokens=1)
            clock.advance(60)
    producer.close()
    assert [message.partition(" ")[0] for message in caplog.messages] == ["modle", "inpt", "inptu_tokens"]
    assert "canary" not in caplog.text
    assert broker.events[0].items() >= {"modle": "canary", "inptu_tokens": 1}.items()


def test_else_a_misspelt_field_is_sent_and_logged_by_the_inspector(broker, clock, caplog):
    producer = Producer(service="s", transport=broker, clock=clock.clock)
    for _ in range(3):
        producer.emit({"request_modle": "canary", "stages": {"modle_ms": 1}})
        assert producer.flush(HANGING_S)
        clock.advance(60)
    producer.close()
    assert caplog.messages == [
        "request_modle is sent unchanged, but is no field of the contract; did you mean request_model?",
        "stages.modle_ms is sent unchanged, but is no field of the contract; did you mean stages.model_ms?",
    ]
    assert broker.events[0]["request_modle"] == "canary"
    assert producer.stats().suspect == producer.stats().mended == 0


def test_arbitrary_names_do_not_fill_the_log(broker, caplog):
    producer = Producer(service="s", transport=broker)
    for number in range(2 * MOST_NAMES):
        producer.call(**{f"x{number}": 1})
    producer.close()
    producer._engine.counts.report(last=True)
    assert len(caplog.messages) == MOST_NAMES


def test_a_disabled_producer_has_nothing_to_say(broker, caplog):
    producer = Producer(service="s", transport=broker, disabled=True, strict=True)
    with producer.call(modle="m") as call:
        call.set(inpt="x")
    assert caplog.messages == []


def test_a_name_that_could_break_a_log_line_is_not_repeated():
    (found,) = misnamed(["input\n"])
    assert found == Misnomer("a name of 6 characters", "is no field of the contract; did you mean input?")
