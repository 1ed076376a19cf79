from __future__ import annotations

import itertools
import logging
from collections import Counter

import pytest

from tokentide.producers.counts import Drop
from tokentide.producers.errors import SpoolError
from tokentide.producers.spool import Spool

LINGER_S = 0.16


def events_in_spool(rig) -> int:
    return rig.spool.events


def test_events_wait_for_others_to_share_their_record_and_no_longer(new_rig):
    rig = new_rig(linger_ms=150)
    rig.put(1)
    rig.step(0.10)
    rig.put(2)
    assert rig.received == []
    rig.step(0.06)
    assert rig.received == [1, 2]
    assert len(rig.broker.records) == 1


def test_a_record_s_worth_of_events_does_not_wait(new_rig):
    rig = new_rig(record_max_events=3)
    rig.put(1, 2, 3, 4)
    rig.step()
    assert rig.received == [1, 2, 3]
    rig.step(LINGER_S)
    assert rig.received == [1, 2, 3, 4]


def test_a_hurry_sends_at_once(new_rig):
    rig = new_rig()
    rig.put(1)
    rig.step(hurry=True)
    assert rig.received == [1]
    assert rig.dispatcher.is_idle
    assert rig.counts.delivered == 1


def test_it_comes_again_when_the_oldest_event_has_waited_long_enough(new_rig):
    rig = new_rig(linger_ms=50)
    assert rig.step() == 30.0
    rig.put(1)
    assert rig.step() == pytest.approx(0.05)


def test_nobody_asks_for_a_connection_before_there_is_something_to_send(new_rig):
    rig = new_rig()
    asked = []
    rig.broker.ready = lambda: bool(asked.append(1))
    rig.step(10)
    assert asked == []
    rig.put(1)
    rig.step()
    assert asked == [1]


def test_while_a_connection_is_made_events_wait_in_memory_for_a_few_seconds(new_rig):
    rig = new_rig(away_after_s=3)
    rig.broker.is_up = False
    rig.put(1, 2)
    rig.run(2)
    assert events_in_spool(rig) == 0
    rig.broker.is_up = True
    rig.step(0.1)
    assert rig.received == [1, 2]
    assert rig.counts.spooled == 0


def test_when_kafka_is_away_events_go_to_the_spool_and_are_sent_in_order_when_it_is_back(new_rig):
    rig = new_rig(away_after_s=3)
    rig.broker.is_up = False
    for number in range(20):
        rig.put(number)
        rig.run(1)
    assert events_in_spool(rig) == 20
    rig.broker.is_up = True
    rig.run(2)
    assert rig.received == list(range(20))
    assert rig.dispatcher.is_idle
    assert (rig.counts.spooled, rig.counts.delivered) == (20, 20)


def test_a_broker_that_stops_acknowledging_is_away(new_rig):
    rig = new_rig(away_after_s=3)
    rig.broker.holds_acks = True
    rig.put(1)
    rig.run(3)
    rig.put(2)
    rig.run(1)
    assert rig.broker.waiting == 1
    assert events_in_spool(rig) == 1
    rig.broker.holds_acks = False
    rig.broker.acknowledge()
    rig.run(2)
    assert rig.received == [1, 2]


def test_a_slow_partition_does_not_count_as_away_while_others_are_acknowledged(new_rig):
    rig = new_rig(away_after_s=3, record_max_events=1)
    rig.broker.holds_acks = True
    rig.put(0)
    rig.run(1)
    for number in range(1, 10):
        rig.put(number)
        rig.run(1)
        rig.broker._open.rotate(-1)
        rig.broker.acknowledge(1)
        rig.broker._open.rotate(1)
    assert rig.received == list(range(1, 10))
    assert events_in_spool(rig) == 0


def test_a_record_that_timed_out_is_sent_again_after_a_pause(new_rig):
    rig = new_rig(away_after_s=60)
    rig.broker.holds_acks = True
    rig.put(1)
    rig.run(1)
    rig.broker.fail()
    rig.step()
    assert rig.broker.waiting == 0
    rig.step(0.25)
    assert rig.broker.waiting == 1
    rig.broker.acknowledge()
    rig.step()
    assert rig.received == [1]


