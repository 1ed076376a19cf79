from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import get_args

import pytest

from tests.support.waiting import HANGING_S
from tokentide.producers import Call, EventError, MemoryTransport, Producer, ProducerOptions, current_call
from tokentide.producers.call import ERROR_STAGES, StageName
from tokentide.schemas.call import CallEvent, ErrorStage, Stages


@pytest.fixture
def broker() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def producer(broker, clock):
    # The clock stands still for what is measured, while the sender's thread runs by it too: hence hurry.
    with Producer(service="shop", transport=broker, strict=True, clock=clock.clock) as made:
        yield made


@pytest.fixture
def event(producer, broker):
    """The one event that was emitted."""

    def only() -> dict[str, object]:
        assert producer.flush(HANGING_S)
        (found,) = broker.events
        CallEvent.model_validate(found)
        return found

    return only


class RateLimitError(Exception):
    status_code = 429


def test_a_call_is_one_event_with_its_duration_and_what_was_said(producer, event, clock):
    with producer.call(
        model="gpt-4o", provider="openai", prompt_name="answer", conversation_id="c1", turn=2, feature="f"
    ) as call:
        clock.advance(1.25)
        call.usage(input_tokens=10, output_tokens=3, cache_read_input_tokens=4)
    found = event()
    del found["event_id"]
    assert found == {
        "timestamp": "2026-01-02T03:04:06.250000Z",
        "service": "shop",
        "request_model": "gpt-4o",
        "provider": "openai",
        "prompt_name": "answer",
        "conversation_id": "c1",
        "turn": 2,
        "feature": "f",
        "input_tokens": 10,
        "output_tokens": 3,
        "cache_read_input_tokens": 4,
        "duration_ms": 1250.0,
        "status": "ok",
    }


def test_what_is_not_known_is_left_out(producer, event):
    with producer.call(model="m", turn=None) as call:
        call.usage(input_tokens=1, output_tokens=None)
        call.set(tenant=None)
    found = event()
    assert not {"turn", "output_tokens", "tenant", "attempts", "stages", "error", "stream"} & found.keys()


def test_stages_are_timed_and_repeated_ones_add_up(producer, event, clock):
    with producer.call(model="m") as call:
        with call.stage("context"):
            clock.advance(0.010)
        with call.stage("model"):
            clock.advance(0.5)
        with call.stage("context"):
            clock.advance(0.002)
    assert event()["stages"] == {"context_ms": 12.0, "model_ms": 500.0}


def test_every_stage_of_the_contract_can_be_timed(producer, event, clock):
    with producer.call() as call:
        for name in get_args(StageName):
            with call.stage(name):
                clock.advance(0.001)
    assert set(event()["stages"]) == set(Stages.model_fields)


def test_stages_of_errors_are_those_of_the_contract():
    assert set(ERROR_STAGES) <= set(get_args(StageName))
    assert set(ERROR_STAGES.values()) <= set(get_args(ErrorStage))


def test_an_unknown_stage_is_a_mistake_that_only_strict_mode_raises(producer, broker, clock):
    with producer.call() as call, pytest.raises(EventError, match="stage: unknown; must be one of"):
        call.stage("thinking")
    with Producer(service="s", transport=broker, clock=clock.clock) as lenient:
        with lenient.call() as call, call.stage("thinking"):
            pass
        assert lenient.flush(HANGING_S)
        assert lenient.stats().mended == 1
    assert "stages" not in broker.events[-1]


def test_the_first_chunk_counts_and_the_others_do_not(producer, event, clock):
    with producer.call() as call:
        for _ in range(3):
            clock.advance(0.2)
            call.first_chunk()
    found = event()
    assert (found["time_to_first_chunk_ms"], found["stream"], found["duration_ms"]) == (200.0, True, 600.0)


def test_retries_are_counted_as_attempts(producer, event):
    with producer.call() as call:
        call.retry()
        call.retry(RateLimitError())
    assert event()["attempts"] == 3
    assert event()["status"] == "ok"


def test_an_exception_is_recorded_and_goes_on_unchanged(producer, event):
    error = RateLimitError("slow down")
    with pytest.raises(RateLimitError) as caught, producer.call():
        raise error
    assert caught.value is error
    assert event()["status"] == "error"
    assert event()["error"] == {"type": "RateLimitError", "message": "slow down", "http_status": 429}


@pytest.mark.parametrize(("stage", "said"), ERROR_STAGES.items())
def test_the_stage_that_an_exception_left_is_the_one_that_failed(producer, event, stage, said):
    with pytest.raises(ValueError, match="x"), producer.call() as call, call.stage(stage):
        raise ValueError("x")
    assert event()["error"]["stage"] == said


def test_of_nested_stages_the_inner_one_failed(producer, event):
    with (
        pytest.raises(ValueError, match="x"),
        producer.call() as call,
        call.stage("model"),
        call.stage("output"),
    ):
        raise ValueError("x")
    assert event()["error"]["stage"] == "output"


def test_the_stage_is_known_when_the_exception_is_raised_anew_as_another(producer, event):
    def load() -> None:
        raise KeyError("template")

    def render(call: Call) -> None:
        try:
            with call.stage("render"):
                load()
        except KeyError as error:
            raise RuntimeError("no template") from error

    with pytest.raises(RuntimeError), producer.call() as call:
        render(call)
    assert event()["error"]["stage"] == "prompt_render"


