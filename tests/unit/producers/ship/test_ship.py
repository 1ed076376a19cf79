from __future__ import annotations

import gzip
import io
import json
import os
import signal
import threading
import time

import pytest

from tokentide.producers.bulk import MemorySink
from tokentide.producers.pace import ManualClock
from tokentide.producers.progress import Progress
from tokentide.producers.ship import ShipOptions, ship
from tokentide.schemas.limits import MAX_RECORD_BYTES

NOW_US = 1_800_000_000_000_000
GOOD = {"event_id": "e1", "timestamp": "2026-01-31T12:00:00Z", "service": "chat", "input_tokens": 5}


def send(content: bytes, *, sink: MemorySink | None = None, **options):
    sink = sink if sink is not None else MemorySink()
    progress = Progress("ship", stream=io.StringIO(), style="quiet")
    report = ship(
        io.BytesIO(content), sink, ShipOptions(**options), progress=progress, clock=ManualClock(NOW_US)
    )
    return report, sink


def lines(*events: object) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def without_id(**more) -> dict:
    return {key: value for key, value in {**GOOD, **more}.items() if key != "event_id"}


def test_lines_are_sent_as_the_bytes_they_are():
    raw = (
        b'{"event_id": "e1",  "timestamp":1769860800.250, "service":"chat", "cost_usd": 0.10000000000000001}'
    )
    report, sink = send(raw + b"\n")
    assert sink.lines == [raw]
    assert (report.items, report.sent, report.acknowledged, report.invalid) == (1, 1, 1, 0)


def test_an_event_without_an_id_gets_one_and_keeps_the_rest_of_its_bytes():
    report, sink = send(b' { "timestamp":"2026-01-31T12:00:00Z" ,"service":"chat","top":1.50 }\n')
    (line,) = sink.lines
    event_id = json.loads(line)["event_id"]
    assert line == b'{"event_id":"' + event_id.encode() + (
        b'","timestamp":"2026-01-31T12:00:00Z" ,"service":"chat","top":1.50 }'
    )
    assert report.ids_given == 1
    assert report.invalid == 0


def test_the_same_file_gets_the_same_ids_each_time():
    content = lines(*(without_id(input_tokens=n) for n in range(50)))
    first, second = (send(content)[1].events for _ in range(2))
    assert first == second
    assert len({event["event_id"] for event in first}) == 50


def test_two_lines_that_are_alike_are_two_events():
    _, sink = send(lines(without_id(), without_id()))
    first, second = sink.events
    assert first["event_id"] != second["event_id"]


def test_a_file_that_has_grown_gives_its_old_lines_their_old_ids():
    events = [without_id(input_tokens=n) for n in range(10)]
    _, before = send(lines(*events[:6]))
    _, after = send(lines(*events))
    assert after.lines[:6] == before.lines


def test_a_file_with_another_first_line_gives_other_ids():
    _, one = send(lines(without_id(input_tokens=1), without_id()))
    _, other = send(lines(without_id(input_tokens=2), without_id()))
    assert one.events[1]["event_id"] != other.events[1]["event_id"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"event_id":"e","service":"chat"}', "timestamp: is required and missing; add it"),
        (b'{"event_id":"e","timestamp":"2026-01-31T12:00:00","service":"chat"}', "RFC 3339 with a zone"),
        (b'{"event_id":"e","timestamp":"1999-12-31T23:59:59Z","service":"c"}', "before the year 2000"),
        (b'{"event_id":"e","timestamp":1800000301,"service":"chat"}', "more than 5 minutes in the future"),
        (b'{"event_id":"","timestamp":1800000000,"service":"chat"}', "event_id: is text of 0 characters"),
        (
            b'{"event_id":"e","timestamp":1800000000,"service":"c","input_tokens":"5"}',
            "input_tokens: is text",
        ),
        (
            b'{"event_id":"e","timestamp":1800000000,"service":"c","event_type":"x"}',
            "event_type: is text of 1 character and not known; use call (or leave it out), request",
        ),
        (
            b'{"event_id":"e","timestamp":1800000000,"service":"c","event_type":"request"}',
            "request_id: is required and missing; add it",
        ),
        (
            b'{"event_id":"e","timestamp":1800000000,"service":"c","event_type":"error","request_id":7}',
            "request_id: is the number 7; must be text",
        ),
        (
            b'{"event_id":"e","timestamp":1800000000,"service":"c","event_type":"evaluation","request_id":"r"}',
            "quality: is required and missing; add it",
        ),
        (
            b'{"event_id":"e","timestamp":1800000301,"service":"c","event_type":"response","request_id":"r"}',
            "more than 5 minutes in the future",
        ),
    ],
)
def test_an_invalid_event_is_listed_with_line_and_reason_and_sent_all_the_same(line, reason):
    report, sink = send(lines(GOOD) + line + b"\n" + lines(GOOD))
    assert sink.lines[1] == line
    assert (report.items, report.sent, report.invalid, report.withheld) == (3, 3, 1, 0)
    assert report.problems[0].line == 2
    assert reason in report.problems[0].reason