def test_a_record_that_timed_out_while_kafka_is_away_goes_to_the_spool(new_rig):
    rig = new_rig(away_after_s=3)
    rig.broker.holds_acks = True
    rig.put(1)
    rig.run(5)
    rig.broker.fail()
    rig.step()
    assert events_in_spool(rig) == 1
    assert rig.dispatcher.in_flight == 0


def test_while_it_is_away_one_record_at_a_time_tries_and_less_and_less_often(new_rig):
    rig = new_rig(away_after_s=1)
    rig.broker.is_up = False
    for number in range(10):
        rig.put(number)
        rig.run(1)
    rig.broker.ready = lambda: True
    sent = []
    real = rig.broker.send
    rig.broker.send = lambda value, done: (sent.append(rig.clock.now_s), real(value, done))
    rig.run(60, every_s=0.125)
    # The first ones go together, as it seemed to be back; then each waits for the one before.
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent) if later > earlier]
    assert gaps == sorted(gaps)
    assert gaps[0] < 1
    assert gaps[-1] >= 10
    assert events_in_spool(rig) == 10


def test_an_answer_after_a_long_absence_opens_the_gates_at_once(new_rig):
    rig = new_rig(away_after_s=1)
    rig.broker.holds_acks = True
    rig.put(0)
    rig.run(2)
    rig.broker.fail()
    for number in range(1, 30):
        rig.put(number)
        rig.run(1)
    rig.broker.holds_acks = False
    rig.broker.acknowledge()
    rig.run(20)
    assert sorted(rig.received) == list(range(30))


def test_an_acknowledgement_that_was_lost_costs_a_duplicate_and_nothing_else(new_rig):
    rig = new_rig(away_after_s=60)
    rig.broker.holds_acks = True
    rig.put(1, 2)
    rig.run(1)
    rig.broker.fail(written=True)
    rig.broker.holds_acks = False
    rig.put(3)
    rig.run(2)
    assert Counter(rig.received) == {1: 2, 2: 2, 3: 1}
    assert rig.counts.delivered == 3


def test_a_pack_that_is_too_large_is_sent_in_parts_and_only_the_large_event_is_dropped(new_rig, caplog):
    rig = new_rig()
    rig.broker.max_bytes = 100
    rig.put(1, 2, 3, 4, 5)
    rig.buffer.put(b'{"event_id":"6","input":"' + b"x" * 200 + b'"}')
    rig.put(7)
    rig.run(6)
    assert sorted(rig.received) == [1, 2, 3, 4, 5, 7]
    assert rig.counts.dropped == {Drop.TOO_LARGE: 1}
    assert "too_large" in caplog.text


def test_a_spooled_pack_that_is_too_large_is_sent_in_parts_as_well(new_rig):
    rig = new_rig(away_after_s=1)
    rig.broker.is_up = False
    rig.put(*range(20))
    rig.buffer.put(b'{"event_id":"99","input":"' + b"x" * 200 + b'"}')
    rig.run(3)
    assert events_in_spool(rig) == 21
    rig.broker.max_bytes = 100
    rig.broker.is_up = True
    rig.run(10)
    assert sorted(rig.received) == list(range(20))
    assert rig.counts.dropped == {Drop.TOO_LARGE: 1}
    assert rig.dispatcher.is_idle


def test_the_parts_of_a_spooled_pack_stay_on_disk_until_they_are_acknowledged(new_rig):
    rig = new_rig(away_after_s=1)
    rig.broker.is_up = False
    rig.put(*range(20))
    rig.run(3)
    rig.broker.is_up = True
    rig.broker.max_bytes = 200
    rig.broker.holds_acks = True
    rig.run(1)
    rig.broker.acknowledge()  # refused; sent again, alone
    rig.run(1)
    rig.broker.acknowledge()  # refused alone, and split
    rig.step()
    rig.spool.abandon()  # as SIGKILL does
    successor = new_rig()
    successor.put(100)
    successor.run(5)
    assert sorted(successor.received) == [*range(20), 100]


def test_a_record_that_is_refused_for_good_does_not_block_those_behind_it(new_rig):
    rig = new_rig(record_max_events=1)
    rig.broker.holds_acks = True
    rig.put(1, 2, 3)
    rig.run(1)
    assert rig.broker.waiting == 3
    rig.broker.refuse()  # the first is refused, and the client fails the others with it
    rig.step()
    assert rig.broker.waiting == 1
    rig.broker.refuse()
    rig.step()
    assert rig.counts.dropped == {Drop.REFUSED: 1}
    rig.broker.holds_acks = False
    rig.broker.acknowledge()
    rig.run(2)
    assert rig.received == [2, 3]


