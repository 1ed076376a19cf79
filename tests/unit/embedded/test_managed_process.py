"""A child process starts, tells of its failures, ends when asked, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support import children
from tests.support.waiting import HANGING_S, until
from tokentide.embedded import guard
from tokentide.embedded.errors import (
    EmbeddedError,
    ProcessFailedError,
    ProcessNotReadyError,
    StoppedWhileStartingError,
)
from tokentide.embedded.process import ManagedProcess, ProcessSpec

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while True: time.sleep(60)
"""
POLITE = """
import signal, sys, time
def end(*_): print("goodbye", flush=True); sys.exit(7)
signal.signal(signal.SIGTERM, end)
print("hello", flush=True)
while True: time.sleep(60)
"""
WITH_GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("grandchild", child.pid, flush=True)
while True: time.sleep(60)
"""


def said(log_file: Path, word: str):
    """A health check that waits for a word in the log."""
    return lambda: None if log_file.exists() and word in log_file.read_text() else f"it has not said {word}"


def python(tmp_path: Path, code: str, *, ready_word: str | None = None, **options) -> ManagedProcess:
    log = tmp_path / "child.log"
    watch = options.pop("watch", False)
    check = {"health_check": said(log, ready_word), "start_timeout_s": HANGING_S} if ready_word else {}
    spec = ProcessSpec(
        name="child",
        argv=[sys.executable, "-c", code],
        log_file=log,
        **{"stop_grace_s": HANGING_S, **check, **options},
    )
    return ManagedProcess(spec, watch=watch)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.fixture(params=[False, True], ids=["death_signal", "watching_guard"])
def watch(request) -> bool:
    """Both ways to bind a child to its parent; where there is no death signal, both watch."""
    return request.param


def test_stop_lets_the_child_end_in_its_own_way(tmp_path, watch):
    child = python(tmp_path, POLITE, ready_word="hello", watch=watch)
    child.start()
    child.wait_ready()
    assert child.stop() == 7
    assert "goodbye" in child.log_tail()


def test_a_child_deaf_to_sigterm_is_killed_after_the_grace_time(tmp_path, watch):
    child = python(tmp_path, STUBBORN, ready_word="deaf", watch=watch, stop_grace_s=0.3)
    child.start()
    child.wait_ready()
    assert child.stop() == -signal.SIGKILL


def test_a_stopped_child_is_ended_in_order_too(tmp_path):
    child = python(tmp_path, POLITE, ready_word="hello")
    child.start()
    child.wait_ready()
    child.send_signal(signal.SIGSTOP)
    assert child.stop() == 7


def test_what_the_child_has_started_ends_with_it(tmp_path):
    child = python(tmp_path, WITH_GRANDCHILD, ready_word="grandchild")
    child.start()
    child.wait_ready()
    grandchild = int(child.log_tail().split()[1])
    assert is_alive(grandchild)
    child.stop()
    until(lambda: not is_alive(grandchild))


def test_what_a_crashed_child_has_left_behind_ends_too(tmp_path):
    child = python(tmp_path, WITH_GRANDCHILD, ready_word="grandchild")
    child.start()
    child.wait_ready()
    grandchild = int(child.log_tail().split()[1])
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(HANGING_S) == -signal.SIGKILL
    until(lambda: not is_alive(grandchild))


def test_an_early_end_is_told_with_the_end_of_the_log(tmp_path, watch):
    child = python(
        tmp_path, "print('cannot open the gate'); raise SystemExit(3)", ready_word="never", watch=watch
    )
    child.start()
    with pytest.raises(
        ProcessFailedError,
        match=r"child ended with exit code 3 before it was ready(.|\n)*cannot open the gate",
    ) as caught:
        child.wait_ready()
    assert caught.value.exit_status == 3


def test_the_log_of_an_older_run_is_not_quoted(tmp_path):
    (tmp_path / "child.log").write_text("the failure of yesterday\n")
    child = python(tmp_path, "raise SystemExit(3)", ready_word="never")
    child.start()
    with pytest.raises(ProcessFailedError, match="wrote nothing") as caught:
        child.wait_ready()
    assert "yesterday" not in str(caught.value)


def test_a_child_that_never_gets_ready_is_ended_and_the_last_reason_told(tmp_path):
    child = python(tmp_path, POLITE, ready_word="sesame", start_timeout_s=0.5)
    child.start()
    with pytest.raises(ProcessNotReadyError, match=r"it has not said sesame"):
        child.wait_ready()
    assert not child.is_running


def stranger(child: ManagedProcess) -> None:
    """Answers the health check in the place of a child that has just died."""
    child.wait(HANGING_S)


def test_a_health_check_that_a_stranger_answers_does_not_hide_the_death_of_the_child(tmp_path):
    child = python(tmp_path, "raise SystemExit(3)", health_check=lambda: stranger(child))
    child.start()
    with pytest.raises(ProcessFailedError):
        child.wait_ready()


def test_waiting_for_a_start_can_be_cancelled(tmp_path):
    child = python(tmp_path, POLITE, ready_word="sesame")
    cancelled = threading.Event()
    child.start()
    threading.Timer(0.1, cancelled.set).start()
    with pytest.raises(StoppedWhileStartingError):
        child.wait_ready(is_cancelled=cancelled.is_set)
    assert child.is_running
    child.kill()


def test_a_program_that_does_not_exist_is_named(tmp_path, watch):
    spec = ProcessSpec(
        name="ghost", argv=["/no/such/program"], log_file=tmp_path / "g.log", health_check=lambda: "not yet"
    )
    child = ManagedProcess(spec, watch=watch)
    child.start()
    with pytest.raises(
        ProcessFailedError, match=r"exit code 127(.|\n)*cannot run /no/such/program: No such file"
    ):
        child.wait_ready()


def test_a_log_that_cannot_be_written_is_an_error_of_the_start(tmp_path):
    (tmp_path / "logs").write_text("a file where a folder should be")
    child = ManagedProcess(ProcessSpec(name="child", argv=["true"], log_file=tmp_path / "logs" / "c.log"))
    with pytest.raises(EmbeddedError, match="cannot start child"):
        child.start()


def test_the_environment_is_exactly_the_given_one(tmp_path):
    child = python(
        tmp_path,
        "import os; print(sorted(k for k in os.environ if k != 'LC_CTYPE'))",
        environment={"ONLY": "this"},
    )
    child.start()
    assert child.wait(HANGING_S) == 0
    assert child.log_tail() == "['ONLY']"


def test_a_child_finds_broken_pipes_deadly_as_every_program_does(tmp_path, watch):
    child = ManagedProcess(  # grep, since Python itself ignores that signal
        ProcessSpec(
            name="child", argv=["grep", "SigIgn", "/proc/self/status"], log_file=tmp_path / "child.log"
        ),
        watch=watch,
    )
    child.start()
    assert child.wait(HANGING_S) == 0
    ignored = int(child.log_tail().split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1))


PARENT = """
import sys, threading, time
from pathlib import Path
from tokentide.embedded.process import ManagedProcess, ProcessSpec
tmp, watch, code = Path(sys.argv[1]), sys.argv[2] == "True", sys.argv[3]
child = ManagedProcess(
    ProcessSpec(name="child", argv=[sys.executable, "-c", code], log_file=tmp / "child.log"), watch=watch
)
def start():
    child.start()
    while "pid" not in child.log_tail():
        time.sleep(0.02)
starter = threading.Thread(target=start)
starter.start()
starter.join()  # the thread that called start ends while the child runs: the child must not mind
print("started", flush=True)
time.sleep(600)
"""
TELLS_ITS_PID = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(600)"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_a_killed_parent(tmp_path, watch, end):
    parent = children.start(
        [sys.executable, "-c", PARENT, str(tmp_path), str(watch), TELLS_ITS_PID],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    log = tmp_path / "child.log"
    pid = int(log.read_text().split()[1])
    time.sleep(0.5)  # long enough for a child bound to the thread that started it to die of its end
    assert is_alive(pid)

    parent.send_signal(end)
    parent.wait()
    parent.stdout.close()
    until(lambda: not is_alive(pid))


def test_a_guard_whose_parent_is_already_gone_starts_nothing(tmp_path):
    for watch in ([], ["--watch"]):
        answer = subprocess.run(
            [
                sys.executable,
                "-I",
                "-S",
                guard.__file__,
                "--parent",
                "1",
                *watch,
                "--",
                "touch",
                tmp_path / "made",
            ],
            check=False,
        )
        assert answer.returncode == guard.PARENT_GONE
        assert not (tmp_path / "made").exists()
