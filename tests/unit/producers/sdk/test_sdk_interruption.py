"""A signal handler may use the producer, wherever in the producer its own thread was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, takewhile

import pytest

from tests.support.waiting import HANGING_S
from tests.unit.producers.sdk.interruption import Interruption, ends
from tokentide.producers.memory_transport import MemoryTransport
from tokentide.producers.options import ProducerOptions
from tokentide.producers.producer import Producer

LAST_WORD = 1_000_000


def emit_three(producer: Producer) -> None:
    for number in range(3):
        producer.emit({"input_tokens": number})


def emit_wrong_ones(producer: Producer) -> None:
    producer.emit({"input_tokens": float("nan"), "input": object()})
    producer.emit({"input_tokens": float("nan")})


def emit_and_flush(producer: Producer) -> None:
    producer.emit({"input_tokens": 1})
    producer.flush(HANGING_S)


def emit_and_close(producer: Producer) -> None:
    producer.emit({"input_tokens": 1})
    producer.close()


def ask(producer: Producer) -> None:
    producer.emit({"input_tokens": 1})
    producer.stats()


def strike(action: Callable[[Producer], None], at: int) -> tuple[str, bool]:
    """Interrupt the action at one place; return which that was, "" if there is none, and whether all is well."""
    broker = MemoryTransport()
    producer = Producer(service="shop", transport=broker, options=ProducerOptions(close_timeout_s=2.0))
    closed: list[bool] = []

    def handler() -> None:
        producer.emit({"input_tokens": LAST_WORD})
        closed.append(producer.close())

    interruption = Interruption(at, handler)
    in_time = ends(lambda: interruption.run(lambda: action(producer)), HANGING_S)
    stats = producer.stats()
    is_told = LAST_WORD in [event.get("input_tokens") for event in broker.events]
    is_told |= stats.dropped.get("closed", 0) > 0  # the action had closed the producer before
    balances = stats.held == 0 and stats.emitted == stats.delivered + sum(stats.dropped.values())
    return interruption.where, in_time and closed == [True] and is_told and balances


@pytest.mark.parametrize("action", [emit_three, emit_wrong_ones, emit_and_flush, emit_and_close, ask])
def test_a_handler_that_emits_and_closes_comes_to_an_end_wherever_it_strikes(action):
    struck = list(takewhile(lambda strike: strike[0], (strike(action, at) for at in count(1))))
    assert [where for where, is_well in struck if not is_well] == []
    assert len(struck) > 100  # so many places were there at least
