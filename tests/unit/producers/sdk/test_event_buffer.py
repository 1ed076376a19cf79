from __future__ import annotations

import threading

from tests.support.waiting import HANGING_S
from tokentide.producers.buffer import EventBuffer


def new(clock, *, max_events: int = 10, max_bytes: int = 1000, wake_events: int = 3, wake_bytes: int = 100):
    return EventBuffer(
        max_events=max_events,
        max_bytes=max_bytes,
        wake_events=wake_events,
        wake_bytes=wake_bytes,
        monotonic=clock.monotonic,
    )


def test_events_come_out_in_the_order_they_went_in(clock):
    buffer = new(clock)
    for event in (b"1", b"2", b"3"):
        buffer.put(event)
    assert buffer.take(2) == [b"1", b"2"]
    assert buffer.take(9) == [b"3"]
    assert buffer.take(9) == []
    assert (len(buffer), buffer.bytes) == (0, 0)


def test_a_full_queue_refuses_the_newest_by_number(clock):
    buffer = new(clock, max_events=2)
    assert [buffer.put(event) for event in (b"1", b"2", b"3")] == ["taken", "taken", "full"]
    assert buffer.take(9) == [b"1", b"2"]


def test_a_full_queue_refuses_the_newest_by_bytes(clock):
    buffer = new(clock, max_bytes=10)
    assert [buffer.put(b"x" * size) for size in (6, 5, 4)] == ["taken", "full", "taken"]
    assert buffer.bytes == 10


def test_one_event_always_fits_so_that_large_ones_pass_at_all(clock):
    buffer = new(clock, max_bytes=10)
    assert buffer.put(b"x" * 50) == "taken"
    assert buffer.put(b"x") == "full"


def test_after_closing_nothing_is_taken_but_the_rest_can_be_fetched(clock):
    buffer = new(clock)
    buffer.put(b"1")
    buffer.close()
    assert buffer.put(b"2") == "closed"
    assert buffer.take(9) == [b"1"]


def test_the_sender_is_woken_by_the_first_event_and_by_a_record_s_worth(clock):
    buffer = new(clock, wake_events=3)
    woken = []
    for event in (b"1", b"2", b"3", b"4"):
        buffer.wake.wait(0)
        buffer.put(event)
        woken.append(buffer.wake.is_ringing)
    assert woken == [True, False, True, False]


def test_the_sender_is_woken_when_the_bytes_of_a_record_have_come_together(clock):
    buffer = new(clock, wake_bytes=100)
    woken = []
    for size in (40, 40, 40, 40):
        buffer.wake.wait(0)
        buffer.put(b"x" * size)
        woken.append(buffer.wake.is_ringing)
    assert woken == [True, False, True, False]


def test_the_age_of_the_oldest_event_is_known(clock):
    buffer = new(clock)
    assert buffer.oldest_at is None
    buffer.put(b"1")
    clock.advance(5)
    buffer.put(b"2")
    assert buffer.oldest_at == clock.now_s - 5
    buffer.take(2)
    assert buffer.oldest_at is None


def test_who_may_wait_gets_in_when_there_is_room(clock):
    buffer = new(clock, max_events=1)
    buffer.put(b"1")
    results: list[str] = []
    waiting = threading.Thread(target=lambda: results.append(buffer.put(b"2", 60.0)))
    waiting.start()
    assert buffer.wake.wait(HANGING_S)
    while not results:
        buffer.take(1)
    waiting.join()
    assert results == ["taken"]


def test_who_waits_is_let_go_when_the_queue_is_closed(clock):
    buffer = new(clock, max_events=1)
    buffer.put(b"1")
    results: list[str] = []
    waiting = threading.Thread(target=lambda: results.append(buffer.put(b"2", 60.0)))
    waiting.start()
    buffer.close()
    waiting.join(HANGING_S)
    assert results == ["closed"]


def test_a_thread_that_is_interrupted_inside_the_queue_can_put_again(clock):
    """As a signal handler does that emits while its own thread is inside `put`."""
    buffer = new(clock)
    with buffer._lock:
        assert buffer.put(b"1") == "taken"


def test_the_fill_goes_by_the_tighter_bound(clock):
    buffer = new(clock, max_events=10, max_bytes=100)
    buffer.put(b"x" * 60)
    assert buffer.fill == 0.6
