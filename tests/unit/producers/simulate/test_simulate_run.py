"""Runs: history, live, both; counted, interrupted, late."""

from __future__ import annotations

import io
import signal

import pytest

from tokentide.producers.bulk import MemorySink
from tokentide.producers.pace import ManualClock
from tokentide.producers.progress import Progress
from tokentide.producers.simulate.incidents import parse_incident
from tokentide.producers.simulate.run import RunOptions, run_simulation, simulation_options
from tokentide.producers.simulate.truth import Truth
from tokentide.producers.traffic_errors import OptionError
from tokentide.schemas.timestamps import parse_timestamp

NOW_US = 1_800_000_000_000_000


class TimedSink(MemorySink):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.sent_us: list[int] = []

    def send(self, event, event_id=None):
        self.sent_us.append(self._clock.now_us())
        super().send(event, event_id)


def run(*, clock=None, sink=None, truth=None, **options):
    clock = clock if clock is not None else ManualClock(NOW_US)
    sink = sink if sink is not None else TimedSink(clock)
    progress = Progress("simulate", stream=io.StringIO(), style="quiet")
    report = run_simulation(RunOptions(**options), sink, progress=progress, truth=truth, clock=clock)
    return report, sink, clock


def times_us(sink: MemorySink) -> list[int]:
    return [parse_timestamp(event["timestamp"]) for event in sink.events]


def test_history_ends_now_and_is_sent_at_once():
    report, sink, clock = run(history_s=600, is_live=False, rate_per_second=5)
    found = times_us(sink)
    assert NOW_US - 600_000_000 <= found[0] < found[-1] < NOW_US
    assert clock.now_us() == NOW_US
    assert (report.sent, report.acknowledged) == (len(found), len(found))
    assert (report.first_us, report.last_us) == (found[0], found[-1])


def test_live_traffic_is_sent_when_its_calls_finish():
    report, sink, _ = run(live_s=60, rate_per_second=5, rhythm=0)
    assert report.sent == pytest.approx(300, rel=0.25)
    for event_us, sent_us in zip(times_us(sink), sink.sent_us, strict=True):
        assert 0 <= sent_us - event_us < 10
    assert report.most_behind_s < 0.001


def test_live_traffic_goes_on_where_its_history_ends():
    report, sink, clock = run(history_s=300, live_s=30, rate_per_second=5, rhythm=0)
    found = times_us(sink)
    history = sum(event_us <= NOW_US for event_us in found)
    assert sink.sent_us[:history] == [NOW_US] * history
    assert history == pytest.approx(1500, rel=0.1)
    assert found[-1] == pytest.approx(clock.now_us(), abs=10)
    assert report.sent == len(found)


def test_live_traffic_that_is_sent_late_says_so():
    class SlowSink(TimedSink):
        def send(self, event, event_id=None):
            self._clock.sleep(0.5)
            super().send(event, event_id)

    clock = ManualClock(NOW_US)
    report, _, _ = run(clock=clock, sink=SlowSink(clock), live_s=60, rate_per_second=5, rhythm=0)
    assert report.most_behind_s > 30


def test_a_run_can_be_counted():
    report, sink, _ = run(count=123)
    assert report.sent == len(sink.lines) == 123


def test_incidents_count_from_the_begin_of_the_live_part():
    incident = parse_incident("silence:start=10,duration=5")
    for history_s, expected in ((0, 10), (3600, 3610)):
        run_options = RunOptions(history_s=history_s, live_s=60, incidents=(incident,))
        assert simulation_options(run_options, NOW_US).incidents[0].start_s == expected
    only_history = RunOptions(history_s=3600, is_live=False, incidents=(incident,))
    assert simulation_options(only_history, NOW_US).incidents[0].start_s == 10


def test_traffic_of_another_time_is_the_same_whenever_it_is_made():
    options = {"start_us": 1_760_000_000_000_000, "history_s": 120, "is_live": False}
    _, first, _ = run(**options)
    _, second, _ = run(clock=ManualClock(NOW_US + 999), **options)
    assert first.lines == second.lines
    assert times_us(first)[0] >= 1_760_000_000_000_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"is_live": False}, "neither history nor live traffic"),
        ({"history_s": -1}, "above 0 seconds"),
        ({"live_s": 0}, "above 0 seconds"),
        ({"start_us": 1, "history_s": 60}, "give its length, and no live part"),
        ({"start_us": 1, "is_live": False}, "give its length, and no live part"),
        ({"history_s": 1e300}, r"history must be at most [0-9,]+ days: it would begin before 2000"),
        ({"history_s": 1e9}, r"history must be at most [0-9,]+ days: it would begin before 2000"),
        ({"live_s": 1e300}, "must end before 2100"),
        ({"start_us": 1, "history_s": 60, "is_live": False}, "must begin in 2000 or later"),
        ({"start_us": 253_402_128_000_000_000, "history_s": 6e5, "is_live": False}, "must end before 2100"),
    ],
)
def test_runs_that_make_no_sense_are_refused(options, text):
    with pytest.raises(OptionError, match=text):
        run(**{"count": 1, **options})


def test_what_is_no_event_is_sent_alone_and_truth_counts_what_was_sent():
    truth = Truth()
    report, sink, _ = run(
        history_s=300, is_live=False, incidents=(parse_incident("reject_burst:rate=0.5"),), truth=truth
    )
    assert sink.alone
    assert report.malformed == len(sink.alone)
    assert truth.events + sum(truth.rejects.values()) == report.sent == len(sink.lines) + len(sink.alone)


def test_ctrl_c_ends_between_two_events():
    class InterruptedSink(MemorySink):
        def send(self, event, event_id=None):
            if len(self.lines) == 50:
                signal.raise_signal(signal.SIGINT)
            super().send(event, event_id)

    truth = Truth()
    report, sink, _ = run(sink=InterruptedSink(), truth=truth)
    assert report.is_interrupted
    assert report.sent == report.acknowledged == len(sink.lines) == truth.events == 51