def test_after_a_refusal_packs_are_made_smaller(new_rig):
    rig = new_rig(record_max_events=200, record_max_bytes=5000)
    rig.broker.max_bytes = 3000
    rig.put(*range(1000, 1200))
    rig.run(10)
    assert sorted(rig.received) == list(range(1000, 1200))
    sent = []
    real = rig.broker.send
    rig.broker.send = lambda value, done: (sent.append(len(value)), real(value, done))
    rig.put(*range(2000, 2200))
    rig.run(2)
    assert len(rig.received) == 400
    assert 1500 < max(sent) <= 3000
    assert rig.counts.dropped == {}


def test_a_client_that_is_stuck_is_given_up(new_rig):
    """kafka-python has been seen not to end records whose time was over."""
    rig = new_rig(delivery_timeout_s=4, away_after_s=1)
    rig.broker.holds_acks = True
    rig.put(1)
    rig.run(5.5)
    assert rig.broker.resets == 0
    rig.run(1)
    assert rig.broker.resets == 1
    assert events_in_spool(rig) == 1
    rig.broker.holds_acks = False
    rig.run(2)
    assert rig.received == [1]


def test_what_a_stuck_client_held_does_not_count_as_on_its_way_for_ever(new_rig):
    rig = new_rig(delivery_timeout_s=4, away_after_s=60, in_flight_max_bytes=50)
    rig.broker.holds_acks = True
    rig.put(1, 2, 3, 4, 5)
    rig.run(7)
    assert rig.broker.resets == 1
    rig.broker.holds_acks = False
    rig.broker.acknowledge()
    rig.run(2)
    assert rig.received == [1, 2, 3, 4, 5]
    assert rig.dispatcher._flying_bytes == 0


def test_a_client_is_not_replaced_while_records_are_on_their_way(new_rig):
    rig = new_rig(away_after_s=60, record_max_events=1)
    rig.broker.holds_acks = True
    rig.put(1, 2, 3)
    rig.run(1)
    rig.broker.fail(2)
    rig.step()
    assert rig.broker.resets == 0
    rig.broker.acknowledge()
    rig.step()
    assert rig.broker.resets == 0
    assert rig.received == [3]


def test_parts_of_a_refused_record_go_one_by_one_and_then_all_together_again(new_rig):
    rig = new_rig(record_max_events=4)
    rig.broker.max_bytes = 60
    rig.broker.holds_acks = True
    rig.put(1, 2, 3, 4)
    rig.run(0.5)
    on_their_way = []
    for _ in range(8):
        on_their_way.append(rig.broker.waiting)
        rig.broker.acknowledge()
        rig.step()
    assert sorted(rig.received) == [1, 2, 3, 4]
    assert set(on_their_way) == {0, 1}
    rig.put(*range(10, 18))
    rig.run(1)
    assert rig.broker.waiting > 1


def test_at_the_end_a_disk_that_refused_gets_a_last_chance(new_rig, monkeypatch):
    rig = new_rig(away_after_s=0)

    def refuse(*_: object) -> None:
        raise SpoolError("the disk is full")

    rig.broker.is_up = False
    rig.put(1)
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "append", refuse)
        rig.run(1)
    rig.dispatcher.finish()
    assert rig.counts.dropped == {}
    assert rig.dispatcher.spool.events == 1