def test_parts_and_evaluations_that_are_right_are_sent_in_the_order_of_the_file_without_a_word():
    of_request = {"request_id": "r", "quality": {"score": 1}}
    kinds = ["request", "response", "error", "evaluation"]
    report, sink = send(lines(*({**GOOD, **of_request, "event_type": kind} for kind in kinds)))
    assert [event["event_type"] for event in sink.events] == kinds
    assert (report.invalid, report.sent) == (0, 4)
    assert [unknown.field for unknown in report.unknown_fields] == ["input_tokens"]
    assert report.unknown_fields[0].problem == "is no field of an evaluation; send it with the call"


def test_what_is_no_object_travels_alone_so_that_neighbours_stay_readable():
    broken = [b'{"a":', b"\xff\xfe", b"12", b'"text"']
    report, sink = send(b"\n".join([json.dumps(GOOD).encode(), *broken]))
    assert sink.lines == [json.dumps(GOOD).encode()]
    assert sink.alone == broken
    assert [problem.line for problem in report.problems] == [2, 3, 4, 5]


def test_invalid_lines_can_be_left_out():
    report, sink = send(lines(GOOD) + b'{"a":\n' + lines({"event_id": "x"}, GOOD), invalid="skip")
    assert len(sink.lines) == 2
    assert not sink.alone
    assert (report.sent, report.invalid, report.withheld) == (2, 2, 2)


def test_a_line_over_the_size_of_a_record_cannot_be_sent():
    report, sink = send(b'{"event_id":"' + b"x" * MAX_RECORD_BYTES + b'"}\n' + lines(GOOD))
    assert len(sink.lines) == 1
    assert (report.invalid, report.withheld, report.sent) == (1, 1, 1)
    assert "longer than 1,048,576 bytes" in report.problems[0].reason


def test_reasons_do_not_repeat_what_is_in_a_line():
    secret = "the-prompt-itself"
    report, _ = send(lines({**GOOD, "status": secret, "input": {"a": secret}, "turn": secret}))
    assert report.invalid == 1
    assert secret not in report.problems[0].reason


def test_arrays_compressed_files_and_documents_are_understood():
    for content in (
        json.dumps([GOOD, GOOD]).encode(),
        json.dumps([GOOD, GOOD], indent=2).encode(),
        gzip.compress(lines(GOOD, GOOD)),
    ):
        report, sink = send(content)
        assert report.sent == 2
        assert sink.events == [GOOD, GOOD]


def test_items_sent_before_are_passed_over_and_the_ids_of_the_rest_stay():
    content = lines(*(without_id(input_tokens=n) for n in range(10)))
    _, whole = send(content)
    report, rest = send(content, skip_items=7)
    assert rest.lines == whole.lines[7:]
    assert (report.items, report.sent, report.not_sent) == (10, 3, 7)


