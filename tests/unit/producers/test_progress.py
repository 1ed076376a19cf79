from __future__ import annotations

import io

import pytest

from tokentide.producers.progress import (
    Progress,
    Snapshot,
    describe,
    describe_bytes,
    describe_duration,
    style_of,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5e9, "5.0 GB"),
        (7.2e12, "7.2 TB"),
    ],
)
def test_sizes_are_told_in_decimal_units(size_bytes, text):
    assert describe_bytes(size_bytes) == text


@pytest.mark.parametrize(("duration_s", "text"), [(0, "0:00"), (65, "1:05"), (3_725, "1:02:05")])
def test_durations_are_told_as_on_a_watch(duration_s, text):
    assert describe_duration(duration_s) == text


def test_a_line_tells_count_share_size_rates_and_time_left():
    line = describe(
        Snapshot(
            label="ship",
            events=2_500,
            size_bytes=2_000_000,
            elapsed_s=10,
            events_per_s=300,
            total_events=10_000,
            fraction_done=0.25,
        )
    )
    assert line == "ship  2,500 of 10,000 events  25.0%  2.0 MB  300 events/s  200.0 kB/s  0:30 left"


def test_what_is_not_known_is_left_out():
    line = describe(Snapshot(label="ship", events=7, size_bytes=0, elapsed_s=1, events_per_s=7))
    assert line == "ship  7 events  7 events/s"


def test_a_terminal_sees_one_line_that_is_written_anew():
    clock, stream = Clock(), Terminal()
    with Progress("replay", total_events=4, stream=stream, clock=clock) as progress:
        for _ in range(4):
            clock.now_s += 1
            progress.advance(1, 10)
    shown = stream.getvalue()
    assert shown.count("\n") == 1
    assert shown.endswith("replay  4 events  40 B  in 0:04  1 events/s\n")
    assert "\r\x1b[Kreplay  2 of 4 events  50.0%" in shown


def test_a_log_file_gets_a_plain_line_every_five_seconds():
    clock, stream = Clock(), io.StringIO()
    progress = Progress("replay", stream=stream, clock=clock)
    for _ in range(11):
        clock.now_s += 1
        progress.advance(10)
    lines = stream.getvalue().splitlines()
    assert lines == ["replay  50 events  10 events/s", "replay  100 events  10 events/s"]
    assert "\r" not in stream.getvalue()


def test_the_rate_is_that_of_the_last_seconds_so_that_a_stall_is_seen():
    clock, stream = Clock(), io.StringIO()
    progress = Progress("ship", stream=stream, clock=clock)
    clock.now_s += 5
    progress.advance(1_000)
    for _ in range(20):
        clock.now_s += 1
        progress.tick()
    assert stream.getvalue().splitlines()[-1] == "ship  1,000 events  0 events/s"


def test_quiet_writes_nothing_but_notes():
    clock, stream = Clock(), io.StringIO()
    with Progress("ship", stream=stream, clock=clock, style="quiet") as progress:
        clock.now_s += 60
        progress.advance(5)
        progress.note("line 3 is no event")
    assert stream.getvalue() == "line 3 is no event\n"


def test_a_note_on_a_terminal_does_not_mix_with_the_refreshed_line():
    clock, stream = Clock(), Terminal()
    progress = Progress("ship", stream=stream, clock=clock)
    clock.now_s += 1
    progress.advance(1)
    progress.note("line 3 is no event")
    assert stream.getvalue().endswith("\r\x1b[Kline 3 is no event\n")


def test_the_share_done_can_come_from_the_caller_and_is_never_above_one():
    progress = Progress("ship", stream=io.StringIO(), clock=Clock())
    progress.advance(1, fraction_done=1.2)
    assert progress.snapshot(101.0).fraction_done == 1.0


def test_a_total_that_is_learned_later_counts_from_then_on():
    progress = Progress("ship", stream=io.StringIO(), clock=Clock())
    progress.advance(5)
    progress.expect(20)
    assert progress.snapshot(101.0).fraction_done == 0.25


def test_the_style_follows_the_stream():
    assert style_of(Terminal()) == "terminal"
    assert style_of(io.StringIO()) == "lines"
    assert style_of(Terminal(), quiet=True) == "quiet"


class TroubleError(Exception):
    """What ends the work."""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_an_error_before_anything_was_done_leaves_no_empty_line(stream):
    clock = Clock()
    progress = Progress("file", stream=stream, clock=clock)
    clock.now_s += 1
    progress.tick()  # a terminal has its first line by now, which is cleared
    with pytest.raises(TroubleError), progress:
        raise TroubleError
    assert "in 0:0" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K" if stream.isatty() else "")


def test_an_error_later_on_comes_after_the_totals():
    stream = io.StringIO()
    progress = Progress("file", stream=stream, clock=Clock())
    progress.advance(3)
    with pytest.raises(TroubleError), progress:
        raise TroubleError
    assert stream.getvalue() == "file  3 events  in 0:00\n"
