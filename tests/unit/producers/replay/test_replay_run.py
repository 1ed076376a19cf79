"""The loop: pace, times, order, reports, interruption."""

from __future__ import annotations

import gzip
import io
import signal

import pytest

from tokentide.producers.bulk import MemorySink
from tokentide.producers.pace import ManualClock, Pacer, parse_speed
from tokentide.producers.progress import Progress
from tokentide.producers.replay.load import parse_mapping
from tokentide.producers.replay.options import ReplayOptions
from tokentide.producers.replay.run import replay
from tokentide.producers.traffic_errors import MappingError, OptionError
from tokentide.schemas.timestamps import parse_timestamp

MAPPING = """
[options.model]
help = "model"
[time]
column = "t"
unit = "s"
start = "2026-01-01T00:00:00Z"
[fields]
service = { constant = "x" }
request_model = { option = "model" }
input_tokens = "n"
"""
NOW_US = 1_800_000_000_000_000
START_US = 1_767_225_600_000_000


class TimedSink(MemorySink):
    """Remembers when each event came."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.times_us: list[int] = []

    def send(self, event, event_id=None):
        self.times_us.append(self._clock.now_us())
        super().send(event, event_id)


def trace(tmp_path, times, name="trace.csv"):
    path = tmp_path / name
    path.write_text("t,n\n" + "".join(f"{t},{n}\n" for n, t in enumerate(times)))
    return path


def run(source, *, mapping=MAPPING, sink=None, clock=None, **options):
    clock = clock if clock is not None else ManualClock(NOW_US)
    sink = sink if sink is not None else TimedSink(clock)
    progress = Progress("replay", stream=io.StringIO(), style="quiet")
    report = replay(
        source, parse_mapping(mapping, "m"), sink, ReplayOptions(**options), progress=progress, clock=clock
    )
    return report, sink


def event_times_us(sink) -> list[int]:
    return [parse_timestamp(event["timestamp"]) for event in sink.events]


def test_as_fast_as_possible_sends_everything_at_once_with_the_original_times(tmp_path):
    report, sink = run(trace(tmp_path, [0, 60, 7200]))
    assert event_times_us(sink) == [START_US, START_US + 60_000_000, START_US + 7_200_000_000]
    assert sink.times_us == [NOW_US] * 3
    assert (report.rows, report.sent, report.acknowledged, report.bad) == (3, 3, 3, 0)
    assert (report.first_us, report.last_us) == (START_US, START_US + 7_200_000_000)


@pytest.mark.parametrize(("speed", "expected_s"), [(1, [0, 60, 90]), (10, [0, 6, 9]), (0.5, [0, 120, 180])])
def test_a_pace_keeps_the_gaps_divided_by_the_speed(tmp_path, speed, expected_s):
    _, sink = run(trace(tmp_path, [100, 160, 190]), speed=speed)
    assert [(time_us - NOW_US) / 1e6 for time_us in sink.times_us] == pytest.approx(expected_s, abs=1e-3)


def test_at_a_pace_what_is_held_back_is_sent_before_each_wait(tmp_path):
    _, sink = run(trace(tmp_path, [0, 1, 1, 2]), speed=1)
    assert sink.pushes == 2


def test_a_row_that_goes_back_in_time_is_due_at_once(tmp_path):
    report, sink = run(trace(tmp_path, [0, 50, 10, 60]), speed=1)
    assert [(time_us - NOW_US) / 1e6 for time_us in sink.times_us] == pytest.approx([0, 50, 50, 60])
    assert report.out_of_order == 1


def test_times_of_now_at_full_speed_end_now(tmp_path):
    _, sink = run(trace(tmp_path, [0, 60, 7200]), times="now")
    assert event_times_us(sink) == [NOW_US - 7_200_000_000, NOW_US - 7_140_000_000, NOW_US]


@pytest.mark.parametrize("speed", [0.25, 1, 3, 1000])
def test_times_of_now_keep_their_gaps_and_never_lie_in_the_future(tmp_path, speed):
    offsets = [0, 5, 4, 60, 61, 3600]
    _, sink = run(trace(tmp_path, offsets), times="now", speed=speed)
    times_us = event_times_us(sink)
    assert [(t - times_us[0]) / 1e6 for t in times_us] == offsets
    assert all(event_us <= sent_us for event_us, sent_us in zip(times_us, sink.times_us, strict=True))
    ends_meet = times_us[-1] if speed >= 1 else times_us[0]
    sent = sink.times_us[-1] if speed >= 1 else sink.times_us[0]
    assert ends_meet == pytest.approx(sent, abs=2)


def test_times_of_now_need_a_file(tmp_path):
    content = io.BytesIO(trace(tmp_path, [0]).read_bytes())
    with pytest.raises(OptionError, match="a stream cannot be read twice"):
        run(content, times="now")


def test_the_order_is_that_of_the_file_or_on_request_of_time(tmp_path):
    path = trace(tmp_path, [30, 10, 20, 10])
    assert [event["input_tokens"] for event in run(path)[1].events] == [0, 1, 2, 3]
    report, sink = run(path, order="time")
    assert [event["input_tokens"] for event in sink.events] == [1, 3, 2, 0]
    assert report.out_of_order == 0


def test_the_ids_do_not_depend_on_pace_or_order(tmp_path):
    path = trace(tmp_path, [30, 10, 20])
    ids = [
        {event["event_id"] for event in run(path, **options)[1].events}
        for options in ({}, {"speed": 100}, {"order": "time"})
    ]
    assert ids[0] == ids[1] == ids[2]


def test_replayed_twice_with_times_of_now_events_are_new_ones(tmp_path):
    path = trace(tmp_path, [0, 1])
    _, first = run(path, times="now")
    _, second = run(path, times="now", clock=ManualClock(NOW_US + 1))
    assert {e["event_id"] for e in first.events}.isdisjoint(e["event_id"] for e in second.events)


def test_compressed_traces_and_streams_are_read_too(tmp_path):
    content = trace(tmp_path, [0, 1]).read_bytes()
    (tmp_path / "trace.csv.gz").write_bytes(gzip.compress(content))
    _, plain = run(io.BytesIO(content))
    _, packed = run(tmp_path / "trace.csv.gz")
    assert plain.lines == packed.lines


def test_bad_rows_are_counted_and_listed_and_the_rest_is_sent(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("t,n\n0,1\nx,2\n5,many\n6\n7,3\n")
    report, _ = run(path)
    assert (report.rows, report.sent, report.bad) == (5, 2, 3)
    assert [str(row) for row in report.bad_rows] == [
        "line 3: time: is text of 1 character; must be a number",
        "line 4: input_tokens: is text of 4 characters; must be a number",
        "line 5: has 1 cells; the header has 2",
    ]


def test_rows_sent_before_are_read_but_not_sent(tmp_path):
    path = trace(tmp_path, range(10))
    _, whole = run(path)
    report, rest = run(path, skip_rows=6)
    assert rest.lines == whole.lines[6:]
    assert (report.rows, report.not_sent, report.sent) == (10, 6, 4)


def test_a_replay_can_be_limited(tmp_path):
    report, _ = run(trace(tmp_path, range(10)), limit_rows=4, times="now")
    assert (report.rows, report.sent, report.last_us) == (4, 4, NOW_US)


def test_ctrl_c_ends_between_two_events_and_the_rest_can_follow(tmp_path):
    class InterruptedSink(MemorySink):
        def send(self, event, event_id=None):
            if len(self.lines) == 5:
                signal.raise_signal(signal.SIGINT)
            super().send(event, event_id)

    path = trace(tmp_path, range(12))
    report, first = run(path, sink=InterruptedSink())
    assert report.is_interrupted
    assert report.rows == report.acknowledged == len(first.lines) == 6
    _, rest = run(path, skip_rows=report.rows)
    _, whole = run(path)
    assert first.lines + rest.lines == whole.lines


def test_ctrl_c_while_waiting_is_heard_at_once(tmp_path):
    class InterruptedClock(ManualClock):
        def sleep(self, duration_s):
            if self.steady_s() > 20:
                signal.raise_signal(signal.SIGINT)
            super().sleep(duration_s)

    clock = InterruptedClock(NOW_US)
    report, sink = run(trace(tmp_path, [0, 10, 3600]), speed=1, clock=clock)
    assert report.is_interrupted
    assert len(sink.lines) == 2
    assert clock.steady_s() < 22


def test_options_of_the_mapping_reach_the_events(tmp_path):
    _, sink = run(
        trace(tmp_path, [0]),
        values={"model": "gpt-4o"},
        service="mine",
        environment="test",
        start="2026-02-01",
    )
    (event,) = sink.events
    assert (event["request_model"], event["service"], event["environment"]) == ("gpt-4o", "mine", "test")
    assert event["timestamp"] == "2026-02-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"values": {"modl": "x"}}, "the mapping 'm' has no option 'modl'; did you mean 'model'?"),
        ({"service": ""}, "service must be 1 … 200 characters"),
        ({"start": "soon"}, "start is no date or time"),
        ({"speed": 0}, "speed must be above 0"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_anything_is_sent(tmp_path, options, text):
    with pytest.raises(OptionError, match=text.replace("?", r"\?")):
        run(trace(tmp_path, [0]), **options)


def test_a_start_is_refused_where_the_trace_has_times_of_its_own(tmp_path):
    mapping = '[time]\ncolumn = "t"\nunit = "s"\n[fields]\nservice = { constant = "x" }\n'
    with pytest.raises(OptionError, match="has times of its own and takes no start"):
        run(trace(tmp_path, [0]), mapping=mapping, start="2026-01-01")


def test_a_mapping_without_a_service_needs_one_from_the_user(tmp_path):
    mapping = MAPPING.replace('service = { constant = "x" }\n', "")
    with pytest.raises(OptionError, match="tells no service; give one"):
        run(trace(tmp_path, [0]), mapping=mapping)
    assert run(trace(tmp_path, [0]), mapping=mapping, service="mine")[1].events[0]["service"] == "mine"


def test_a_mapping_that_does_not_fit_the_file_sends_nothing(tmp_path):
    sink = MemorySink()
    with pytest.raises(MappingError, match="the file has no column 'm'"):
        run(trace(tmp_path, [0]), mapping=MAPPING.replace('"n"', '"m"'), sink=sink)
    assert sink.lines == []


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("1", 1.0), ("10x", 10.0), ("0.5", 0.5)])
def test_speeds_are_read(text, speed):
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf", ""])
def test_what_is_no_speed_is_refused(text):
    with pytest.raises(ValueError, match="neither `max` nor a number"):
        parse_speed(text)


def test_an_anchored_pace_sends_what_is_past_at_once_and_waits_for_the_rest():
    clock = ManualClock(NOW_US)
    pacer = Pacer(clock, 1.0, anchor_us=NOW_US)
    waited = []
    for offset_s in (-100, -1, 0.5, 2):
        pacer.wait_for(NOW_US + round(offset_s * 1e6), push=lambda: None, tick=lambda: None)
        waited.append(clock.steady_s())
    assert waited == pytest.approx([0, 0, 0.5, 2])
