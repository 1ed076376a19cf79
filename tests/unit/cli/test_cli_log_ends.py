"""What `up` and `demo` show of the log of a worker that ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokentide.cli import one_machine
from tokentide.cli.exits import UnreachableError
from tokentide.cli.log_ends import MOST_CHARACTERS, with_readable_log
from tokentide.embedded.errors import ProcessFailedError
from tokentide.embedded.progress import Progress


def entry(event: str, level: str = "info", **fields: object) -> str:
    return json.dumps({**fields, "event": event, "level": level, "timestamp": "2026-01-31T12:00:00.123456Z"})


def ended(*lines: str) -> ProcessFailedError:
    return ProcessFailedError("worker-1", exit_status=21, log_file=Path("w.log"), log_tail="\n".join(lines))


def test_of_json_the_last_of_the_most_severe_lines_is_shown_with_time_and_reason():
    shown = with_readable_log(
        str(
            ended(
                entry("rows refused", "error", error="Code: 60", remedy="run tokentide init"),
                entry("checkpoint", offsets=[1, 2, 3]),
            )
        )
    )
    assert shown.splitlines() == [
        "worker-1 ended with exit code 21. Its log is w.log:",
        "  | 2026-01-31T12:00:00Z error: rows refused; Code: 60; run tokentide init",
    ]


def test_of_lines_without_trouble_the_last_is_shown():
    shown = with_readable_log(str(ended(entry("started"), entry("caught up"))))
    assert shown.splitlines()[1:] == ["  | 2026-01-31T12:00:00Z info: caught up"]


def test_of_a_traceback_in_a_line_its_end_is_shown():
    told = entry("it fell", "error", exception="Traceback\n  File x\nMemoryError: full")
    assert with_readable_log(str(ended(told))).endswith(" error: it fell; MemoryError: full")


def test_a_line_is_never_longer_than_a_reader_takes_in():
    (_, line) = with_readable_log(str(ended(entry("x" * 5000)))).splitlines()
    assert len(line) == MOST_CHARACTERS + len("  | ")


def test_what_is_no_json_stays_beside_it():
    shown = with_readable_log(str(ended(entry("started"), "Segmentation fault", '{"broken')))
    assert shown.splitlines()[1:] == [
        "  | 2026-01-31T12:00:00Z info: started",
        "  | Segmentation fault",
        '  | {"broken',
    ]


@pytest.mark.parametrize("message", ["it is full", "", str(ended("Segmentation fault")), str(ended())])
def test_a_message_without_json_stays_as_it_is(message):
    assert with_readable_log(message) == message


def test_both_a_restart_and_the_end_of_the_run_show_it():
    error = ended(entry("started"))
    said = one_machine.progress_line(Progress("worker-1", "restarting", 0.5, str(error)))
    assert "Z info: started\n    worker-1 is started again" in said
    with pytest.raises(UnreachableError, match=r"Its log is w\.log"), one_machine.engine_errors():
        raise error
