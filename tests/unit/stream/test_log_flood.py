from __future__ import annotations

import logging

import pytest

from tokentide.config.settings import LogSettings
from tokentide.stream.log_flood import MOST_TEMPLATES, QUIET_S, FloodFilter
from tokentide.stream.logs import configure_logs


class ManualClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def line(text: str, *args: object, name: str = "aiokafka", level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(name, level, "file.py", 1, text, args, None)


def passed(flood: FloodFilter, record: logging.LogRecord) -> str | None:
    return record.getMessage() if flood.filter(record) else None


def test_of_equal_lines_of_a_client_one_goes_through_and_the_next_says_how_many_did_not() -> None:
    clock = ManualClock()
    flood = FloodFilter(["aiokafka"], clock=clock)
    assert passed(flood, line("no connection to %s", 1)) == "no connection to 1"
    assert [passed(flood, line("no connection to %s", node)) for node in (1, 2, 3)] == [None] * 3
    clock.now_s = QUIET_S
    assert (
        passed(flood, line("no connection to %s", 4))
        == "no connection to 4 (3 such lines left out since the last)"
    )
    clock.now_s = 2 * QUIET_S
    assert passed(flood, line("no connection to %s", 5)) == "no connection to 5"


def test_other_lines_loggers_and_levels_are_lines_of_their_own() -> None:
    flood = FloodFilter(["aiokafka"], clock=ManualClock())
    lines = [
        line("a %s", 1),
        line("b %s", 1),
        line("a %s", 1, name="aiokafka.consumer.fetcher"),
        line("a %s", 1, level=logging.WARNING),
    ]
    assert all(flood.filter(one) for one in lines)
    assert not any(flood.filter(one) for one in lines)


@pytest.mark.parametrize("name", ["tokentide.worker", "aiokafkas", "mode.worker"])
def test_lines_of_others_and_the_worst_are_never_left_out(name: str) -> None:
    flood = FloodFilter(["aiokafka"], clock=ManualClock())
    assert all(flood.filter(line("a", name=name)) for _ in range(5))
    assert all(flood.filter(line("a", level=logging.CRITICAL)) for _ in range(5))


def test_memory_is_bounded_where_every_line_has_a_template_of_its_own() -> None:
    flood = FloodFilter(["aiokafka"], clock=ManualClock())
    assert all(flood.filter(line(f"line {number}")) for number in range(3 * MOST_TEMPLATES))
    assert len(flood._told) <= MOST_TEMPLATES


def test_the_worker_logs_one_line_for_a_thousand_of_an_outage(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="json"))
    for _ in range(1_000):
        logging.getLogger("aiokafka.consumer.fetcher").error(
            "Failed fetch messages from %s: %s", 111, "closed"
        )
        logging.getLogger("tokentide.worker").info("ours")
    lines = capsys.readouterr().err.splitlines()
    assert sum("Failed fetch" in text for text in lines) == 1
    assert sum("ours" in text for text in lines) == 1_000
