from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from tokentide.producers.rfc3339 import rfc3339
from tokentide.producers.uuid7 import Uuid7, uuid7
from tokentide.schemas.timestamps import parse_timestamp

MS = 1_000_000


def test_an_id_is_a_uuid_of_version_7_with_its_time():
    before_ms = time.time_ns() // MS
    parsed = uuid.UUID(uuid7())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before_ms <= parsed.int >> 80 <= time.time_ns() // MS


def test_ids_of_one_millisecond_rise():
    ids = Uuid7()
    made = [ids.next(1_767_323_045_123 * MS) for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {uuid.UUID(text).int >> 80 for text in made} == {1_767_323_045_123}


def test_ids_rise_when_the_clock_steps_back():
    ids = Uuid7()
    made = [ids.next(ms * MS) for ms in (2000, 1000, 1500, 2000, 2001)]
    assert made == sorted(set(made))


def test_a_counter_that_runs_over_borrows_from_the_next_millisecond():
    ids = Uuid7()
    first = ids.next(5 * MS)
    ids._counter = (1 << 74) - 1
    second, third = ids.next(5 * MS), ids.next(6 * MS)
    assert first < second < third
    assert uuid.UUID(second).int >> 80 == 6


def test_ids_of_many_threads_differ():
    ids = Uuid7()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [ids.next(7 * MS) for _ in range(500)], range(8)))
    assert len({text for batch in made for text in batch}) == 4000


def test_after_a_reset_the_same_millisecond_gives_other_ids():
    ids = Uuid7()
    first = ids.next(9 * MS)
    ids.reset()
    assert ids.next(9 * MS) != first


def test_times_are_rfc_3339_with_microseconds_and_mean_the_same():
    for time_us in (0, 1, 999_999, 1_767_323_045_000_001, 1_767_323_045_999_999, 4_102_444_800_000_000):
        assert parse_timestamp(rfc3339(time_us)) == time_us
    assert rfc3339(1_767_323_045_000_001) == "2026-01-02T03:04:05.000001Z"