def test_an_error_that_was_overcome_does_not_name_the_stage_of_a_later_one(producer, event):
    def answer(call: Call) -> None:
        with suppress(KeyError), call.stage("context"):
            raise KeyError("miss")
        raise ValueError("later")

    with pytest.raises(ValueError, match="later"), producer.call() as call:
        answer(call)
    assert "stage" not in event()["error"]


def test_an_error_that_does_not_leave_the_block_can_be_told(producer, event):
    with producer.call() as call:
        call.error(RateLimitError("x"))
    assert event()["status"] == "error"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, SystemExit, asyncio.CancelledError])
def test_a_call_that_was_broken_off_is_cancelled_and_no_error(producer, event, kind):
    with pytest.raises(kind), producer.call():
        raise kind
    assert event()["status"] == "cancelled"
    assert "error" not in event()


def test_a_generator_that_is_not_read_to_its_end_is_a_cancelled_call(producer, event):
    def stream():
        with producer.call(model="m") as call:
            for number in range(10):
                call.first_chunk()
                yield number

    chunks = stream()
    next(chunks)
    chunks.close()
    assert event()["status"] == "cancelled"


def test_it_works_with_async_with(producer, event, clock):
    async def answer() -> None:
        async with producer.call(model="m") as call, call.stage("model"):
            clock.advance(0.1)
            await asyncio.sleep(0)

    asyncio.run(answer())
    assert event()["stages"] == {"model_ms": 100.0}


def test_a_cancelled_task_is_a_cancelled_call(producer, event):
    async def answer() -> None:
        async with producer.call(model="m"):
            await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(answer())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert event()["status"] == "cancelled"


def test_a_call_ends_once(producer, event):
    with producer.call() as call:
        call.finish()
    call.finish()
    assert event()["status"] == "ok"


def test_a_call_can_be_begun_and_ended_by_hand(producer, event, clock):
    call = producer.call(model="m").start()
    clock.advance(0.3)
    call.finish(RateLimitError("x"))
    assert event()["duration_ms"] == 300.0
    assert event()["status"] == "error"


def test_what_the_application_sets_wins_over_what_is_measured(producer, event, clock):
    with producer.call() as call:
        clock.advance(1)
        call.set(duration_ms=5.0, status="cancelled", timestamp="2026-01-01T00:00:00Z")
    found = event()
    assert (found["duration_ms"], found["status"], found["timestamp"]) == (
        5.0,
        "cancelled",
        "2026-01-01T00:00:00Z",
    )


def test_error_texts_are_left_out_where_that_is_set(broker, clock):
    options = ProducerOptions(error_messages=False)
    with Producer(service="s", transport=broker, options=options, clock=clock.clock) as producer:
        with pytest.raises(ValueError, match="secret"), producer.call():
            raise ValueError("secret")
        assert producer.flush(HANGING_S)
    assert broker.events[0]["error"] == {"type": "ValueError"}


def test_the_current_call_is_the_innermost_one(producer):
    assert current_call() is None
    with producer.call() as outer:
        assert current_call() is outer
        with producer.call() as inner:
            assert current_call() is inner
        assert current_call() is outer
    assert current_call() is None


def test_a_decorated_function_is_a_call(producer, event):
    @producer.observed(model="gpt-4o", provider="openai", feature="search")
    def answer(question: str, *, loud: bool) -> str:
        call = current_call()
        assert isinstance(call, Call)
        call.usage(input_tokens=len(question))
        return question.upper() if loud else question

    assert answer("abc", loud=True) == "ABC"
    assert answer.__name__ == "answer"
    found = event()
    assert (found["request_model"], found["feature"], found["input_tokens"]) == ("gpt-4o", "search", 3)


def test_a_decorated_coroutine_is_a_call_each_time(producer, broker):
    @producer.observed(model="m")
    async def answer(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def main() -> list[int]:
        return await asyncio.gather(answer(1), answer(2))

    assert asyncio.run(main()) == [1, 2]
    assert producer.flush(HANGING_S)
    assert len(broker.events) == 2


def test_a_generator_cannot_be_decorated(producer):
    with pytest.raises(TypeError, match=r"use `with producer\.call"):

        @producer.observed(model="m")
        def stream():
            yield 1


def test_a_response_that_cannot_be_read_does_not_disturb(broker, clock):
    class Bad:
        @property
        def usage(self) -> object:
            raise RuntimeError("no network")

    with Producer(service="s", transport=broker, clock=clock.clock) as producer:
        with producer.call() as call:
            call.openai_usage(Bad())
            call.anthropic_usage(None)
            call.openai_usage("text")
        assert producer.flush(HANGING_S)
        assert producer.stats().mended == 1
    assert broker.events[0]["status"] == "ok"


def test_a_bad_field_does_not_hide_the_application_s_exception(producer):
    def answer() -> None:
        with producer.call(turn="third"):
            raise KeyError("the application's own")

    with pytest.raises(KeyError):
        answer()


def test_usage_of_a_name_that_the_contract_lacks_does_not_reach_the_application(broker):
    with Producer(service="shop", transport=broker) as producer:
        with producer.call(model="m") as call:
            call.usage(input_tokens=7, prompt_tokens_of_another_library=3)
        assert producer.flush(HANGING_S)
    assert [found["input_tokens"] for found in broker.events] == [7]