def test_a_disk_that_cannot_be_read_is_left_alone_for_a_while(new_rig, caplog, monkeypatch):
    rig = new_rig(away_after_s=0)
    rig.broker.is_up = False
    rig.put(1)
    rig.run(1)
    tries = []

    def refuse(_: Spool) -> None:
        tries.append(rig.clock.now_s)
        raise SpoolError("cannot read the spool: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "next", refuse)
        rig.broker.is_up = True
        rig.run(25)
    assert len(tries) == 3
    rig.run(60)
    assert "Input/output error" in caplog.text
    rig.put(2)
    rig.run(11)
    assert sorted(rig.received) == [1, 2]


def test_while_there_is_no_connection_it_looks_ten_times_a_second(new_rig):
    rig = new_rig()
    rig.broker.is_up = False
    rig.put(1)
    assert rig.step(1.0) == pytest.approx(0.1)
    assert rig.step(0.0, hurry=True) == pytest.approx(0.1)


def test_a_client_whose_probe_failed_is_replaced(new_rig):
    rig = new_rig(away_after_s=1)
    rig.broker.holds_acks = True
    rig.put(1)
    rig.run(1)
    rig.broker.fail()
    rig.run(1)
    assert rig.broker.resets == 0
    rig.broker.fail()
    rig.step()
    assert rig.broker.resets == 1


def test_no_more_is_on_its_way_than_allowed(new_rig):
    rig = new_rig(in_flight_max_bytes=100, record_max_events=1, queue_max_events=1000)
    rig.broker.holds_acks = True
    rig.put(*range(50))
    rig.run(2)
    assert 100 <= sum(len(sent.value) for sent in rig.broker._open) < 130


def test_a_slow_kafka_and_a_half_full_queue_make_the_spool_take_over(new_rig):
    rig = new_rig(in_flight_max_bytes=100, record_max_events=1, queue_max_events=40, away_after_s=60)
    rig.broker.holds_acks = True
    rig.put(*range(19))
    rig.run(1)
    assert events_in_spool(rig) == 0
    rig.put(*range(19, 40))
    rig.run(1)
    assert events_in_spool(rig) > 10
    assert rig.buffer.fill < 0.5
    rig.broker.holds_acks = False
    rig.broker.acknowledge()
    rig.run(5)
    assert sorted(rig.received) == list(range(40))


def test_without_a_spool_events_wait_in_memory_and_the_newest_are_refused_when_it_is_full(new_rig):
    rig = new_rig(spool=False, queue_max_events=5, record_max_events=2, away_after_s=1)
    rig.broker.is_up = False
    rig.put(1, 2, 3)
    rig.run(5)
    taken = [number for number in range(4, 20) if rig.buffer.put(b'{"event_id":"%d"}' % number) == "taken"]
    rig.run(5)
    rig.broker.is_up = True
    rig.run(2)
    assert rig.received == [1, 2, 3, *taken]
    assert len(taken) < 10


def test_a_disk_that_refuses_is_left_alone_for_a_while_and_events_wait_in_memory(
    new_rig, caplog, monkeypatch
):
    rig = new_rig(away_after_s=1)
    tries = []

    def refuse(*_: object) -> None:
        tries.append(rig.clock.now_s)
        raise SpoolError("cannot write to the spool: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "append", refuse)
        rig.broker.is_up = False
        rig.put(1, 2)
        rig.run(30)
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(tries))
    assert "No space left on device" in caplog.text
    rig.run(11)
    assert events_in_spool(rig) == 2
    rig.broker.is_up = True
    rig.run(5)
    assert rig.received == [1, 2]


def test_at_the_end_everything_that_is_left_goes_to_the_spool(new_rig):
    rig = new_rig(record_max_events=2, in_flight_max_bytes=100)
    rig.broker.holds_acks = True
    rig.put(*range(9))
    rig.run(1)
    assert not rig.dispatcher.finish()
    successor = new_rig()
    successor.put(100)
    successor.run(2)
    assert sorted(successor.received) == [*range(9), 100]
    assert successor.spool.recovered == 9


def test_at_the_end_records_from_the_spool_that_are_on_their_way_stay_in_it(new_rig):
    rig = new_rig(away_after_s=1)
    rig.broker.is_up = False
    rig.put(1, 2)
    rig.run(3)
    rig.broker.is_up = True
    rig.broker.holds_acks = True
    rig.run(1)
    assert rig.broker.waiting == 1
    rig.dispatcher.finish()
    successor = new_rig()
    successor.put(3)
    successor.run(2)
    assert sorted(successor.received) == [1, 2, 3]


def test_at_the_end_without_a_spool_what_is_left_is_counted(new_rig):
    rig = new_rig(spool=False)
    rig.broker.is_up = False
    rig.put(1, 2, 3)
    rig.step(1)
    assert not rig.dispatcher.finish()
    assert rig.counts.dropped == {Drop.NOT_DELIVERED: 3}


def test_the_end_says_whether_everything_was_delivered(new_rig):
    rig = new_rig()
    rig.put(1)
    rig.run(1)
    assert rig.dispatcher.finish()


def test_a_client_that_raises_costs_nothing(new_rig):
    rig = new_rig(away_after_s=60)
    real = rig.broker.send
    calls = []

    def fail_once(value, done):
        calls.append(value)
        if len(calls) == 1:
            raise OSError("anything")
        real(value, done)

    rig.broker.send = fail_once
    rig.put(1)
    rig.run(2)
    assert rig.received == [1]


def test_the_spool_is_sent_no_faster_than_allowed_but_a_flush_does_not_wait(new_rig):
    rig = new_rig(away_after_s=1, resend_bytes_per_s=1024, record_max_events=1)
    rig.broker.is_up = False
    rig.put(*range(1000, 1300))
    rig.run(3)
    rig.broker.is_up = True
    rig.run(5)
    assert 200 <= len(rig.received) * len(b'{"event_id":"1000"}') / 5 <= 1100
    rig.step(hurry=True)
    rig.step(hurry=True)
    assert rig.received == list(range(1000, 1300))


def test_half_of_what_may_be_on_its_way_is_left_to_new_events(new_rig):
    rig = new_rig(away_after_s=1, record_max_events=1, in_flight_max_bytes=1000)
    rig.broker.is_up = False
    rig.put(*range(1000, 1200))
    rig.run(3)
    rig.broker.is_up = True
    rig.broker.holds_acks = True
    rig.run(0.5)
    assert 500 <= sum(len(sent.value) for sent in rig.broker._open) < 530


def test_new_events_do_not_wait_behind_the_spool(new_rig):
    rig = new_rig(away_after_s=1, resend_bytes_per_s=1024, record_max_events=1)
    rig.broker.is_up = False
    rig.put(*range(1000, 1300))
    rig.run(3)
    rig.broker.is_up = True
    rig.run(1)
    rig.put(7)
    rig.run(0.5)
    assert 7 in rig.received
    assert events_in_spool(rig) > 100


def test_parts_do_not_overtake_the_spool_in_which_their_partners_may_be(new_rig):
    rig = new_rig(away_after_s=1, resend_bytes_per_s=1024, record_max_events=1)
    rig.broker.is_up = False
    rig.put_parts(*range(1000, 1100))
    rig.run(3)
    rig.broker.is_up = True
    rig.run(1)
    rig.put_parts(7, 8)
    rig.put(9)
    rig.run(0.5)
    assert 9 in rig.received
    assert 7 not in rig.received
    rig.run(15, every_s=0.1)
    rig.put_parts(10)
    rig.run(0.5)
    assert [number for number in rig.received if number != 9] == [*range(1000, 1100), 7, 8, 10]
    assert rig.counts.spooled == 102  # the last found the spool empty


def test_parts_overtake_a_spool_that_fills_up_because_arriving_matters_more(new_rig):
    rig = new_rig(away_after_s=1, resend_bytes_per_s=1024, record_max_events=1, spool_max_bytes=65_536)
    rig.broker.is_up = False
    rig.put_parts(*range(1000, 1600))
    rig.run(3)
    assert rig.spool.bytes > 32_768
    rig.broker.is_up = True
    rig.run(1)
    rig.put_parts(7)
    rig.run(0.5)
    assert 7 in rig.received
    assert events_in_spool(rig) > 30


def test_parts_that_a_disk_refuses_are_sent_past_the_spool(new_rig, monkeypatch):
    rig = new_rig(away_after_s=1, resend_bytes_per_s=1024, record_max_events=1)
    rig.broker.is_up = False
    rig.put_parts(*range(1000, 1060))
    rig.run(3)
    rig.broker.is_up = True
    rig.run(1)

    def refuse(*_: object) -> None:
        raise SpoolError("cannot write to the spool: No space left on device")

    monkeypatch.setattr(rig.spool, "append", refuse)
    rig.put_parts(7)
    rig.run(0.5)
    assert 7 in rig.received


def test_records_that_come_back_one_after_the_other_keep_their_order(new_rig):
    rig = new_rig(away_after_s=60, record_max_events=1)
    rig.broker.holds_acks = True
    rig.put_parts(1, 2, 3, 4)
    rig.run(1)
    assert rig.broker.waiting == 4
    rig.broker.fail(2)
    rig.step()
    rig.put_parts(5)
    rig.broker._open.rotate(1)  # of several partitions the answers come in any order
    rig.broker.fail(1)
    rig.step()
    rig.broker.fail(1)
    rig.broker.holds_acks = False
    rig.run(2)
    assert rig.received == [1, 2, 3, 4, 5]


def test_a_part_that_comes_back_goes_before_the_spool_whose_parts_are_younger(new_rig):
    rig = new_rig(away_after_s=3, record_max_events=1)
    rig.broker.holds_acks = True
    rig.put(0)
    rig.put_parts(1)
    rig.run(4)
    rig.put_parts(2)
    rig.run(1)
    assert (rig.broker.waiting, events_in_spool(rig)) == (2, 1)
    rig.broker.holds_acks = False
    rig.broker._open.rotate(1)
    rig.broker.fail(1)  # the part; whatever came first
    rig.broker.acknowledge()
    rig.run(2)
    assert rig.received == [0, 1, 2]


def test_what_a_process_leaves_that_dies_later_is_found_within_a_minute(new_rig):
    rig, other = new_rig(away_after_s=1), new_rig(away_after_s=1)
    other.broker.is_up = False
    other.put(5)
    other.run(3)
    rig.put(1)
    rig.run(1)
    other.spool.abandon()
    rig.run(61)
    assert rig.received == [1, 5]


def test_going_away_and_coming_back_are_told_once(new_rig, caplog):
    caplog.set_level(logging.INFO, "tokentide")
    rig = new_rig(away_after_s=3)
    rig.broker.is_up = False
    rig.put(1)
    rig.run(30)
    rig.broker.is_up = True
    rig.run(2)
    assert caplog.messages == [
        "Kafka does not answer (switched off by the test); events wait on disk",
        "Kafka answers again",
    ]
    assert rig.dispatcher.problem is None


def test_the_spool_is_made_safe_from_a_crash_about_once_a_second(new_rig, monkeypatch):
    rig = new_rig(away_after_s=0, record_max_events=1)
    rig.broker.is_up = False
    synced = []
    monkeypatch.setattr(Spool, "sync", lambda _: synced.append(rig.clock.now_s))
    for number in range(20):
        rig.put(number)
        rig.step(0.25)
    assert all(later - earlier == 1.0 for earlier, later in itertools.pairwise(synced))
    assert len(synced) == 5


def test_it_never_asks_to_come_again_without_pause(new_rig):
    rig = new_rig(away_after_s=1, record_max_events=1, resend_bytes_per_s=1024)
    waits = []
    for round_ in range(200):
        rig.broker.is_up = round_ % 40 < 20
        rig.broker.holds_acks = round_ % 7 < 3
        if not rig.buffer.is_closed:
            rig.buffer.put(b'{"event_id":"%d"}' % round_)
        if round_ % 11 == 0:
            rig.broker.fail(1)
        waits.append(rig.step(0.05) if not rig.dispatcher._ends else 1.0)
    assert all(wait >= 0.005 for wait in waits if not rig.dispatcher._ends)


def test_the_log_says_the_addresses_and_why_where_the_transport_knows(new_rig, monkeypatch, caplog):
    rig = new_rig(place="broker-1:9092, broker-2:9092")
    rig.put(1)
    rig.step(LINGER_S)
    rig.broker.holds_acks = True
    rig.put(2)
    rig.run(2)
    monkeypatch.setattr(type(rig.broker), "problem", "connection refused")
    assert rig.dispatcher.problem is None  # it is not away yet
    rig.run(3)
    assert rig.dispatcher.problem == "connection refused"
    assert caplog.messages == [
        "Kafka at broker-1:9092, broker-2:9092 does not answer (connection refused); events wait on disk"
    ]
    assert not rig.dispatcher.is_hopeless  # what is on its way may still be acknowledged


def test_where_nobody_knows_why_it_is_a_time_out(new_rig, caplog):
    rig = new_rig(place="broker-1:9092")
    rig.broker.holds_acks = True
    rig.put(1)
    rig.run(5)
    assert caplog.messages == ["Kafka at broker-1:9092 does not answer (time-out); events wait on disk"]
