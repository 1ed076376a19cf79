"""What an application hears of events that the worker will refuse."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.waiting import HANGING_S
from tokentide import MemoryTransport, Producer, ProducerOptions
from tokentide.producers.inspector import FIRST_EVENTS

BAD = {"input_tokens": -1, "input": "prompt-canary"}


@pytest.fixture
def broker() -> MemoryTransport:
    return MemoryTransport()


def test_a_small_program_hears_of_each_event_that_the_worker_will_refuse(broker, caplog):
    with Producer(service="s", transport=broker) as producer:
        producer.emit({"input_tokens": 1})
        producer.emit(BAD)
        producer.emit({"input_tokens": 2})
        producer.emit(BAD)
    assert producer.stats().suspect == 2
    assert len(broker.events) == 4
    assert "input_tokens: is the number -1" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event_type": "request"}, "request_id: is required and missing; add it"),
        ({"event_type": "response", "request_id": "r", "input_tokens": -1}, "input_tokens: is the number -1"),
        ({"event_type": "error", "request_id": 7}, "request_id: is the number 7; must be text"),
        ({"event_type": "evaluation", "request_id": "r"}, "quality: is required and missing; add it"),
        (
            {"event_type": "evaluation", "request_id": "r", "quality": {"score": 2}},
            "quality.score: is the number 2; must be at most 1",
        ),
        ({"event_type": "requset", "request_id": "r"}, "use call (or leave it out), request, response"),
        ({"event_type": ["request"]}, "event_type: is a list of 1 and not known"),
    ],
)
def test_an_event_of_another_type_is_judged_by_its_own_rules_and_sent_all_the_same(
    broker, caplog, event, said
):
    with Producer(service="s", transport=broker) as producer:
        producer.emit(event)
        producer.emit({"input_tokens": 1})
    assert [sent.items() >= event.items() for sent in broker.events if "event_type" in sent] == [True]
    assert len(broker.events) == 2
    assert producer.stats().suspect == 1
    assert said in caplog.text


def test_of_parts_and_evaluations_that_are_right_nothing_is_said(broker, caplog):
    with Producer(service="s", region="eu", labels={"team": "a"}, transport=broker) as producer:
        producer.emit({"event_type": "request", "request_id": "r", "input": "hello", "request_model": "m"})
        producer.emit({"event_type": "response", "request_id": "r", "output_tokens": 3})
        producer.emit({"event_type": "error", "request_id": "r", "error": {"type": "t"}})
        producer.emit({"event_type": "evaluation", "request_id": "r", "quality": {"label": "good"}})
    assert producer.stats().suspect == 0
    assert caplog.messages == []
    assert [event["event_type"] for event in broker.events] == ["request", "response", "error", "evaluation"]
    assert len(broker.records) == 4


def test_also_of_one_that_was_never_taken_from_the_queue_before_the_end(broker, tmp_path):
    broker.is_up = False
    producer = Producer(service="s", transport=broker, options=ProducerOptions(spool_folder=tmp_path))
    producer.emit(BAD)
    assert not producer.close(0.0)
    assert producer.stats().suspect == 1


def test_after_the_first_events_it_is_one_a_second(broker, clock):
    with Producer(service="s", transport=broker, clock=clock.clock) as producer:

        def suspects_after(*events: dict[str, object]) -> int:
            for event in events:
                producer.emit(event)
            assert producer.flush(HANGING_S)
            return producer.stats().suspect

        assert suspects_after(*[BAD] * (FIRST_EVENTS - 1)) == FIRST_EVENTS - 1
        assert suspects_after(BAD, BAD) == FIRST_EVENTS
        clock.advance(0.9)
        assert suspects_after(BAD) == FIRST_EVENTS
        clock.advance(0.1)
        assert suspects_after(BAD, BAD) == FIRST_EVENTS + 1
        assert suspects_after(BAD) == FIRST_EVENTS + 1


def test_checks_that_fail_themselves_cost_no_event(broker, monkeypatch, caplog):
    def fail() -> None:
        raise RuntimeError("can't register atexit after shutdown")

    monkeypatch.setattr("tokentide.producers.inspector._load", fail)
    with Producer(service="s", transport=broker) as producer:
        for _ in range(3):
            producer.emit(BAD)
            assert producer.flush(HANGING_S)
    assert len(broker.events) == 3
    assert caplog.messages == []


def test_switched_off_nothing_is_checked(broker):
    with Producer(service="s", transport=broker, options=ProducerOptions(sample_checks=False)) as producer:
        producer.emit(BAD)
    assert producer.stats().suspect == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_has_first_events_of_its_own(broker):
    with Producer(service="s", transport=broker) as producer:
        for _ in range(FIRST_EVENTS):
            producer.emit({"input_tokens": 1})
        assert producer.flush(HANGING_S)
        child = os.fork()
        if not child:
            producer.emit(BAD)
            os._exit(0 if producer.flush(HANGING_S) and producer.stats().suspect == 1 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert producer.stats().suspect == 0