def test_only_the_first_problems_are_kept_but_all_are_counted_and_told():
    told: list = []
    progress = Progress("ship", stream=io.StringIO(), style="quiet")
    report = ship(
        io.BytesIO(b"no\n" * 100), MemorySink(), ShipOptions(), progress=progress, on_problem=told.append
    )
    assert report.invalid == 100
    assert len(report.problems) == 20
    assert len(told) == 100


def test_a_pipe_that_pauses_gets_its_events_sent_meanwhile():
    reader, writer = os.pipe()
    sink = MemorySink()

    def write_slowly() -> None:
        os.write(writer, lines(GOOD))
        while not sink.pushes:
            time.sleep(0.01)
        os.close(writer)

    thread = threading.Thread(target=write_slowly)
    thread.start()
    with os.fdopen(reader, "rb") as pipe:
        report = ship(
            pipe, sink, ShipOptions(), progress=Progress("ship", stream=io.StringIO(), style="quiet")
        )
    thread.join()
    assert report.sent == 1
    assert sink.pushes


def test_ctrl_c_ends_between_two_events_and_the_report_tells_where_to_go_on():
    class InterruptedSink(MemorySink):
        def send(self, event, event_id=None):
            if len(self.lines) == 3:
                signal.raise_signal(signal.SIGINT)
            super().send(event, event_id)

    content = lines(*(without_id(input_tokens=n) for n in range(10)))
    report, sink = send(content, sink=InterruptedSink())
    assert report.is_interrupted
    assert len(sink.lines) == report.items == report.acknowledged == 4
    assert sink.is_flushed
    _, rest = send(content, skip_items=report.items)
    assert len({json.loads(line)["event_id"] for line in sink.lines + rest.lines}) == 10


def test_a_second_ctrl_c_ends_at_once():
    class StuckSink(MemorySink):
        def send(self, event, event_id=None):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            super().send(event, event_id)

    report, sink = send(lines(GOOD), sink=StuckSink())
    assert report.is_interrupted
    assert sink.lines == []


def test_ctrl_c_works_as_before_when_shipping_is_over():
    before = signal.getsignal(signal.SIGINT)
    send(lines(GOOD))
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_counts_what_was_sent_and_not_what_was_left_out():
    said = io.StringIO()
    progress = Progress("ship", stream=said, style="lines")
    content = lines(GOOD, *({"event_id": "x"} for _ in range(6)), GOOD, GOOD)
    with progress:
        ship(
            io.BytesIO(content),
            MemorySink(),
            ShipOptions(invalid="skip"),
            progress=progress,
            clock=ManualClock(NOW_US),
        )
    assert "ship  3 events " in said.getvalue()


def test_names_that_the_contract_does_not_have_are_told_once_each_with_the_nearest():
    odd = {**GOOD, "request_modle": "a", "stages": {"modle_ms": 1, "model_ms": 2}, "labels": {"any": "x"}}
    report, sink = send(lines(GOOD, odd, odd, {**GOOD, "request_modle": "b"}))
    assert [tuple(unknown) for unknown in report.unknown_fields] == [
        ("request_modle", 3, "is no field of the contract; did you mean request_model?"),
        ("stages.modle_ms", 2, "is no field of the contract; did you mean stages.model_ms?"),
    ]
    assert (report.invalid, len(sink.lines)) == (0, 4), "it accepts them"


def test_keys_that_are_ids_do_not_fill_the_report():
    report, _ = send(lines(*({**GOOD, f"id{number:03}": 1} for number in range(50))))
    assert (len(report.unknown_fields), report.more_unknown) == (20, 30)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "a name of 0 characters"),
        ("a\nb", "a name of 3 characters"),
        ("\ud800", "a name of 1 characters"),
    ],
)
def test_no_name_is_too_odd_to_be_told_of(name, told):
    report, _ = send(lines({**GOOD, name: 1, "stages": {name: 1}}))
    assert {unknown.field for unknown in report.unknown_fields} == {told, f"stages.{told}"}
