"""A place for a child: it is filled again after a death, by the clock of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokentide.embedded.errors import ProcessFailedError
from tokentide.embedded.process import ProcessSpec
from tokentide.embedded.restarts import RestartPolicy
from tokentide.embedded.slot import Slot

POLICY = RestartPolicy(max_restarts=2, window_s=60, first_delay_s=1, max_delay_s=10)


class ScriptedProcess:
    """Lives, dies and gets healthy when the test says so."""

    started_at = 0.0

    def __init__(self, number: int) -> None:
        self.pid = number
        self.is_running = False
        self.lacks: str | None = "everything"
        self.spec = ProcessSpec(
            name="worker-1",
            argv=(),
            log_file=Path("w.log"),
            health_check=lambda: self.lacks,
            start_timeout_s=30,
        )

    def start(self) -> None:
        self.is_running = True

    def kill(self) -> None:
        self.is_running = False

    def wait_ready(self, **_) -> float:
        self.lacks = None
        return 1.5

    def failure(self, context: str = "") -> ProcessFailedError:
        return ProcessFailedError(
            "worker-1", exit_status=1, log_file=self.spec.log_file, log_tail="last words", context=context
        )


class Story:
    """A slot, the processes that were made for it, and what it told."""

    def __init__(self) -> None:
        self.made: list[ScriptedProcess] = []
        self.told: list[tuple[str, float]] = []
        self.slot = Slot(self.make, policy=POLICY, report=lambda p: self.told.append((p.event, p.seconds)))

    def make(self) -> ScriptedProcess:
        self.made.append(ScriptedProcess(len(self.made) + 1))
        return self.made[-1]

    def die(self) -> None:
        self.made[-1].is_running = False


@pytest.fixture
def running() -> Story:
    story = Story()
    story.slot.start(0.0)
    story.slot.wait_ready()
    return story


def test_a_living_child_is_left_alone(running):
    assert [running.slot.look(t) for t in (1, 2, 3)] == [False, False, False]
    assert len(running.made) == 1
    assert running.told == [("starting", 0.0), ("ready", 1.5)]


def test_a_dead_child_has_a_successor_after_the_pause(running):
    running.die()
    assert not running.slot.look(10.0)
    assert not running.slot.look(10.9)
    assert len(running.made) == 1
    assert running.slot.look(11.0), "a new process is told of, so that its id is written down"
    assert running.made[-1].is_running
    assert running.slot.describe().pid == 2
    assert running.slot.describe().restarts == 1
    running.made[-1].lacks = None
    running.slot.look(13.0)
    assert running.slot.state == "running"
    assert running.told[2:] == [("restarting", 1.0), ("ready", 2.0)]


def test_a_successor_that_does_not_get_ready_in_time_is_replaced_too(running):
    running.die()
    running.slot.look(0.0)
    running.slot.look(1.0)
    assert not running.slot.look(31.0)
    assert running.made[-1].is_running
    running.slot.look(31.1)
    assert not running.made[-1].is_running
    running.slot.look(31.2)
    assert running.slot.state == "waiting"


def test_a_child_that_dies_too_often_ends_it_with_its_last_words(running):
    for death_s in (0.0, 10.0):
        running.die()
        running.slot.look(death_s)
        running.slot.look(death_s + 5)
    running.die()
    with pytest.raises(
        ProcessFailedError, match=r"3 deaths within 60 s, so it is not started again(.|\n)*last words"
    ):
        running.slot.look(20.0)


def test_a_child_that_was_asked_to_end_has_no_successor(running):
    running.slot.mark_stopped()
    running.die()
    assert [running.slot.look(t) for t in (1, 10, 100)] == [False, False, False]
    assert len(running.made) == 1


def test_an_adopted_process_counts_as_the_first():
    story = Story()
    process = ScriptedProcess(99)
    process.start()
    story.slot.adopt(process)
    assert not story.slot.look(0.0)
    assert story.slot.describe().pid == 99
    process.is_running = False
    story.slot.look(1.0)
    assert story.slot.state == "waiting"
